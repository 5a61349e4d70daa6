"""Of the forms of a slow test, `.ci/run` takes half, drawn by the hash of the commit.

What one commit leaves out another takes, and `nox -s full` takes all.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import pytest

#: What forms are drawn by; without it all are taken.
SAMPLE: Final = "SLOW_SAMPLE"


def drawn(seed: str, names: Iterable[str]) -> frozenset[str]:
    """Return half of *names*, the larger where they are odd, the same for one *seed*."""
    in_order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return frozenset(in_order[: (len(in_order) + 1) // 2])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the forms of slow tests that were not drawn."""
    seed = os.environ.get(SAMPLE)
    if not seed:
        return
    left = _left_out(seed, [item for item in items if item.get_closest_marker("slow")])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left])
    items[:] = [item for item in items if item.nodeid not in left]


def _left_out(seed: str, items: Sequence[pytest.Item]) -> frozenset[str]:
    forms = defaultdict(list)
    for item in items:
        forms[item.nodeid.partition("[")[0]].append(item.nodeid)
    return frozenset().union(*(frozenset(each) - drawn(seed, each) for each in forms.values()))
