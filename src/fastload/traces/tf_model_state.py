"""A Keras model that is about to predict: whether it still is what was loaded, its variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core.keras import KERAS3, Keras
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import FIRST_PREDICT
from fastload.traces.object_state import is_same, state_of
from fastload.traces.tf_trace import NotKeptError

_KINDS: Final = frozenset({"Functional", "Sequential"})
_COUNTER: Final = "_predict_counter"
#: What a call leaves on layers, and no later call looks at.
_MARKS: Final = (
    "_called",
    "_dropout_mask",
    "_parent_path",
    "_path",
    "_recurrent_dropout_mask",
)
#: Place of a layer, name and value.
Mark: TypeAlias = tuple[int, str, Any]
#: What `predict` itself sets on a model, before its function is traced.
_OF_PREDICT: Final = frozenset({"_jit_compile", "history", "predict_function", "stop_predicting"})
#: Where Keras and TensorFlow keep books on what is set; and what is looked at on its own.
_BOOKS: Final = frozenset(
    {
        *_MARKS,
        "_obj_reference_counts_dict",
        "_saved_model_arg_spec",
        "_saved_model_inputs_spec",
        "_self_name_based_restores",
        "_self_saveable_object_factories",
        "_self_unconditional_checkpoint_dependencies",
        "_self_unconditional_deferred_dependencies",
        "_self_unconditional_dependency_names",
        "_serialized_attributes",
        "_tracked",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictingModel:
    """What a model was made of when it was loaded.

    Attributes:
        keras: its Keras.
        state: a note of it.
        marks: what earlier calls left on its layers.
    """

    keras: Keras
    state: list[Any]
    marks: list[Mark]

    @classmethod
    def of(cls, model: Any, keras: Keras) -> PredictingModel:
        """Take note of *model*.

        Raises:
            UnsupportedRuntimeError: Keras is not as expected.
        """
        # Of the class: to look at a property of the model may change the model.
        FIRST_PREDICT.check(type(model), "Model")
        if not {"predict_function", "_jit_compile"} <= vars(model).keys():
            raise UnsupportedRuntimeError("a model lacks what predict sets on it")
        return cls(keras=keras, state=_state(model, keras), marks=_marks(model))

    def require_unchanged(self, model: Any) -> None:
        """Check that *model* is what it was, and predicts by a plain function.

        Raises:
            NotKeptError: it is not, or does not.
        """
        if vars(model)["_jit_compile"]:
            raise NotKeptError("XLA compiles it")
        if not is_same(self.state, _state(model, self.keras)):
            raise NotKeptError("the model is not what it was when it was loaded")

    def variables(self, model: Any) -> list[Any]:
        """Return TensorFlow's own variables of *model*, in an order that is always the same.

        Raises:
            NotKeptError: one is of an unknown kind.
        """
        found = [getattr(each, "_value", each) for each in model.weights]
        if self.keras.generation != KERAS3:
            found.append(getattr(model, _COUNTER))
        if not all(hasattr(each, "handle") for each in found):
            raise NotKeptError("it has variables without a handle")
        return found

    def new_marks(self, model: Any) -> list[Mark]:
        """Return what calls left since the model was loaded.

        Raises:
            NotKeptError: it is nothing plain.
        """
        new = [after for after in _marks(model) if after not in self.marks]
        if not all(isinstance(value, (bool, str, type(None))) for _, _, value in new):
            raise NotKeptError("a call leaves something on its layers")
        return new


def leave_marks(model: Any, marks: Sequence[Mark]) -> None:
    """Leave on *model* what a call would."""
    layers = list(model._flatten_layers())
    for place, name, value in marks:
        if getattr(layers[place], name, layers) != value:
            setattr(layers[place], name, value)


def is_covered(model: Any, keras: Keras) -> bool:
    """Say whether *model* is a plain functional or sequential one."""
    kind = type(model)
    return kind.__qualname__ in _KINDS and kind.__module__.partition(".")[0] == keras.package


def blank_batch(model: Any) -> Any:
    """Return one row of zeros for each input of *model*; None where it takes any size, or words."""
    inputs = getattr(model, "inputs", None) or ()
    rows = [_blank_row(each) for each in inputs]
    if not rows or any(row is None for row in rows):
        return None
    return rows[0] if len(rows) == 1 else rows


def _blank_row(spec: Any) -> Any:
    tf = tensorflow()
    shape, dtype = tuple(spec.shape)[1:], tf.as_dtype(spec.dtype)
    is_dense = isinstance(getattr(spec, "type_spec", None), (type(None), tf.TensorSpec))
    if None in shape or not is_dense or not (dtype.is_floating or dtype.is_integer):
        return None
    return np.zeros((1, *shape), dtype.as_numpy_dtype)


def _state(model: Any, keras: Keras) -> list[Any]:
    return state_of(model, keras.module.layers.Layer, _BOOKS, _OF_PREDICT)


def _marks(model: Any) -> list[Mark]:
    return [
        (place, name, vars(layer)[name])
        for place, layer in enumerate(model._flatten_layers())
        for name in _MARKS
        if name in vars(layer)
    ]
