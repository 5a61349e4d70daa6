"""What is assumed of the nodes of a fleet, and how long one of them is paid for a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

TASKS: Final = (1_000, 100_000, 1_000_000)
WORK_S: Final = (0.0, 10.0, 60.0)
HOUR_S: Final = 3600
_ASSUMED: Final = """\
- A node costs {:g} an hour, paid by the second from its start to the end of its task.
- It does one task, alone, and is ready {:g} s after its start. No task fails.
- It fetches its image's layer of twins, where it has one, and the model's archive, one after the
  other, at {:g} MB/s; then it unpacks the archive.
- The process takes what the tables above say, its first prediction included. The task's other work
  takes the seconds in the second column, whichever loader it uses.
- Warming the layer, once for all tasks, and keeping layer and archive are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is assumed of nodes.

    Attributes:
        price: of a node for an hour.
        node_start_s: seconds from the start of a node's bill until it fetches.
        mb_per_s: at which a node fetches the model's archive, and the layer of its image.
        tasks: how many tasks; a column each.
        work_s: seconds of a task beyond its first prediction; rows of their own.
    """

    price: float
    node_start_s: float
    mb_per_s: float
    tasks: Sequence[int] = TASKS
    work_s: Sequence[float] = WORK_S

    def __str__(self) -> str:
        """Return the assumptions, a line each."""
        return _ASSUMED.format(self.price, self.node_start_s, self.mb_per_s)


def node_seconds(model: Mapping[str, Any], kind: str, work_s: float, terms: Terms) -> float:
    """Return how long a node is paid for one task.

    Args:
        model: of the figures.
        kind: what of `batch_node` runs there.
        work_s: seconds of the task beyond its first prediction.
        terms: what is assumed.

    Example:
        >>> task = {"unpack_s": 1, "whole_s": 9, "has_layer": True}
        >>> model = {"archive_bytes": 2e8, "layer_bytes": 1e8, "kinds": {"hit": task}}
        >>> node_seconds(model, "hit", 5, Terms(price=1, node_start_s=30, mb_per_s=100))
        48.0
    """
    task = model["kinds"][kind]
    fetched = model["archive_bytes"] + (model["layer_bytes"] if task["has_layer"] else 0)
    fetch_s = fetched / 1e6 / terms.mb_per_s
    return float(terms.node_start_s + fetch_s + task["unpack_s"] + task["whole_s"] + work_s)
