"""Keras models whose weights are lent: their variables, and what a lazy model needs besides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import SMALL_BYTES
from fastload.lazy_weights.pages import was_written
from fastload.lazy_weights.tf_lazy_variables import fill, is_plain, make_lazy
from fastload.runtime.core.zero_copy import address_of, has_dlpack
from fastload.twin.reader import Twin


def variables_of(model: Any, twin: Twin) -> dict[str, Any]:
    """Return the plain variables of a restored model by the name of their weight in the twin.

    Args:
        model: a model that was restored from *twin*.
        twin: its twin, whose memory the variables share. Variables that share none are left out, as
            are those that were changed in place while the model was restored, and those whose
            handles functions of a SavedModel keep.
    """
    places, captured = twin.addresses(), _captured(model)
    found = {}
    for variable in map(_innermost, model.variables):
        if is_plain(variable) and id(variable) not in captured:
            array = np.asarray(variable.read_value())
            address = address_of(array)
            is_shared = address in places and has_dlpack(array.dtype)
            if is_shared and not was_written(address, array.nbytes):
                found[places[address]] = variable
    return found


def _captured(model: Any) -> set[int]:
    """Return the ids of the variables of Keras 3 layers that call functions of a SavedModel."""
    layers = model._flatten_layers()
    weights = (each for layer in layers for each in getattr(layer, "saved_weights", ()))
    return {id(_innermost(each)) for each in weights}


def nbytes_besides(model: Any, variables: Mapping[str, Any]) -> int:
    """Return the bytes of a model's large variables that are not in *variables*."""
    known = {id(variable) for variable in variables.values()}
    others = [each for each in map(_innermost, model.variables) if id(each) not in known]
    sizes = [math.prod(each.shape) * (each.dtype.size or 0) for each in others]
    return sum(size for size in sizes if size >= SMALL_BYTES)


def lend_weights(variables: Mapping[str, Any], lender: Lender, near: Lender | None = None) -> None:
    """Make variables lazy, and copy kept weights to memory of their own."""
    for weight in lender.plan.kept:
        if weight.name in variables:
            fill(variables[weight.name].handle, lender.content(weight))
    for weight in lender.plan.lent:
        if weight.name in variables:
            make_lazy(variables[weight.name], lender, weight.name, near)


def refuse_compilation(model: Any) -> None:
    """Disable XLA: a compiled function takes all weights at once and cannot call back."""
    if hasattr(model, "supports_jit"):  # Keras 3 checks it
        model.supports_jit = False
    if getattr(model, "jit_compile", None):
        model.jit_compile = False


def _innermost(variable: Any) -> Any:
    """Return TensorFlow's variable inside Keras's, or inside one that casts when it is read."""
    for name in ("_value", "_variable"):
        variable = getattr(variable, name, variable)
    return variable
