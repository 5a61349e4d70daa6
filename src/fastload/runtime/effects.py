"""What making a model leaves behind in the process: draws from generators, and names.

A model that is made later than it is loaded leaves them behind at its load, from notes.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from fastload.runtime.flavour import Flavour
from fastload.runtime.global_state import live_state

#: What Keras, and what TensorFlow, asks of a generator for one seed.
_DRAWS: Final[Mapping[str, tuple[int, int]]] = {
    "python": (1, 10**9),
    "keras": (1, 10**9),
    "tensorflow": (0, 2**31 - 1),
}
#: A model that draws more often is not deferred.
_MOST_DRAWS: Final = 5_000

States = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one rebuild left behind.

    Attributes:
        draws: how many seeds it drew, by generator; Keras draws from its own where it has one, and
            from Python's otherwise, which is what is told here.
        counts: automatic names that it took: key (in JSON) and number.
        observed: names that later automatic ones avoid.
    """

    draws: Mapping[str, int] = field(default_factory=dict)
    counts: tuple[tuple[Any, int], ...] = ()
    observed: tuple[str, ...] = ()

    @classmethod
    def of(cls, before: States, after: States, names: set[str]) -> Effects | None:
        """Return what happened in between; None if it cannot be told.

        Args:
            before: the states before the rebuild.
            after: those after it.
            names: of the layers of the model, which may have been in use before.
        """
        draws = {}
        for name in ("python", "keras", "tensorflow", "numpy"):
            drawn = _draws(name, before.get(name), after.get(name))
            if drawn is None:
                return None
            draws[name] = drawn
        observed = after.get("observed") or set()
        new = observed - (before.get("observed") or set()) | (observed & names)
        return cls(
            draws={name: drawn for name, drawn in draws.items() if drawn},
            counts=tuple(_counted(before.get("names") or {}, after.get("names") or {})),
            observed=tuple(sorted(new)),
        )

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Effects:
        """Return what `to_json` told."""
        counts = tuple((_key(key), int(count)) for key, count in told["counts"])
        return cls(draws=told["draws"], counts=counts, observed=tuple(told["observed"]))

    def to_json(self) -> dict[str, Any]:
        """Return them as values that JSON holds."""
        return {"draws": self.draws, "counts": self.counts, "observed": self.observed}

    @property
    def parts(self) -> AbstractSet[str]:
        """Names of the states that are changed, or decide about names."""
        seeds = {"keras"} if "python" in self.draws else set()
        return {*self.draws, *seeds, "names", "observed"}

    def leave_behind(self, chosen: Flavour) -> None:
        """Leave the process as the rebuild left it."""
        parts = live_state(chosen)
        draws = self._draws_from({part.name for part in parts if part.read() is not None})
        for part in parts:
            if draws.get(part.name):
                part.write(_drawn(part.name, part.read(), draws[part.name]))
            elif part.name == "observed" and self.observed:
                part.write(part.read() | set(self.observed))
            elif part.name == "names" and self.counts:
                counters = part.read() or defaultdict(int)
                for key, count in self.counts:
                    counters[key] = counters.get(key, 0) + count
                part.write(counters)

    def _draws_from(self, there: AbstractSet[str]) -> Mapping[str, int]:
        """Return how many seeds are drawn where *there* are the generators that there are."""
        if "keras" not in there:
            return self.draws
        return {"keras" if name == "python" else name: n for name, n in self.draws.items()}


def states(chosen: Flavour) -> States:
    """Return the states of all generators and names, of this thread where Keras keeps them so."""
    return {part.name: part.read() for part in live_state(chosen)}


@contextmanager
def under(chosen: Flavour, then: States, changed: AbstractSet[str] | None = None) -> Iterator[None]:
    """Run the block with the states of *then*, and leave those of now.

    Args:
        chosen: the Keras.
        then: the states.
        changed: the names of those that the block changes; None for all.
    """
    parts = [part for part in live_state(chosen) if changed is None or part.name in changed]
    now = [(part, part.read()) for part in parts]
    try:
        for part in parts:
            part.write(then[part.name])
        yield
    finally:
        for part, value in now:
            part.write(value)


def _draws(name: str, before: Any, after: Any) -> int | None:
    """Return how many seeds were drawn; None if the state did not come of drawing any."""
    if before == after:
        return 0
    if before is None or after is None or name not in _DRAWS:
        return None
    for drawn, state in enumerate(_following(name, before), start=1):
        if state == after:
            return drawn
        if drawn == _MOST_DRAWS:
            break
    return None


def _drawn(name: str, state: Any, count: int) -> Any:
    """Return the state after *count* seeds were drawn."""
    if state is None:
        return None
    following = _following(name, state)
    return [next(following) for _ in range(count)][-1]


def _following(name: str, state: Any) -> Iterator[Any]:
    generator = random.Random()  # noqa: S311 - Keras's choice
    generator.setstate(state)
    while True:
        generator.randint(*_DRAWS[name])
        yield generator.getstate()


def _counted(before: Mapping[Any, int], after: Mapping[Any, int]) -> Iterator[tuple[Any, int]]:
    for key, count in after.items():
        if count != before.get(key, 0):
            yield key, count - before.get(key, 0)


def _key(told: Any) -> Any:
    return tuple(told) if isinstance(told, list) else told
