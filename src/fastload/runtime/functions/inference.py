"""The inference function of a live Keras model, traced once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.errors import NoFunctionError
from fastload.runtime.core.sample_inputs import stated
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import address_of
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.flattening import Capture, Capturing
from fastload.runtime.functions.inlining import inlined
from fastload.runtime.functions.weight_readers import Weight
from fastload.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, map_structure
from fastload.twin.reader import Twin

#: Whose `predict` is Keras's, or makes tensors of text before it (KerasHub's).
_LIBRARIES: Final = frozenset({"keras", "tf_keras", "tensorflow", "keras_hub", "keras_nlp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A model's inference function.

    Attributes:
        concrete: the concrete function; it takes the inputs one by one, in the signature's order.
        signature: what it takes and gives.
    """

    concrete: Any
    signature: Signature

    def __call__(self, **inputs: Any) -> Any:
        """Run it on inputs by name, as one runs a SavedModel's signature."""
        return self.concrete(*(inputs[name] for name in self.signature.order or ()))


def inference_of(model: Any) -> Inference:
    """Trace what *model* does with its inputs when it predicts.

    Args:
        model: a Keras model of any Keras on TensorFlow.

    Raises:
        NoFunctionError: its inputs are not known before it is called, or are no plain tensors; or
            its class predicts in a way of its own.
    """
    tf = tensorflow()
    _require_plain_predict(type(model))
    inputs = _input_specs(model)
    found: list[Any] = []

    def serve(*tensors: Any) -> Any:
        packed = tf.nest.pack_sequence_as(_input_structure(model), tensors)
        result = model(packed, training=False)
        leaves = tf.nest.flatten(result)
        names = _output_names(model, len(leaves))
        outputs = dict(zip(names, leaves, strict=True))
        found[:] = [tf.nest.pack_sequence_as(result, names), outputs]
        return outputs

    specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in inputs]
    concrete = tf.function(serve, input_signature=specs, autograph=False).get_concrete_function()
    names, outputs = found
    signature = Signature(
        name=DEFAULT_SIGNATURE,
        inputs={spec.name: spec for spec in inputs},
        outputs={name: _spec(name, tensor) for name, tensor in sorted(outputs.items())},
        order=tuple(spec.name for spec in inputs),
        structure=map_structure(str, names),
    )
    return Inference(concrete=concrete, signature=signature)


def capturing(inference: Inference, twin: Twin) -> Capturing:
    """Return an inference function as one that can be made flat.

    Args:
        inference: the function of a model that was restored from *twin*.
        twin: the model's twin, whose memory the model's variables share.

    Raises:
        NotFlatError: it captures something that is neither a variable nor a plain tensor.
    """
    concrete = inference.concrete
    definitions = [*concrete.graph.as_graph_def().library.function, concrete.function_def]
    variables = {id(variable.handle): variable for variable in concrete.graph.variables}
    places = twin.addresses()
    captures = tuple(
        _capture(tensor, variables.get(id(tensor)), places) for tensor in concrete.captured_inputs
    )
    arguments, results = inference.signature.order or (), tuple(inference.signature.outputs)
    copies = [type(each).FromString(each.SerializeToString()) for each in definitions]
    name = concrete.function_def.signature.name
    return Capturing(
        graph=inlined(copies, name, len(arguments) + len(captures), len(results)),
        arguments=arguments,
        results=results,
        captures=captures,
    )


def signature_of(name: str, function: Any) -> Signature:
    """Return what a signature of a loaded SavedModel takes and gives.

    Args:
        name: its name.
        function: the concrete function.
    """
    inputs = function.structured_input_signature[1]
    outputs = function.structured_outputs
    return Signature(
        name=name,
        inputs={each: _spec(each, inputs[each]) for each in sorted(inputs)},
        outputs={each: _spec(each, outputs[each]) for each in sorted(outputs)},
    )


def _capture(tensor: Any, variable: Any, places: dict[int, str]) -> Capture:
    if variable is None:
        if tensor.dtype in (tensorflow().resource, tensorflow().variant):
            raise NotFlatError("it captures a table or another resource")
        return Capture(value=np.asarray(tensor), weight=None)
    value = np.asarray(variable.read_value())
    weight = Weight(dtype=variable.dtype.as_datatype_enum, shape=tuple(value.shape))
    return Capture(value=places.get(address_of(value), value), weight=weight)


def _require_plain_predict(kind: type[Any]) -> None:
    """Check that `predict` of a model gives what a call does: a predictor has one function."""
    for name in ("predict", "predict_step", "make_predict_function"):
        module = getattr(getattr(kind, name, None), "__globals__", {}).get("__name__", "keras")
        if module.partition(".")[0] not in _LIBRARIES:
            raise NoFunctionError(f"{kind.__name__} has a {name} of its own")


def _input_specs(model: Any) -> list[TensorSpec]:
    inputs: Sequence[Any] | None = stated(model, "inputs")
    if not inputs:
        raise NoFunctionError("it does not say what it takes before it is called")
    names = _keys(model) or getattr(model, "input_names", None) or [each.name for each in inputs]
    if len(set(names)) < len(names):
        names = [f"input_{index}" for index in range(len(names))]
    return [_spec(name, tensor) for name, tensor in zip(names, inputs, strict=True)]


def _keys(model: Any) -> list[str]:
    """Return the keys by which *model* takes its inputs, in their order; nothing if it takes none.

    An input may have another name than its key; Keras goes by the key.
    """
    structure = stated(model, "input")
    if not isinstance(structure, dict) or any(map(tensorflow().nest.is_nested, structure.values())):
        return []
    return sorted(map(str, structure))


def _input_structure(model: Any) -> Any:
    """Return the model's inputs in the structure in which it takes them."""
    structure = stated(model, "input")
    if structure is not None:
        return structure
    # Keras 3 has none in a Sequential that came from a file.
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs


def _output_names(model: Any, count: int) -> list[str]:
    names = list(getattr(model, "output_names", None) or ())
    return names if len(set(names)) == count else [f"output_{index}" for index in range(count)]


def _spec(name: str, tensor: Any) -> TensorSpec:
    tf = tensorflow()
    spec = getattr(tensor, "type_spec", None)  # Keras 2 says there what its tensors stand for
    if getattr(tensor, "sparse", False) or not isinstance(spec, (tf.TensorSpec, type(None))):
        raise NoFunctionError(f"it takes or gives {name!r}, which is not a plain tensor")
    shape = tf.TensorShape(tensor.shape)
    return TensorSpec(
        name=name,
        dtype=tf.as_dtype(tensor.dtype).name,
        shape=None if shape.rank is None else tuple(shape.as_list()),
    )
