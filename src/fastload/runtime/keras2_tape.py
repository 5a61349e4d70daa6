"""Output specs of Keras 2 layer calls: recorded at the first rebuild of a model, replayed at later ones.

Keras 2 traces every symbolic layer call in a scratch graph, only to learn shape, dtype and name of the outputs: half of
the time of a rebuild. A call is recorded if the layer and all below it are Keras's own and the trace left no mark on
them; it is replayed only for the same layer on inputs with the same specs. Everything else is traced as ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from fastload.runtime.keras2 import Keras2
from fastload.runtime.rebuild import current_rebuild
from fastload.runtime.tensorflow import tensorflow


class Tape:
    """Output specs by call.

    Args:
        recorded: what an earlier rebuild recorded, or None to record now.
    """

    def __init__(self, recorded: Mapping[str, Any] | None = None) -> None:
        self._calls: dict[str, Any] = dict(recorded or {})
        self._known = frozenset(self._calls)

    @property
    def calls(self) -> Mapping[str, Any]:
        """Everything that is known, as JSON values."""
        return self._calls

    @property
    def grew(self) -> bool:
        """Say whether this rebuild learned calls that were not recorded before."""
        return self._calls.keys() != self._known

    def recall(self, key: str) -> Any:
        """Return the outputs recorded for *key*, or None."""
        return self._calls.get(key)

    def learn(self, key: str, outputs: Any) -> None:
        """Record *outputs* for *key*."""
        self._calls[key] = outputs


def tap_inference(parts: Keras2) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the tap on `Layer._infer_output_signature`."""

    def make(stock: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(stock)
        def infer_output_signature(self: Any, inputs: Any, args: Any, kwargs: Any, input_masks: Any) -> Any:
            rebuild = current_rebuild()
            if rebuild is None or rebuild.tape is None:
                return stock(self, inputs, args, kwargs, input_masks)
            return _infer(parts, stock, rebuild.tape, self, inputs, args, kwargs, input_masks)

        return infer_output_signature

    return make


def _infer(
    parts: Keras2, stock: Callable[..., Any], tape: Tape, layer: Any, inputs: Any, args: Any, kwargs: Any, masks: Any
) -> Any:
    if _is_own(parts, layer):
        _build(parts, layer, inputs)
    key = _key(parts, layer, (inputs, args, kwargs, masks))
    recorded = tape.recall(key) if key else None
    if recorded is not None:
        layer._set_save_spec(inputs, args, kwargs)
        return _outputs(parts, recorded)
    before = _marks(layer) if key else None
    outputs = stock(layer, inputs, args, kwargs, masks)
    if key and before == _marks(layer):
        specs = _specs(parts, outputs)
        if specs is not None:
            tape.learn(key, specs)
    return outputs


def _key(parts: Keras2, layer: Any, arguments: Any) -> str | None:
    """Return what the outputs of this call depend on, or None if it must be traced."""
    if not all(_is_stock(parts, inner) for inner in layer._flatten_layers()) or _sets_inputs(layer):
        return None
    described = [_described(parts, leaf) for leaf in tensorflow().nest.flatten(arguments)]
    if None in described:
        return None
    return f"{type(layer).__name__}:{layer.name}:{layer._name_scope()}({', '.join(str(d) for d in described)})"


def _is_stock(parts: Keras2, layer: Any) -> bool:
    return (
        layer.built
        and _is_own(parts, layer)
        and layer._activity_regularizer is None
        and "call" not in vars(layer)
        and type(layer).__name__ not in _OPAQUE
    )


def _is_own(parts: Keras2, layer: Any) -> bool:
    return type(layer).__module__.startswith((f"{parts.package}.src.", f"{parts.package}.layers."))


def _build(parts: Keras2, layer: Any, inputs: Any) -> None:
    # As stock does inside its scratch graph: the scope gives the variables their names.
    with parts.backend.name_scope(layer._name_scope()):
        layer._maybe_build(inputs)


#: Their outputs depend on a Python function or on values, not on specs alone.
_OPAQUE = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"})


def _sets_inputs(layer: Any) -> bool:
    return hasattr(layer, "_set_inputs") and not layer.inputs


def _described(parts: Keras2, leaf: Any) -> str | None:
    if leaf is None or isinstance(leaf, (bool, int, float, str)):
        return repr(leaf)
    spec = _spec(parts, leaf)
    return None if spec is None else f"{spec[0]}{spec[1]}{'m' if spec[3] else ''}"


def _spec(parts: Keras2, tensor: Any) -> list[Any] | None:
    """Return [dtype, shape, name, mask] of a dense symbolic tensor, or None for any other kind."""
    tf = tensorflow()
    if type(tensor) is not parts.keras_tensor.KerasTensor or type(tensor.type_spec) is not tf.TensorSpec:
        return None
    if tensor._inferred_value is not None or tensor.shape.rank is None:
        return None
    mask = getattr(tensor, "_keras_mask", None)
    mask_spec = None if mask is None else _spec(parts, mask)
    if mask is not None and mask_spec is None:
        return None
    return [tensor.dtype.name, tensor.shape.as_list(), [tensor.type_spec.name, tensor._name], mask_spec]


def _specs(parts: Keras2, outputs: Any) -> Any:
    if isinstance(outputs, (list, tuple)) and type(outputs) in (list, tuple):
        inner = [_specs(parts, output) for output in outputs]
        return None if None in inner else {type(outputs).__name__: inner}
    spec = _spec(parts, outputs)
    return None if spec is None else {"tensor": spec}


def _outputs(parts: Keras2, specs: Any) -> Any:
    if "tensor" in specs:
        return _keras_tensor(parts, specs["tensor"])
    (kind, inner), = specs.items()
    made = [_outputs(parts, spec) for spec in inner]
    return tuple(made) if kind == "tuple" else made


def _keras_tensor(parts: Keras2, spec: list[Any]) -> Any:
    tf = tensorflow()
    dtype, shape, (spec_name, name), mask = spec
    tensor = parts.keras_tensor.KerasTensor(tf.TensorSpec(shape, dtype, spec_name), name=name)
    if mask is not None:
        tensor._keras_mask = _keras_tensor(parts, mask)
    return tensor


#: Set by `_set_save_spec`, which a replay calls itself.
_SAVE_SPEC = frozenset({"_saved_model_inputs_spec", "_saved_model_arg_spec"})


def _marks(layer: Any) -> list[Any]:
    """Return what a trace could change on *layer* and the layers below it: attributes and what is in their lists."""
    return [
        [(name, id(value), _size(value)) for name, value in vars(inner).items() if inner is not layer or name not in _SAVE_SPEC]
        for inner in layer._flatten_layers()
    ]


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0
