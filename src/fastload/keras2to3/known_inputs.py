"""Inputs that layers of a model know, which made-up ones rarely are: words, and masked steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.twin.weights import Array

#: How many times values are made at most: of more words, some are taken from all over.
_TIMES: Final = 8
#: Axes of rows of steps of numbers.
_SEQUENCES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInputs:
    """What the layers of a model find something for.

    Attributes:
        texts: words of tables of text.
        numbers: words of tables of integers, and the places in inverted tables.
        masked: what steps of numbers hold that `Masking` layers mask.
    """

    texts: Sequence[str] = ()
    numbers: Sequence[int] = ()
    masked: Sequence[float] = ()

    def over(self, values: Sequence[Array]) -> Iterator[list[Array]]:
        """Yield *values* with known ones in the place of texts, integers, and ends of sequences."""
        for mask in self.masked:
            yield [_ending_in(mask, each, place) for place, each in enumerate(values)]
        pools = [self._pool(value) for value in values]
        sizes = zip(pools, values, strict=True)
        times = max((-(-len(pool) // max(value.size, 1)) for pool, value in sizes), default=0)
        for time in range(min(times, _TIMES)):
            made = zip(values, pools, strict=True)
            yield [_filled(each, pool, time, min(times, _TIMES)) for each, pool in made]

    def _pool(self, value: Array) -> Sequence[Any]:
        if value.dtype == object:
            return self.texts
        if not np.issubdtype(value.dtype, np.integer):
            return ()
        limits = np.iinfo(value.dtype)
        return [number for number in self.numbers if limits.min <= number <= limits.max]


def known_inputs(model: Any) -> KnownInputs:
    """Return what the layers of *model*, of Keras 3, know."""
    found: list[Any] = []
    masked: dict[float, None] = {}
    for layer in model._flatten_layers():
        table = getattr(layer, "_lookup_layer", layer)
        if hasattr(table, "get_vocabulary") and hasattr(table, "invert"):
            words = table.get_vocabulary()
            found += range(len(words) + 1) if table.invert else words
        if type(layer).__name__ == "Masking":
            masked[float(layer.mask_value)] = None
    texts = dict.fromkeys(word for word in found if isinstance(word, str))
    numbers = dict.fromkeys(int(word) for word in found if isinstance(word, (int, np.integer)))
    return KnownInputs(texts=[*texts], numbers=[*numbers], masked=[*masked])


def _ending_in(mask: float, value: Array, place: int) -> Array:
    """Return sequences like those of *value* whose last steps are *mask*, from another one on each.

    Args:
        mask: what is masked.
        value: rows of steps of numbers; anything else is returned as it is.
        place: of this input among all: two that are masked alike would hide how masks are merged.
    """
    if value.ndim < _SEQUENCES or not np.issubdtype(value.dtype, np.number):
        return value
    changed = value.copy()
    for row, steps in enumerate(changed):
        steps[1 + (row + 2 * place) % max(1, len(steps) - 1) :] = mask
    return changed


def _filled(value: Array, pool: Sequence[Any], time: int, times: int) -> Array:
    """Return an array like *value* of the part of *pool* whose turn it is."""
    if not pool or not value.size:
        return value
    most = value.size * times
    chosen = np.linspace(0, len(pool) - 1, most).astype(int) if len(pool) > most else None
    places = np.arange(most) % len(pool) if chosen is None else chosen
    part = [pool[place] for place in places[time::times]]
    return np.array(part, value.dtype).reshape(value.shape)
