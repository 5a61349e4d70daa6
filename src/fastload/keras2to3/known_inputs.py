"""Inputs that layers of a model know, which made-up ones rarely are: words, and masked steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.keras2to3.masks import is_masking, masks_zero
from fastload.twin.weights import Array

#: How many times values are made at most: of more words, some are taken from all over.
_TIMES: Final = 8
#: Axes of rows of steps: of numbers, of one index each.
_NUMBERS, _INDICES = 3, 2
#: Bytes of integers all of whose values occur: those of pixels, say.
_NARROW: Final = 2
_SEED: Final = 20_261_130


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInputs:
    """What the layers of a model find something for.

    Attributes:
        texts: words of tables of text.
        numbers: words of tables of integers, and the places in inverted tables.
        masked: what steps of numbers hold that `Masking` layers mask.
        masks_zero: whether a layer masks steps whose index is 0.
    """

    texts: Sequence[str] = ()
    numbers: Sequence[int] = ()
    masked: Sequence[float] = ()
    masks_zero: bool = False

    def over(self, values: Sequence[Array]) -> Iterator[list[Array]]:
        """Yield *values* with known ones in the place of texts, integers, and ends of sequences;
        and with every number that a narrow integer can be.
        """
        for mask in self.masked:
            places = enumerate(values)
            yield [_ending_in(mask, each, place, _NUMBERS) for place, each in places]
        if self.masks_zero:
            yield [_ending_in(0, each, place, _INDICES) for place, each in enumerate(values)]
        if any(map(_is_narrow, values)):
            yield [_of_all_sizes(each) for each in values]
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
        if is_masking(layer):
            masked[float(layer.mask_value)] = None
    texts = dict.fromkeys(word for word in found if isinstance(word, str))
    numbers = dict.fromkeys(int(word) for word in found if isinstance(word, (int, np.integer)))
    return KnownInputs(
        texts=[*texts],
        numbers=[*numbers],
        masked=[*masked],
        masks_zero=any(map(masks_zero, model._flatten_layers())),
    )


def _ending_in(mask: float, value: Array, place: int, axes: int) -> Array:
    """Return sequences like those of *value* whose last steps are *mask*, from another one on each.

    Args:
        mask: what is masked.
        value: rows of steps; anything else is returned as it is.
        place: of this input among all: two that are masked alike would hide how masks are merged.
        axes: how many axes rows of such steps have; where these are indices, its numbers are whole.
    """
    if value.ndim < axes or not np.issubdtype(value.dtype, np.number):
        return value
    if axes == _INDICES and not np.array_equal(value, np.round(value)):
        return value
    changed = value.copy()
    for row, steps in enumerate(changed):
        first = 1 + (row + 2 * place) % (len(steps) - 1) if len(steps) > 1 else (row + place) % 2
        steps[first:] = mask
    return changed


def _is_narrow(value: Array) -> bool:
    return value.dtype.kind in "iu" and value.dtype.itemsize <= _NARROW


def _of_all_sizes(value: Array) -> Array:
    """Return an array like *value* of numbers as small and as large as it can hold, if narrow."""
    if not _is_narrow(value):
        return value
    limits = np.iinfo(value.dtype)
    made = np.random.default_rng(_SEED).integers(limits.min, limits.max + 1, value.shape)
    return np.asarray(made, value.dtype)


def _filled(value: Array, pool: Sequence[Any], time: int, times: int) -> Array:
    """Return an array like *value* of the part of *pool* whose turn it is."""
    if not pool or not value.size:
        return value
    most = value.size * times
    chosen = np.linspace(0, len(pool) - 1, most).astype(int) if len(pool) > most else None
    places = np.arange(most) % len(pool) if chosen is None else chosen
    part = [pool[place] for place in places[time::times]]
    return np.array(part, value.dtype).reshape(value.shape)
