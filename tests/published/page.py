"""The table of published models, as a part of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Final

from benchmarks.page import Markers, table
from tests.published.findings import Finding, Way

MARKERS: Final = Markers("published", "tests.published")
_HEADINGS: Final = (
    *("package", "models", "kind", "in Keras 3 alone", "ports"),
    *("largest relative difference", "compared with"),
)
#: A column of its own, where losses were compared.
_TRAINED: Final = "of losses in training"
_DISTRIBUTIONS: Final = ("tensorflow-cpu", "tensorflow", "keras", "numpy")
_KINDS: Final = {
    "saved_model": "SavedModel",
    "keras_hdf5": "HDF5",
    "keras_archive": "`.keras`",
}
_ADVICE: Final = re.compile(r"\. Use keras=.*$", re.DOTALL)
_PREFIX: Final = re.compile(r"^(\[FL207\] )?this Keras 2 model cannot be migrated to Keras 3: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A published model and what was found.

    Attributes:
        package: name and version.
        model: the file or folder in it.
        finding: how it opened.
    """

    package: str
    model: str
    finding: Finding

    @property
    def row(self) -> tuple[str, ...]:
        """What it shares with the other models in its row of the table."""
        found = self.finding
        way = found.way.value
        if found.way is Way.REFUSED:
            way = f"rejected: {self.refusal}"
        against = "" if found.against is None else found.against
        ports = "yes" if found.ports and found.way is not Way.REFUSED else ""
        return (self.package, _KINDS.get(found.kind, found.kind), way, ports, against)

    @property
    def refusal(self) -> str:
        """Why it was rejected, without the advice."""
        reason = _PREFIX.sub("", _ADVICE.sub("", self.finding.reason))
        return reason.replace("|", "/").replace("\n", " ")


def markdown(results: Sequence[Result]) -> str:
    """Return the totals and the table."""
    headings, rows = _HEADINGS, list(_rows(results))
    if any(each.finding.training is not None for each in results):
        headings = (*headings, _TRAINED)
    else:
        rows = [row[: len(headings)] for row in rows]
    return "\n\n".join([_versions(), totals(results), table(headings, rows)])


def write_page(results: Sequence[Result], page: Path) -> None:
    """Write totals and table into *page*, between its markers."""
    MARKERS.write(page, markdown(results))


def totals(results: Sequence[Result]) -> str:
    """Return the sentence that says how many opened, and how."""
    right = [each.finding for each in results if each.finding.is_right]
    stock = sum(each.way is Way.STOCK and not each.ports for each in right)
    migrated = sum(each.way is Way.MIGRATED and not each.ports for each in right)
    described = sum(each.finding.is_described for each in results)
    worst = max((each.relative or 0.0 for each in right), default=0.0)
    packages = len({each.package for each in results})
    trained = [each.training for each in right if not each.ports and each.training is not None]
    return (
        f"Of {len(results)} models in {packages} packages, {len(right)} open in Keras 3 alone and "
        "agree with Keras 2 within the tolerance (they differ by at most "
        f"{worst:.1g} of the largest number): Keras 3 opens {stock} itself, {migrated} are "
        f"migrated as they are, and {len(right) - stock - migrated} with ports of their packages' "
        f"custom classes. {described} {'is' if described == 1 else 'are'} rejected, with the "
        f"reason and two alternatives.{_of_training(trained)}"
    )


def _of_training(apart: Sequence[float]) -> str:
    """Return how many models that need no port train as they did; nothing if none was trained."""
    near = sum(each <= _NEAR for each in apart)
    return (
        f" {near} of the {len(apart)} that need no port, and whose training does not depend on "
        f"chance, train two steps with losses within {_NEAR:.0e} of those in Keras 2."
        if apart
        else ""
    )


def problems(results: Sequence[Result]) -> list[str]:
    """Return which models neither agree with Keras 2 nor are rejected as described."""
    return [
        f"{each.package} {each.model}: {each.finding}"
        for each in results
        if not (each.finding.is_right or each.finding.is_described)
    ]


def has_enough(results: Sequence[Result]) -> bool:
    """Say whether nine of ten models agree with Keras 2."""
    return 10 * sum(each.finding.is_right for each in results) >= 9 * len(results)


def _rows(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    ordered = sorted(results, key=lambda each: each.row)
    for row, group in groupby(ordered, key=lambda each: each.row):
        package, kind, way, ports, against = row
        of_row = list(group)
        names = ", ".join(f"`{each.model}`" for each in of_row)
        shown = names if len(of_row) <= _MOST_NAMES else str(len(of_row))
        apart = [each.finding.relative for each in of_row if each.finding.relative is not None]
        worst = f"{max(apart):.1g}" if apart else ""
        yield (package, shown, kind, way, ports, worst, against, _training(of_row))


def _training(results: Sequence[Result]) -> str:
    """Return how far losses are apart at most, and of how many models, if not of all."""
    apart = [each.finding.training for each in results if each.finding.training is not None]
    if not apart:
        return ""
    some = "" if len(apart) == len(results) else f" ({len(apart)} of {len(results)})"
    return f"{max(apart):.1g}{some}"


#: How near losses are to be.
_NEAR: Final = 1e-5
#: More models of one row are only counted.
_MOST_NAMES: Final = 3


def _versions() -> str:
    found = [f"{name} {_version(name)}" for name in _DISTRIBUTIONS if _version(name)]
    return f"With {', '.join(found)}."


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
