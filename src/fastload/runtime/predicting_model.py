"""A Keras model that is about to predict: whether it is still what was loaded, and its variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.flavour import KERAS3, Flavour
from fastload.runtime.object_state import is_same, state_of
from fastload.runtime.trace import NotKeptError
from fastload.runtime.transplant import require

_KINDS: Final = frozenset({"Functional", "Sequential"})
_COUNTER: Final = "_predict_counter"
_CALLED: Final = "_called"
#: What `predict` itself sets on a model, before its function is traced.
_OF_PREDICT: Final = frozenset({"_jit_compile", "history", "predict_function", "stop_predicting"})
#: Where Keras and TensorFlow keep books on what is set; and what is looked at on its own.
_BOOKS: Final = frozenset(
    {
        _CALLED,
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
        chosen: its Keras.
        state: a note of it.
        called: which of its layers were called before.
    """

    chosen: Flavour
    state: list[Any]
    called: list[bool]

    @classmethod
    def of(cls, model: Any, chosen: Flavour) -> PredictingModel:
        """Take note of *model*.

        Raises:
            UnsupportedRuntimeError: Keras is not as expected.
        """
        # Of the class: to look at a property of the model may change the model.
        require(type(model), ["_flatten_layers", "weights"])
        if not {"predict_function", "_jit_compile", _CALLED} <= vars(model).keys():
            raise UnsupportedRuntimeError("a model lacks what predict sets on it")
        return cls(chosen=chosen, state=_state(model, chosen), called=_called(model))

    def require_unchanged(self, model: Any) -> None:
        """Check that *model* is what it was, and predicts by a plain function.

        Raises:
            NotKeptError: it is not, or does not.
        """
        if vars(model)["_jit_compile"]:
            raise NotKeptError("XLA compiles it")
        if not is_same(self.state, _state(model, self.chosen)) or self.called != _called(model):
            raise NotKeptError("the model is not what it was when it was loaded")

    def variables(self, model: Any) -> list[Any]:
        """Return TensorFlow's own variables of *model*, in an order that is always the same.

        Raises:
            NotKeptError: one is of an unknown kind.
        """
        found = [getattr(each, "_value", each) for each in model.weights]
        if self.chosen.name != KERAS3:
            found.append(getattr(model, _COUNTER))
        if not all(hasattr(each, "handle") for each in found):
            raise NotKeptError("it has variables without a handle")
        return found

    @staticmethod
    def mark_called(model: Any) -> None:
        """Leave behind what a call of the model would have left."""
        setattr(model, _CALLED, True)


def is_covered(model: Any, chosen: Flavour) -> bool:
    """Say whether *model* is a plain functional or sequential one."""
    kind = type(model)
    return kind.__qualname__ in _KINDS and kind.__module__.partition(".")[0] == chosen.package


def _state(model: Any, chosen: Flavour) -> list[Any]:
    return state_of(model, chosen.keras.layers.Layer, _BOOKS, _OF_PREDICT)


def _called(model: Any) -> list[bool]:
    """Say of each layer, but for the model itself, whether it was called."""
    return [getattr(layer, _CALLED, False) for layer in model._flatten_layers(include_self=False)]
