"""Which custom objects a restore is given, and which one it lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastload import registry
from fastload.errors import UnresolvedObjectError
from fastload.runtime.core.keras import Keras, is_builtin, is_known
from fastload.twin.documents import LAYER_CLASSES
from fastload.twin.reader import Twin


def custom_objects(twin: Twin, keras: Keras, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the custom objects for a restore of *twin*, the nearest of each name.

    Args:
        twin: its manifest lists the names that the model's configuration uses.
        keras: the Keras that restores; names that it knows itself are left to it.
        given: `custom_objects=` of the call.
    """
    own = dict(given or {})
    names = twin.manifest.object_names
    found = registry.resolve(names, lambda name: name in own or is_known(keras, name))
    return found | own


def require_layer_classes(twin: Twin, keras: Keras, objects: Mapping[str, Any]) -> None:
    """Check that the class of every layer of a SavedModel is at hand, before anything is built.

    Raises:
        UnresolvedObjectError: one is not: only the stock loader can make it, of functions.
    """
    if LAYER_CLASSES not in twin.manifest.documents:
        return
    for name, layer in json.loads(twin.document(LAYER_CLASSES)).items():
        if name not in objects and not is_known(keras, name):
            raise UnresolvedObjectError(name, f"layer {layer!r}")


def require_resolved(twin: Twin, keras: Keras, objects: Mapping[str, Any]) -> None:
    """Check that every name in the model's configuration means something here.

    Raises:
        UnresolvedObjectError: one does not; it names the layer that uses it.
    """
    for name, user in twin.manifest.object_names.items():
        if name not in objects and not is_known(keras, name):
            raise UnresolvedObjectError(name, user)


def uses_only_builtins(twin: Twin, keras: Keras) -> bool:
    """Say whether every class and function of the model's configuration is Keras's own."""
    given = custom_objects(twin, keras, None)
    return not given and all(is_builtin(keras, name) for name in twin.manifest.object_names)
