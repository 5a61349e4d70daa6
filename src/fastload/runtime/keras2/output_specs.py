"""Output specs of Keras 2 layer calls: recorded at a model's first rebuild, replayed at later ones.

Keras 2 traces every symbolic layer call in a scratch graph, only to learn shape, dtype and name of
the outputs: half of the time of a rebuild. A call is recorded if the layer and all below it are
Keras's own and the trace left no mark on them but those that a replay can leave too; it is replayed
only for the same layer on inputs with the same specs. Everything else is traced as ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastload.runtime.core.rebuild import current_rebuild
from fastload.runtime.core.spec_codec import NotPlainError, decode, decode_spec, encode, encode_spec
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.keras2.layers import Keras2

#: Their outputs depend on a Python function or on values, not on specs alone.
_OPAQUE: Final = frozenset(
    {"Lambda", "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"}
)
#: What the first call of a layer leaves on it; `_set_save_spec` sets the outer layer's own specs.
_CALL_MARKS: Final = ("_called", "_saved_model_inputs_spec", "_saved_model_arg_spec")


class Tape:
    """What symbolic layer calls give, by call.

    Args:
        recorded: what an earlier rebuild recorded; empty to record now.
    """

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        self._calls: dict[str, Any] = dict(recorded)
        self._known = len(self._calls)
        #: How often a trace of this rebuild asked for the learning phase.
        self.asked_for_phase = 0

    @property
    def calls(self) -> Mapping[str, Any]:
        """Everything that is known, as JSON values."""
        return self._calls

    @property
    def grew(self) -> bool:
        """Say whether this rebuild learned calls that were not recorded before."""
        return len(self._calls) > self._known

    def recall(self, key: str) -> Any:
        """Return what was recorded for *key*, or None."""
        return self._calls.get(key)

    def learn(self, key: str, call: Any) -> None:
        """Record *call* under *key*."""
        self._calls[key] = call


def tap_inference(parts: Keras2) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the tap on `Layer._infer_output_signature`."""

    def make(stock: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(stock)
        def infer_output_signature(self: Any, *arguments: Any) -> Any:
            rebuild = current_rebuild()
            if rebuild is None or rebuild.tape is None or not _is_own(parts, self):
                return stock(self, *arguments)
            return _infer(parts, stock, rebuild.tape, self, arguments)

        return infer_output_signature

    return make


def tap_learning_phase(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Take note of who asks for the learning phase: before Keras 2.12 that sets it.

    From then on every layer of the process that is called without `training` is told that value.
    """

    @functools.wraps(stock)
    def learning_phase() -> Any:
        rebuild = current_rebuild()
        if rebuild is not None and rebuild.tape is not None:
            rebuild.tape.asked_for_phase += 1
        return stock()

    return learning_phase


def _infer(
    parts: Keras2, stock: Callable[..., Any], tape: Tape, layer: Any, arguments: tuple[Any, ...]
) -> Any:
    inputs, args, kwargs, _ = arguments
    # As stock does inside its scratch graph: the scope gives the variables their names.
    with parts.backend.name_scope(layer._name_scope()):
        layer._maybe_build(inputs)
    key = _key(parts, layer, arguments)
    recorded = tape.recall(key) if key else None
    if recorded is not None:
        layer._set_save_spec(inputs, args, kwargs)
        return _replay(parts, layer, recorded)
    before, asked = _state(layer), tape.asked_for_phase
    outputs = stock(layer, *arguments)
    if key and (call := _recording(parts, layer, before, outputs)) is not None:
        tape.learn(key, {**call, "asks_for_phase": tape.asked_for_phase > asked})
    return outputs


def _key(parts: Keras2, layer: Any, arguments: Any) -> str | None:
    """Return what the outputs of this call depend on, or None if it must be traced."""
    if (hasattr(layer, "_set_inputs") and not layer.inputs) or not all(
        _is_plain(parts, inner) for inner in layer._flatten_layers()
    ):
        return None
    try:
        leaves = [
            encode(leaf, _tensor_leaf(parts)) for leaf in tensorflow().nest.flatten(arguments)
        ]
    except NotPlainError:
        return None
    return f"{type(layer).__name__}:{layer.name}:{layer._name_scope()}:{leaves}"


def _is_own(parts: Keras2, layer: Any) -> bool:
    return type(layer).__module__.startswith((f"{parts.package}.src.", f"{parts.package}.layers."))


def _is_plain(parts: Keras2, layer: Any) -> bool:
    """Say whether the outputs of *layer* follow from its config and the specs of its inputs."""
    return (
        layer.built
        and _is_own(parts, layer)
        and getattr(layer, "_activity_regularizer", None) is None
        and "call" not in vars(layer)
        and type(layer).__name__ not in _OPAQUE
        and not _has_yet_to_seed(layer)
    )


def _has_yet_to_seed(layer: Any) -> bool:
    """Say whether the first call of *layer* makes its random generator, as in Keras 2.8."""
    return not getattr(getattr(layer, "_random_generator", None), "_built", True)


def _state(layer: Any) -> list[dict[str, tuple[Any, int]]]:
    """Return what a trace could change on *layer* and those below: attributes, lengths of lists."""
    return [
        {
            # The value is held, so that no later object can be mistaken for it.
            name: (value, len(value) if isinstance(value, (list, dict)) else 0)
            for name, value in vars(inner).items()
        }
        for inner in layer._flatten_layers()
    ]


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the names of attributes that came, went, are another object or another length."""
    both = old.keys() & new.keys()
    same = {n for n in both if old[n][0] is new[n][0] and old[n][1] == new[n][1]}
    return (old.keys() | new.keys()) - same


def _recording(parts: Keras2, layer: Any, before: list[Any], outputs: Any) -> dict[str, Any] | None:
    """Return what a replay of the call that was just traced needs, or None if none can do it."""
    after = _state(layer)
    if len(before) != len(after):
        return None
    changed = [_changed(old, new) for old, new in zip(before, after, strict=True)]
    if any(names.difference(_CALL_MARKS) for names in changed):
        return None
    try:
        marks = [
            {name: encode(vars(inner)[name], _no_leaf) for name in sorted(names)}
            for names, inner in zip(changed, layer._flatten_layers(), strict=True)
        ]
        return {"outputs": encode(outputs, _tensor_leaf(parts)), "marks": marks[1:]}
    except NotPlainError:
        return None


def _replay(parts: Keras2, layer: Any, recorded: Mapping[str, Any]) -> Any:
    inner_layers = list(layer._flatten_layers())[1:]
    for inner, marks in zip(inner_layers, recorded["marks"], strict=True):
        # Around Keras's attribute tracking, as Keras itself sets them.
        vars(inner).update({name: decode(value, _no_leaf) for name, value in marks.items()})
    if recorded["asks_for_phase"]:
        parts.backend.learning_phase()
    return decode(recorded["outputs"], functools.partial(_keras_tensor, parts))


def _no_leaf(leaf: Any) -> Any:
    raise NotPlainError(type(leaf).__name__)


def _tensor_leaf(parts: Keras2) -> Callable[[Any], Any]:
    def leaf(tensor: Any) -> Any:
        """Encode a dense symbolic tensor: its spec, its name, its mask."""
        if type(tensor) is not parts.keras_tensor.KerasTensor or tensor._inferred_value is not None:
            raise NotPlainError(type(tensor).__name__)
        if type(tensor.type_spec) is not tensorflow().TensorSpec:
            raise NotPlainError(type(tensor.type_spec).__name__)
        mask = getattr(tensor, "_keras_mask", None)
        return {
            "tensor": [
                encode_spec(tensor.type_spec),
                tensor._name,
                None if mask is None else leaf(mask),
            ]
        }

    return leaf


def _keras_tensor(parts: Keras2, value: Mapping[str, Any]) -> Any:
    spec, name, mask = value["tensor"]
    tensor = parts.keras_tensor.KerasTensor(decode_spec(spec), name=name)
    if mask is not None:
        tensor._keras_mask = _keras_tensor(parts, mask)
    return tensor
