"""What a restore is given: the stock loader's arguments, custom objects among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastload import registry
from fastload.errors import UnresolvedObjectError
from fastload.runtime.core.keras import Keras, is_builtin, is_known
from fastload.twin.format import LAYER_CLASSES
from fastload.twin.reader import Twin


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """The arguments of the stock loader.

    Attributes:
        filepath: the path as the caller spelled it; some stock messages contain it.
        custom_objects: by name, those of the registries included.
        compile, safe_mode: as in `load_model`.
    """

    filepath: str
    custom_objects: Mapping[str, Any]
    compile: bool
    safe_mode: bool


def custom_objects(twin: Twin, keras: Keras, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the custom objects for a restore of *twin*, by name; the call's own come first.

    Args:
        twin: its manifest lists the names in the model's configuration.
        keras: the Keras that restores the model; names that it resolves itself are left out.
        given: `custom_objects=` of the call.
    """
    own = dict(given or {})
    names = twin.manifest.object_names
    found = registry.resolve(names, lambda name: name in own or is_known(keras, name))
    return found | own


def require_layer_classes(twin: Twin, keras: Keras, objects: Mapping[str, Any]) -> None:
    """Check, before anything is built, that every layer class of a SavedModel can be resolved.

    Raises:
        UnresolvedObjectError: one cannot; only the stock loader can revive it from functions.
    """
    if LAYER_CLASSES not in twin.manifest.documents:
        return
    for name, layer in json.loads(twin.document(LAYER_CLASSES)).items():
        if name not in objects and not is_known(keras, name):
            raise UnresolvedObjectError(name, f"layer {layer!r}")


def require_resolved(twin: Twin, keras: Keras, objects: Mapping[str, Any]) -> None:
    """Check that every name in the model's configuration can be resolved.

    Raises:
        UnresolvedObjectError: one cannot; the error names the layer that uses it.
    """
    for name, user in twin.manifest.object_names.items():
        if name not in objects and not is_known(keras, name):
            raise UnresolvedObjectError(name, user)


def uses_only_builtins(twin: Twin, keras: Keras) -> bool:
    """Say whether every class and function of the model's configuration is Keras's own."""
    given = custom_objects(twin, keras, None)
    return not given and all(is_builtin(keras, name) for name in twin.manifest.object_names)
