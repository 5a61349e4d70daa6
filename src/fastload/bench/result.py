"""What was measured: samples, their medians, and what follows from both. Values only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastload.api.explain import Function
    from fastload.bench.job import Told
    from fastload.bench.profile import LoadProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one program took: each figure is the median over its processes.

    Attributes:
        samples: what each process told.
    """

    samples: tuple[Told, ...]

    @property
    def middle(self) -> Told:
        """The process whose load took as long as half of the others, or less."""
        by_load = sorted(self.samples, key=lambda told: told.load_s)
        return by_load[(len(by_load) - 1) // 2]

    @property
    def load_s(self) -> float:
        """Seconds of the load, without imports of TensorFlow and Keras."""
        return self._median(lambda told: told.load_s)

    @property
    def import_s(self) -> float:
        """Seconds of these imports."""
        return self._median(lambda told: told.import_s)

    @property
    def predict_s(self) -> float | None:
        """Seconds of the first prediction; None where none was made."""
        if any(told.predict_s is None for told in self.samples):
            return None
        return self._median(lambda told: told.predict_s or 0.0)

    @property
    def process_s(self) -> float:
        """Seconds from the start of the process to its end, after the first prediction."""
        return self._median(lambda told: told.wall_s)

    @property
    def cpu_s(self) -> float:
        """Seconds of all threads of the process."""
        return self._median(lambda told: told.cpu_s)

    @property
    def peak_bytes(self) -> float:
        """Most memory of the process at once; pages of mapped files count."""
        return self._median(lambda told: told.peak_bytes)

    def to_document(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "load_s": self.load_s,
            "import_s": self.import_s,
            "predict_s": self.predict_s,
            "process_s": self.process_s,
            "cpu_s": self.cpu_s,
            "peak_bytes": int(self.peak_bytes),
            "loads_s": [told.load_s for told in self.samples],
            "processes_s": [told.wall_s for told in self.samples],
        }

    def _median(self, figure: Callable[[Told], float]) -> float:
        return statistics.median(map(figure, self.samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One function of fastload's beside its stock loader.

    Attributes:
        function: of fastload's.
        stock_name: what the stock loader is called.
        stock: what it took; None where it cannot open the model, or was not asked.
        first: what first loads took, which write the twin; None where fastload serves none.
        later: what later loads took, likewise.
        refusal: why the stock loader cannot open the model, or None.
        reason: why fastload leaves the model to it, or None.
        code: the code of that.
        uncompared: why outputs were not compared, or None: then all were equal, to the bit.
        compiled: whether the models were compiled; they were not where stock cannot.
        profile: where the time goes, if that was asked.
    """

    function: Function
    stock_name: str
    stock: Timing | None = None
    first: Timing | None = None
    later: Timing | None = None
    refusal: str | None = None
    reason: str | None = None
    code: str | None = None
    uncompared: str | None = None
    compiled: bool = True
    profile: LoadProfile | None = None

    @property
    def load_ratio(self) -> float | None:
        """How many times faster a later load is than stock's."""
        return self._ratio(lambda timing: timing.load_s)

    @property
    def process_ratio(self) -> float | None:
        """The same of whole processes, from their start to the end of a first prediction."""
        return self._ratio(lambda timing: timing.process_s)

    @property
    def paid_back_after(self) -> int | None:
        """After how many loads, the first one included, fastload has taken no more than stock.

        None if it never does.
        """
        if self.stock is None or self.first is None or self.later is None:
            return None
        return paid_back_after(self.stock.load_s, self.first.load_s, self.later.load_s)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        timings = {"stock": self.stock, "first": self.first, "later": self.later}
        return {
            "function": self.function,
            "stock_loader": self.stock_name,
            **{name: timing and timing.to_document() for name, timing in timings.items()},
            "load_ratio": self.load_ratio,
            "process_ratio": self.process_ratio,
            "paid_back_after_loads": self.paid_back_after,
            "refusal": self.refusal,
            "reason": self.reason,
            "code": self.code,
            "outputs_compared": self.later is not None and self.uncompared is None,
            "uncompared": self.uncompared,
            "compiled": self.compiled,
            "profile": self.profile and self.profile.to_document(),
        }

    def _ratio(self, figure: Callable[[Timing], float]) -> float | None:
        if self.stock is None or self.later is None:
            return None
        return figure(self.stock) / max(figure(self.later), 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What loads of one model take.

    Attributes:
        path: the model, as it was given.
        kind: what it is on disk.
        size_bytes: of its files.
        weights_bytes: of its weights; 0 where no twin tells.
        rounds: how many processes there were of each program.
        machine: what it was measured on.
        comparisons: a function each.
    """

    path: str
    kind: str
    size_bytes: int
    weights_bytes: int
    rounds: int
    machine: Mapping[str, str] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...]

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "path": self.path,
            "kind": self.kind,
            "size_bytes": self.size_bytes,
            "weights_bytes": self.weights_bytes,
            "rounds": self.rounds,
            "machine": dict(self.machine),
            "functions": [each.to_document() for each in self.comparisons],
        }


def paid_back_after(stock_s: float, first_s: float, later_s: float) -> int | None:
    """Return after how many loads the extra time of a first load is paid back; None for never.

    Args:
        stock_s: seconds of a load by the stock loader.
        first_s: seconds of a first load.
        later_s: seconds of a later load.

    Example:
        >>> paid_back_after(1.0, 2.5, 0.5), paid_back_after(1.0, 0.9, 0.5)
        (4, 1)
        >>> paid_back_after(0.1, 0.2, 0.1) is None
        True
    """
    if first_s <= stock_s:
        return 1
    if later_s >= stock_s:
        return None
    return math.ceil((first_s - later_s) / (stock_s - later_s))
