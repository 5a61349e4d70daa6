"""What every converter returns for the twin's writer."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from importlib import metadata
from typing import Any, Final

from fastload.lean_dataclass import dataclass
from fastload.source.detect import Fingerprint, ModelSource
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


def manifest_of(
    source: ModelSource, fingerprint: Fingerprint, generation: str, **content: Any
) -> Manifest:
    """Return the manifest of the twin of *source*; *content* is what it holds besides."""
    return Manifest(
        source_kind=source.kind.value,
        source_digest=fingerprint.digest,
        generation=generation,
        versions=dict(_versions()),
        **content,
    )


def _versions() -> Iterator[tuple[str, str]]:
    """Yield what reads and writes the twin, with its version, for the record."""
    yield "python", platform.python_version()
    for name in ("tf-fastload", "tensorflow", "tensorflow-cpu", "tf-keras", "keras"):
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


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


#: Keras 3 takes an operation from the module that the file names.
_OPERATIONS: Final = ["keras", "src", "ops"]


def object_names(*configs: object, user: str = "the model") -> dict[str, str]:
    """Return each class or function name in *configs*, with the first layer that uses it.

    Args:
        *configs: decoded Keras configurations.
        user: the user to name for names outside any layer.

    Example:
        >>> object_names({"class_name": "Dense", "config": {"name": "d", "activation": "swish"}})
        {'Dense': 'd', 'swish': 'd'}
    """
    found: dict[str, str] = {}
    for config in configs:
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
    if str(config.get("module")).split(".")[:3] == _OPERATIONS:
        return
    for key in ("class_name", "registered_name"):
        if isinstance(config.get(key), str):
            yield config[key]
    if config.get("class_name") == "function" and isinstance(config.get("config"), str):
        yield config["config"]
    for key, value in config.items():
        if key.endswith(_NAMING_KEYS):
            yield from _strings(value)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)
