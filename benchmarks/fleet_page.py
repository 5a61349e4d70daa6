"""The figures of `batch_node`, read from the page that it wrote, as exact as they are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.batch_node import MARKERS

_MACHINE: Final = re.compile(r"commit (?P<commit>\w+), date (?P<date>[\d-]+)")
_MODEL: Final = re.compile(
    r"### (?P<name>.+)\n\nAn archive of (?P<archive>[\d.]+) MB, unpacked in (?P<unpack>[\d.]+) s; "
    r"the layer has (?P<layer>[\d.]+) MB\.\n\n(?P<table>(\|.*\n)+)"
)
_WHOLE: Final = "whole process s"
#: Kinds in which no image is fetched, but a cache is on the machine.
_LOCAL: Final = "local hit"


def figures_in(page: str) -> dict[str, Any]:
    """Return what `fleet` reads, for each model of *page*.

    Raises:
        ValueError: the page has no such tables.
    """
    _, _, rest = page.partition(MARKERS.begin)
    text = rest.partition(MARKERS.end)[0]
    machine, models = _MACHINE.search(text), list(_MODEL.finditer(text))
    if machine is None or not models:
        raise ValueError("the page has no figures of a batch node")
    return {
        "machine": machine.groupdict(),
        "models": {each["name"]: _model(each) for each in models},
    }


def _model(found: re.Match[str]) -> dict[str, Any]:
    unpack_s = float(found["unpack"])
    return {
        "archive_bytes": 1e6 * float(found["archive"]),
        "layer_bytes": 1e6 * float(found["layer"]),
        "kinds": {
            name: {"has_layer": "layer" in name, "unpack_s": unpack_s, "whole_s": whole_s}
            for name, whole_s in _whole(found["table"])
            if _LOCAL not in name
        },
    }


def _whole(table: str) -> Iterator[tuple[str, float]]:
    headings, _, *rows = (
        [cell.strip() for cell in row.strip("| ").split("|")] for row in table.splitlines()
    )
    column = headings.index(_WHOLE)
    for row in rows:
        yield row[0], float(row[column])
