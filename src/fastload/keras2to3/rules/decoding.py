"""Decoding of the types that JSON lacks, as Keras 2 wrote them into configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TUPLES: Final = frozenset({"__tuple__", "TensorShape"})


def decoded(value: Any) -> Any:
    """Return *value* with tuples, shapes and ellipses decoded.

    Example:
        >>> decoded({"class_name": "__tuple__", "items": [None, {"class_name": "__ellipsis__"}]})
        (None, Ellipsis)
    """
    if isinstance(value, Mapping):
        kind = value.get("class_name")
        if kind in _TUPLES:
            return tuple(decoded(item) for item in _items(value))
        if kind == "__ellipsis__":
            return Ellipsis
        return {key: decoded(each) for key, each in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


def _items(value: Mapping[str, Any]) -> Any:
    """Return the items of a tuple, which Keras before 2.13 and since keeps in different places."""
    if "items" in value:
        return value["items"] or ()
    config = value.get("config")
    return config.get("value", ()) if isinstance(config, Mapping) else config or ()
