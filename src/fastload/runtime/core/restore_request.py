"""What a restore is given: the stock loader's arguments, custom objects among them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastload import registry
from fastload.errors import UnresolvedObjectError
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.keras import TENSORFLOW, Keras, is_builtin, is_known
from fastload.twin.format import LAYER_CLASSES
from fastload.twin.reader import Twin


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """The arguments of the stock loader.

    Attributes:
        filepath: the path as the caller spelled it; some stock messages contain it.
        custom_objects: by name, those of the registries included.
        compile, safe_mode: as in `load_model`.
        allow_partial: variables may lack a value in a SavedModel's checkpoint.
        may_revive: layers that cannot be made of a configuration may be made of functions.
    """

    filepath: str
    custom_objects: Mapping[str, Any]
    compile: bool
    safe_mode: bool
    allow_partial: bool = False
    may_revive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsOrder:
    """The arguments of the stock `load_weights`.

    Attributes:
        model: the model.
        filepath: the path as the caller spelled it; its suffix says how Keras reads the file.
        arguments: the others, by name.
    """

    model: Any
    filepath: Any
    arguments: Mapping[str, Any]


def custom_objects(twin: Twin, keras: Keras, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the custom objects for a restore of *twin*, by name; the call's own come first.

    Args:
        twin: its manifest lists the names in the model's configuration.
        keras: the Keras that restores the model; names that it resolves itself are left out.
        given: `custom_objects=` of the call.
    """
    return _objects(twin.manifest.object_names, keras, given)


def _objects(names: Iterable[str], keras: Keras, given: Mapping[str, Any] | None) -> dict[str, Any]:
    own = dict(given or {})
    found = registry.resolve(names, lambda name: name in own or is_known(keras, name))
    return found | own


def program_objects(twin: Twin, keras: Keras, given: Mapping[str, Any] | None) -> list[Any]:
    """Return the custom classes and functions that the model's configuration names.

    Those that a program registered with Keras are among them.

    Args:
        twin: the twin.
        keras: the Keras that restores the model.
        given: `custom_objects=` of the call.
    """
    return objects_of_program(twin.manifest.object_names, keras, given)


def objects_of_program(
    names: Iterable[str], keras: Keras, given: Mapping[str, Any] | None
) -> list[Any]:
    """Return the custom classes and functions of these *names*, wherever they are registered."""
    own = _objects(names, keras, given)
    bare = {name.rpartition(">")[2]: each for name, each in own.items()}
    found = (_object_of_program(name, keras, bare) for name in names)
    return [each for each in found if each is not None]


def _object_of_program(name: str, keras: Keras, own: Mapping[str, Any]) -> Any:
    found = own.get(name.rpartition(">")[2])
    if found is not None or is_builtin(keras, name):
        return found
    return keras.module.utils.get_registered_object(name)


def missing_layer_class(
    twin: Twin, keras: Keras, objects: Mapping[str, Any]
) -> UnresolvedObjectError | None:
    """Say, before anything is built, which layer class of a SavedModel cannot be resolved.

    Layers without one can be made of the SavedModel's functions alone.
    """
    if LAYER_CLASSES not in twin.manifest.documents:
        return None
    for name, layer in json.loads(twin.document(LAYER_CLASSES)).items():
        if name not in objects and not is_known(keras, name):
            return UnresolvedObjectError(name, f"layer {layer!r}")
    return None


def require_resolved(twin: Twin, keras: Keras, objects: Mapping[str, Any], message: str) -> None:
    """Check that an error does not come from a name in the configuration that cannot be resolved.

    Args:
        twin: the twin.
        keras: the Keras that failed to restore it.
        objects: the custom objects that it was given.
        message: what it said, which names the class that it misses.

    Raises:
        UnresolvedObjectError: it does; the error names the layer that uses it.
    """
    for name, user in twin.manifest.object_names.items():
        is_missed = name.rpartition(">")[2] in message
        if is_missed and name not in objects and not is_known(keras, name):
            raise UnresolvedObjectError(name, user)


#: Keras's own layers that run code of another file, which may change: a SavedModel.
_OF_OTHER_FILES: Final = frozenset({"TFSMLayer"})


def uses_only_builtins(twin: Twin, keras: Keras) -> bool:
    """Say whether all that the model runs is Keras's own, by the classes of its configuration."""
    names = twin.manifest.object_names
    given = custom_objects(twin, keras, None)
    if given or not _OF_OTHER_FILES.isdisjoint(name.rpartition(">")[2] for name in names):
        return False
    return all(is_builtin(keras, name) for name in names)


def runs_only_keras(twin: Twin, keras: Keras, request: RestoreRequest) -> bool:
    """Say whether a restore runs no code but Keras's; not asked on TensorFlow, where it is no."""
    return (
        keras.backend != TENSORFLOW
        and not request.custom_objects
        and uses_only_builtins(twin, keras)
    )
