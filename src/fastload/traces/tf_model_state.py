"""Whether a Keras model that is about to predict still is what was loaded; its variables.

What a model is made of is noted by identity, and weakly: the note keeps nothing alive. It reaches
every layer, every node of the graph of layers, all their attributes, and the lists and dicts in
those. What a variable holds is not part of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from fastload.cache.entry import KERAS3
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core.keras import Keras
from fastload.runtime.requirements import FIRST_PREDICT

_COVERED: Final = frozenset({"Functional", "Sequential"})
_COUNTER: Final = "_predict_counter"
#: What a call leaves on layers, and no later call reads.
_MARKS: Final = (
    "_called",
    "_dropout_mask",
    "_parent_path",
    "_path",
    "_recurrent_dropout_mask",
)
#: What `predict` itself sets on a model, before its function is traced.
_OF_PREDICT: Final = frozenset({"_jit_compile", "history", "predict_function", "stop_predicting"})
#: Where Keras and TensorFlow keep books on what is set; and what is compared on its own.
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
        "_thread_local",
        "_tracked",
    }
)
#: What says nothing about what a model computes: names, which Keras may count, among it.
NO_STATE: Final = _BOOKS | _OF_PREDICT | {"_compiled_trainable_state", "_name", "name"}
_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type})
#: What is compared by value; names of attributes, and keys of dicts, are noted together.
_COMPARED: Final = frozenset({*_PLAIN, tuple})
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
#: Keras's classes of a call of a layer in the model's graph, and of its arguments in Keras 3.
_NODES: Final = frozenset({"Node", "SymbolicArguments"})
#: What a call leaves on a layer: the layer's place, name and value.
Mark: TypeAlias = tuple[int, str, Any]


class NotKeptError(Exception):
    """A trace cannot be kept: another process could not run it, or would compute something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What a model was made of when it was loaded.

    Attributes:
        keras: its Keras.
        note: of what it is made of.
        marks: what earlier calls left on its layers.
    """

    keras: Keras
    note: list[Any]
    marks: list[Mark]

    @classmethod
    def of(cls, model: Any, keras: Keras) -> ModelState:
        """Take note of *model*.

        Raises:
            UnsupportedRuntimeError: Keras is not as expected.
        """
        # Of the class: accessing a property of the model may change the model.
        FIRST_PREDICT.check(type(model), "Model")
        if not {"predict_function", "_jit_compile"} <= vars(model).keys():
            raise UnsupportedRuntimeError("a model lacks what predict sets on it")
        return cls(keras=keras, note=_note(model, keras), marks=_marks(model))

    def require_unchanged(self, model: Any) -> None:
        """Check that *model* is what it was, and predicts by a plain function.

        Raises:
            NotKeptError: it is not, or does not.
        """
        if vars(model)["_jit_compile"]:
            raise NotKeptError("XLA compiles it")
        now = _note(model, self.keras)
        if len(self.note) != len(now) or not all(map(_are_same, self.note, now)):
            raise NotKeptError("the model is not what it was when it was loaded")

    def parts(self, model: Any) -> list[Any]:
        """Return the objects that *model* consists of: its layers and itself."""
        return list(model._flatten_layers())

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
    return kind.__qualname__ in _COVERED and kind.__module__.partition(".")[0] == keras.package


def _marks(model: Any) -> list[Mark]:
    return [
        (place, name, vars(layer)[name])
        for place, layer in enumerate(model._flatten_layers())
        for name in _MARKS
        if name in vars(layer)
    ]


def _note(model: Any, keras: Keras) -> list[Any]:
    # In Keras 3 a model has operations too, which are no layers.
    kinds = _Kinds((keras.module.layers.Layer, getattr(keras.module, "Operation", ())), keras)
    own = {name: value for name, value in vars(model).items() if name not in _OF_PREDICT}
    waiting: list[Any] = [_without_books(own)]
    seen = {id(model)}
    note: list[Any] = []
    for holder in waiting:  # which grows
        values = _contents(holder, note)
        note += [value if type(value) in _PLAIN else _reference(value) for value in values]
        for value in values:
            has_attributes = kinds[type(value)]
            if has_attributes is not None and id(value) not in seen:
                seen.add(id(value))
                waiting.append(_without_books(vars(value)) if has_attributes else value)
    return note


def _are_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return type(one) is type(other) and type(one) in _COMPARED and bool(one == other)


class _Kinds(dict[type, "bool | None"]):
    """Which classes hold something that counts: True in attributes, False for containers.

    Args:
        layer_class: of layers, and of what else counts as one does.
        keras: whose nodes count too.
    """

    def __init__(self, layer_class: Any, keras: Keras) -> None:
        super().__init__(dict.fromkeys(_PLAIN))
        self._layer_class = layer_class
        self._package = keras.package

    def __missing__(self, kind: type) -> bool | None:
        counts = issubclass(kind, self._layer_class) or self._is_node(kind)
        self[kind] = found = counts if counts or issubclass(kind, _CONTAINERS) else None
        return found

    def _is_node(self, kind: type) -> bool:
        return kind.__name__ in _NODES and kind.__module__.partition(".")[0] == self._package


def _without_books(items: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if name not in _BOOKS}


def _contents(holder: Any, note: list[Any]) -> list[Any]:
    """Return the values in *holder*, and note how they are called."""
    if isinstance(holder, dict):
        note.append(tuple([key if type(key) in _PLAIN else id(key) for key in holder]))
        return list(holder.values())
    return list(holder)


def _reference(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):  # it may be changed in place
        # Imported here: few layers have any.
        from fastload.runtime.core.code_facts import content_of

        return content_of(value)
    try:
        # The same object as long as the value lives.
        return weakref.ref(value)
    except TypeError:
        # A container, whose contents are noted, or something small and without attributes.
        return type(value) if isinstance(value, _CONTAINERS) else value
