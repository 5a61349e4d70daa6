"""The report of a load, and the clock that measures its phases."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fastload.lean_dataclass import dataclass

#: The phase of imports.
IMPORT: Final = "import"
#: Imports that take less are not worth a word.
_SLOW_IMPORT_S: Final = 0.1


class Outcome(str, Enum):
    """How a load was served."""

    HIT = "hit"  #: from an existing twin
    MISS = "miss"  #: from a twin that this load wrote
    BYPASS = "bypass"  #: by the stock loader, for the reason in the report


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What one load did.

    Attributes:
        path: the path as the caller gave it.
        outcome: `hit`, `miss` or `bypass`.
        reason: why the stock loader was used; on a hit or a miss, why the twin could not be used in
            the fastest way, if so; else None.
        code: the code of the error behind the reason (`FL203`), or None.
        seconds: wall time of the call, without imports of TensorFlow and Keras.
        phases: wall seconds by stage, in the order in which they ran; `import` is one of its own.
        size_bytes: bytes of weights in the twin (0 on a bypass).
        twin: the twin file, or None on a bypass. After a first load it may take a moment until it
            is there.
        layer: the read-only layer that the twin is in; None if it is in the cache itself, or none.
        store: the address of the shared store that this load fetched the twin from, without a
            password; None if it was here.
        stock_seconds: how long the stock loader takes for this model, without imports, if it was
            ever measured (`fastload warm --verify`); else None.
    """

    path: str
    outcome: Outcome
    reason: str | None = None
    code: str | None = None
    seconds: float
    phases: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    size_bytes: int = 0
    twin: Path | None = None
    layer: Path | None = None
    store: str | None = None
    stock_seconds: float | None = None

    @property
    def import_seconds(self) -> float:
        """Wall time of the imports of TensorFlow and Keras that the call had to wait for."""
        return self.phases.get(IMPORT, 0.0)

    @property
    def seconds_saved(self) -> float | None:
        """How many seconds longer the stock loader would have taken; None if that is not known."""
        return None if self.stock_seconds is None else self.stock_seconds - self.seconds

    def __str__(self) -> str:
        """Return the report as one line: path, outcome, seconds, imports, seconds saved, reason.

        Example:
            >>> report = LoadReport(path="m.h5", outcome=Outcome.HIT, seconds=0.2, stock_seconds=2)
            >>> str(report)
            'm.h5: hit in 0.200 s, 1.800 s saved'
        """
        saved = "" if self.seconds_saved is None else f", {self.seconds_saved:.3f} s saved"
        imports = self.import_seconds
        saved += f", after {imports:.1f} s of imports" if imports >= _SLOW_IMPORT_S else ""
        code = f" [{self.code}]" if self.code else ""
        reason = f": {self.reason}{code}" if self.reason else ""
        place = f" from the layer {self.layer}" if self.layer else ""
        place = f" from the store {self.store}" if self.store else place
        return f"{self.path}: {self.outcome.value}{place} in {self.seconds:.3f} s{saved}{reason}"


class PhaseClock:
    """Wall time by phase; the times of a phase that is entered twice add up.

    What a phase within another one takes is not part of the outer one's time.
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._phases: dict[str, float] = {}
        self._inner_s = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the phase *name*."""
        start, outer_s = time.perf_counter(), self._inner_s
        self._inner_s = 0.0
        try:
            yield
        finally:
            took_s = time.perf_counter() - start
            self._phases[name] = self._phases.get(name, 0.0) + took_s - self._inner_s
            self._inner_s = outer_s + took_s

    @property
    def phases(self) -> Mapping[str, float]:
        """Seconds by phase so far."""
        return MappingProxyType(dict(self._phases))

    @property
    def seconds(self) -> float:
        """Seconds since the clock was created, without the phase of imports."""
        return time.perf_counter() - self._start - self._phases.get(IMPORT, 0.0)


_last: LoadReport | None = None


def record(report: LoadReport) -> None:
    """Make *report* the one that `last_load` returns."""
    global _last  # noqa: PLW0603 - `last_load` is about the process
    _last = report


def last_load() -> LoadReport | None:
    """Return the report of the latest load of this process, or None if there was none.

    Example:
        >>> import fastload
        >>> fastload.last_load() is None
        True
    """
    return _last
