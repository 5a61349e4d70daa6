"""Whether programs are served here: the state of each patch point, and names that are not reached.

Only `fastload doctor` uses this, in a process of its own, because it imports TensorFlow.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fastload.hooks import patching
from fastload.hooks.installation import install
from fastload.hooks.patch_points import PACKAGES, POINTS, PatchPoint
from fastload.hooks.patching import TakenName

SERVED: Final = "served"
ABSENT: Final = "not in this version"
UNEXPECTED: Final = "not as expected: left to stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What the hooks found.

    Attributes:
        points: the patch points of the installed packages, and the state of each.
        taken: names in the program's modules that are bound to a stock function itself.
        failed: modules of the program that cannot be imported, with the reason.
    """

    points: tuple[tuple[PatchPoint, str], ...]
    taken: tuple[TakenName, ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def is_well(self) -> bool:
        """Return whether every public function that exists is served, under every name."""
        states = [state for point, state in self.points if point.is_entry]
        return UNEXPECTED not in states and all(name.is_served for name in self.taken)


def diagnose(modules: Sequence[str]) -> Diagnosis:
    """Import *modules*, then install the hooks, as a program does that installs them late.

    Args:
        modules: names of the program's modules.
    """
    failed = tuple(_import(modules))
    installed = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]
    points = [point for point in POINTS if point.package in installed]
    absent = {point for point in points if not _is_there(point)}
    install()
    made = patching.stand_ins()
    return Diagnosis(
        points=tuple(
            (point, _state(is_served=point in made, is_there=point not in absent))
            for point in points
        ),
        taken=tuple(patching.names_taken()),
        failed=failed,
    )


def _import(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Import modules; yield the names of those that cannot be imported, with the reason."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module of the program may raise anything
            yield name, f"{type(error).__name__}: {error}"


def _is_there(point: PatchPoint) -> bool:
    if list(_import([point.module])) or (point.calls and not list(_import([point.calls]))):
        return False
    return hasattr(point.holder(sys.modules[point.module]), point.attribute)


def _state(*, is_served: bool, is_there: bool) -> str:
    if is_served:
        return SERVED
    return UNEXPECTED if is_there else ABSENT
