"""Classes that a program has to know before it can load a model, told by the model's file alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from fastload.declarations import declaration_of
from fastload.registry import custom_objects

if TYPE_CHECKING:
    from fastload.twin.format import Manifest

#: The configuration in files of Keras 3, and of Keras 2.12 and later; others do not say whose a
#: class is.
_CONFIG: Final = "config.json"
_KERAS: Final = ("keras", "tf_keras")


def undeclared_classes(manifest: Manifest) -> tuple[str, ...]:
    """Return the classes and functions of a model that are neither Keras's nor declared here.

    Args:
        manifest: that of the model's twin, or of its conversion.

    Returns:
        Their names, without the package that they were registered for, sorted.
    """
    content = manifest.documents.get(_CONFIG)
    names = set(_foreign(json.loads(content))) if content else set()
    return tuple(sorted({name.rpartition(">")[2] for name in names if not _is_known(name)}))


def _is_known(name: str) -> bool:
    bare = name.rpartition(">")[2]
    return name in custom_objects or bare in custom_objects or declaration_of(name) is not None


def _foreign(config: Any) -> Iterator[str]:
    """Yield the names that objects of other packages than Keras are registered by."""
    waiting = [config]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            name, module = found.get("registered_name"), str(found.get("module"))
            if isinstance(name, str) and module.partition(".")[0] not in _KERAS:
                yield name
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
