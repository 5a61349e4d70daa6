"""What every converter returns for the twin's writer."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Final

from fastload.twin.format import Manifest, WeightSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A source of which everything but the weights was read.

    Attributes:
        manifest: everything that the twin holds besides the bytes of weights.
        specs: the weights to write.
        stream: reads the weights, one tensor at a time.
    """

    manifest: Manifest
    specs: Sequence[WeightSpec]
    stream: Callable[[], Iterator[tuple[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one kind of restore needs from a SavedModel.

    Attributes:
        groups: as in `Manifest`.
        documents: as in `Manifest`.
        object_names: as in `Manifest`.
        weights: the weights that it uses, by checkpoint key.
    """

    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    documents: Mapping[str, bytes]
    object_names: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, WeightSpec]


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of Python, fastload and *distributions*, for the record in a twin."""
    found = {"python": platform.python_version()}
    for name in ("tf-fastload", *distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


#: Configuration keys under which Keras stores the bare name of a function or class.
_NAMING_KEYS: Final = (
    "activation",
    "initializer",
    "regularizer",
    "constraint",
    "loss",
    "metric",
    "metrics",
)


def object_names(config: object, user: str) -> dict[str, str]:
    """Return each class or function name in *config*, with the first layer that uses it.

    Args:
        config: a decoded Keras configuration.
        user: the user to name for names outside any layer.

    Example:
        >>> object_names(
        ...     {"class_name": "Dense", "config": {"name": "d", "activation": "swish"}}, "the model"
        ... )
        {'Dense': 'd', 'swish': 'd'}
    """
    found: dict[str, str] = {}
    for name, by in _names(config, user):
        found.setdefault(name, by)
    return found


def _names(config: object, user: str) -> Iterator[tuple[str, str]]:
    if isinstance(config, Mapping):
        inner = config.get("config")
        if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            user = inner["name"]
        yield from ((name, user) for name in _own_names(config))
        for value in config.values():
            yield from _names(value, user)
    elif isinstance(config, Iterable) and not isinstance(config, (str, bytes)):
        for value in config:
            yield from _names(value, user)


def _own_names(config: Mapping[str, Any]) -> Iterator[str]:
    for key in ("class_name", "registered_name"):
        if isinstance(config.get(key), str):
            yield config[key]
    if config.get("class_name") == "function" and isinstance(config.get("config"), str):
        yield config["config"]
    for key, value in config.items():
        if key.endswith(_NAMING_KEYS):
            yield from (name for name in _strings(value))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)
