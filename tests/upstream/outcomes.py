"""What tests did in a run, and in which of them two runs differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

#: A test has several parts, which are reported one by one; the gravest is its outcome.
GRAVITY: Final = ("passed", "skipped", "failed")
#: The outcome of a test that another run has and this one has not: its process died, for one.
MISSING: Final = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one test did.

    Attributes:
        outcome: `passed`, `skipped`, `failed` or `missing`.
        observed: what it saw and put on record, if it does so.
        message: its error.
    """

    outcome: str
    observed: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    def agrees(self, other: Result) -> bool:
        """Say whether both ended and saw the same; how an error is worded does not count."""
        return (self.outcome, self.observed) == (other.outcome, other.observed)

    def against(self, other: Result) -> str:
        """Say in what this differs from *other*."""
        if self.outcome != other.outcome:
            return f"{self.outcome}, not {other.outcome}"
        names = sorted({*self.observed, *other.observed})
        unequal = [name for name in names if self.observed.get(name) != other.observed.get(name)]
        return f"other {', '.join(unequal)}"


Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A test that one run decides otherwise than the stock runs, which agree.

    Attributes:
        test: its name.
        stock: what it did in both stock runs.
        fastload: what it did in this one.
    """

    test: str
    stock: Result
    fastload: Result

    def __str__(self) -> str:
        return f"{self.test}: {self.fastload.against(self.stock)}"


def read_record(lines: Iterable[str]) -> Results:
    """Return the results that the recorder wrote; a line that a crash cut short ends them."""
    results: dict[str, Result] = {}
    for line in lines:
        try:
            report = json.loads(line)
        except ValueError:
            break
        new = Result(**{name: report[name] for name in ("outcome", "observed", "message")})
        old = results.get(report["test"], new)
        results[report["test"]] = max(old, new, key=lambda each: GRAVITY.index(each.outcome))
    return results


def read_records(paths: Sequence[Path]) -> Results:
    """Return the results in all of *paths*; what was never written holds none."""
    found: dict[str, Result] = {}
    for path in paths:
        if path.exists():
            found.update(read_record(path.read_text().splitlines()))
    return found


def unstable(first: Results, second: Results) -> list[str]:
    """Return the tests that two runs of the same kind decide differently."""
    return [name for name, one, other in _pairs(first, second) if not one.agrees(other)]


def differences(stock: Results, fastload: Results, ignored: Iterable[str]) -> list[Difference]:
    """Return the tests that *fastload* decides otherwise than *stock*, but for the *ignored*."""
    left_out = frozenset(ignored)
    return [
        Difference(test=name, stock=one, fastload=other)
        for name, one, other in _pairs(stock, fastload)
        if not one.agrees(other) and name not in left_out
    ]


def _pairs(first: Results, second: Results) -> list[tuple[str, Result, Result]]:
    missing = Result(outcome=MISSING)
    names = sorted({*first, *second})
    return [(name, first.get(name, missing), second.get(name, missing)) for name in names]


def counts(results: Results) -> Counter[str]:
    """Return how many tests ended in which way."""
    return Counter(each.outcome for each in results.values())


def shown(results: Results) -> str:
    """Say how many passed.

    Example:
        >>> shown({"a": Result(outcome="passed"), "b": Result(outcome="skipped")})
        '1 passed of 2, 1 skipped'
    """
    by_outcome = counts(results)
    others = [f"{by_outcome[name]} {name}" for name in ("failed", "skipped") if by_outcome[name]]
    return ", ".join([f"{by_outcome['passed']} passed of {len(results)}", *others])
