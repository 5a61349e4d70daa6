"""The masks of a migrated model: which its layers make, and which Keras 3 treats otherwise.

Masks change what a model gives only where they mask a step. A comparison says something of them if
one of its inputs has such a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

import numpy as np

from fastload.keras2to3.tf_array_functions import Function

#: Layers that pass masks on in Keras 3 alone. Source: `supports_masking` in Keras 3.15 and in
#: tf-keras 2.21.
PASS_ON: Final = frozenset({"Identity", "Normalization", "Rescaling"})
#: Layers that mask what all of their inputs mask; in Keras 2, what any of them masks.
_MERGE: Final = frozenset({"Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"})
#: Whose layers make no masks but those that are asked for by their arguments.
_LIBRARIES: Final = frozenset({"keras", "fastload"})


def is_masking(layer: Any) -> bool:
    """Say whether a layer masks steps that hold its `mask_value`."""
    return type(layer).__name__ == "Masking"


def masks_zero(layer: Any) -> bool:
    """Say whether a layer masks steps whose index is 0."""
    return bool(getattr(layer, "mask_zero", False))


def masks_of(model: Any) -> Callable[..., list[Any]] | None:
    """Return *model*, of Keras 3, as a function to the masks that its layers make; None if none do.

    It is called as the model is.
    """
    makers = [layer for layer in model._flatten_layers() if _makes_masks(layer)]

    def masks(inputs: Any, **options: Any) -> list[Any]:
        with _recorded(makers) as found:
            model(inputs, **options)
        return found

    return masks if makers else None


def _makes_masks(layer: Any) -> bool:
    """Say whether a layer may mask steps of what comes without a mask."""
    module = str(getattr(type(layer).compute_mask, "__module__", "keras"))
    is_of_a_program = module.partition(".")[0] not in _LIBRARIES
    return is_of_a_program or is_masking(layer) or masks_zero(layer)


@contextmanager
def _recorded(layers: Sequence[Any]) -> Iterator[list[Any]]:
    """Provide a list of the masks that *layers* make while the block runs."""
    found: list[Any] = []
    names = ["call" if is_masking(layer) else "compute_mask" for layer in layers]
    for layer, name in zip(layers, names, strict=True):  # past Keras, which would track it
        recording = _recording_masking if is_masking(layer) else _recording
        object.__setattr__(layer, name, recording(layer, found))
    try:
        yield found
    finally:
        for layer, name in zip(layers, names, strict=True):
            object.__delattr__(layer, name)


def _recording(layer: Any, found: list[Any]) -> Callable[..., Any]:
    """Return a `compute_mask` that adds masks to *found* that it makes where there was none."""
    compute_mask = layer.compute_mask

    @wraps(compute_mask)
    def recording(inputs: Any, mask: Any = None, **others: Any) -> Any:
        made = compute_mask(inputs, mask, **others)
        if not _flat(mask):
            found.extend(_flat(made))
        return made

    return recording


def _recording_masking(layer: Any, found: list[Any]) -> Callable[..., Any]:
    """Return the `call` of a `Masking` layer, which makes its mask in there."""
    call = layer.call

    @wraps(call)
    def recording(inputs: Any, **others: Any) -> Any:
        found.append(layer.compute_mask(inputs))
        return call(inputs, **others)

    return recording


def _flat(mask: Any) -> list[Any]:
    """Return the masks in *mask*, which may be one, none, or a list of those."""
    if isinstance(mask, (list, tuple)):
        return [inner for each in mask for inner in _flat(each)]
    return [] if mask is None else [mask]


def are_told(masks: Function | None, compared: Sequence[list[Any]]) -> bool:
    """Say whether each mask of a model masks a step of one of the inputs that were *compared*."""
    if masks is None:
        return True
    found = [[not np.all(mask) for mask in masks(values)] for values in compared]
    return bool(np.all(np.any(found, axis=0)))


def treated_otherwise(model: Any) -> str | None:
    """Return the name of a layer of *model* that passes on another mask than in Keras 2."""
    found = (layer.name for layer in model._flatten_layers() if _is_otherwise(layer))
    return next(found, None)


def _is_otherwise(layer: Any) -> bool:
    kind = type(layer).__name__
    most = 0 if kind in PASS_ON else 1
    return kind in PASS_ON | _MERGE and any(
        len(_masks(node)) > most for node in layer._inbound_nodes
    )


def _masks(node: Any) -> set[int]:
    masks = (getattr(tensor, "_keras_mask", None) for tensor in node.input_tensors)
    return {id(mask) for mask in masks if mask is not None}
