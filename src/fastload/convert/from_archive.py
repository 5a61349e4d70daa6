"""`.keras` archive to twin.

Documents and assets are copied; the tree of variables is laid out to be mapped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import ZipFile

from fastload import system
from fastload.cache.entry import KERAS2
from fastload.convert.conversion import Conversion, manifest_of, object_names
from fastload.errors import UnconvertibleModelError
from fastload.source.detect import Fingerprint, ModelSource
from fastload.source.hdf5 import HDF5Source
from fastload.source.keras_archive import read_keras_archive
from fastload.twin.format import STATE, WeightSpec

#: A variable, wherever it is: Keras looks for a group of this name on the way to it.
_VARIABLE: Final = re.compile(r"(.+/)?vars/.+")
#: A variable that its layer holds itself, under the name that Keras gives it.
_NUMBERED: Final = re.compile(r"layers/[^/]+/vars/\d+")


@contextmanager
def converting_archive(
    source: ModelSource, fingerprint: Fingerprint, generation: str
) -> Iterator[Conversion]:
    """Read everything but the weights of the `.keras` archive *source*.

    Raises:
        UnconvertibleModelError: it is not an archive as Keras writes them.
        UnsafeSourceError: it holds a bomb, a link or a path that escapes it.
    """
    with read_keras_archive(source.path) as archive:
        config = _decoded(archive.config)
        state = archive.weights
        _require_variables(state, generation)
        documents = {"config.json": archive.config, "metadata.json": archive.metadata}
        yield Conversion(
            manifest=manifest_of(
                source,
                fingerprint,
                generation,
                groups=_legacy_groups(config, state) | _moved(state.groups),
                documents=documents
                | {f"assets/{name}": content for name, content in archive.assets.items()},
                links=_moved(state.links, values=True) | _legacy_links(config, state),
                object_names=object_names(config),
            ),
            specs=[
                WeightSpec(name=f"{STATE}/{s.name}", dtype=s.dtype, shape=s.shape)
                for s in state.specs
            ],
            stream=lambda: ((f"{STATE}/{name}", value) for name, value in state.stream()),
        )


@contextmanager
def converting_folder(
    source: ModelSource, fingerprint: Fingerprint, generation: str
) -> Iterator[Conversion]:
    """Read the unpacked archive *source*: it is packed for as long as that takes.

    Raises:
        UnconvertibleModelError: it is not as Keras writes them.
        OSError: a file cannot be read, or the packed ones cannot be written.
    """
    with TemporaryDirectory(prefix="fastload-") as place:
        packed = Path(place, "model.keras")
        with open(packed, "wb", opener=system.opener) as made, ZipFile(made, "w") as archive:
            for file in source.files:
                archive.write(source.path / file.name, file.name)
        unpacked = replace(source, path=packed)
        with converting_archive(unpacked, fingerprint, generation) as conversion:
            yield conversion


def _require_variables(state: HDF5Source, generation: str) -> None:
    """Check that weights are where Keras keeps them: it fails at a dataset in the place of a group.

    Raises:
        UnconvertibleModelError: they are not.
    """
    elsewhere = [each.name for each in state.specs if not _VARIABLE.fullmatch(each.name)]
    if elsewhere:
        raise UnconvertibleModelError(
            f"{elsewhere[0]!r} in the HDF5 file is not a variable of Keras's"
        )
    if generation == KERAS2 and "vars" not in state.groups:
        raise UnconvertibleModelError("the HDF5 file has no variables of the model's own")


def _decoded(config: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(config)
    except ValueError as error:
        raise UnconvertibleModelError(f"config.json is not JSON: {error}") from error
    if not isinstance(decoded, dict) or "class_name" not in decoded:
        raise UnconvertibleModelError("config.json describes no model")
    return decoded


def _moved(by_path: Mapping[str, Any], *, values: bool = False) -> dict[str, Any]:
    """Return *by_path* below the state group; with *values*, the values are paths that move too."""
    move = {
        path: f"{STATE}/{path}" if path else STATE
        for path in {*by_path, *(by_path.values() if values else ())}
    }
    return {move[path]: move[value] if values else value for path, value in by_path.items()}


def _legacy_groups(config: Mapping[str, Any], state: HDF5Source) -> dict[str, dict[str, Any]]:
    """Return the groups with which stock Keras can open the twin as legacy HDF5; none if it
    cannot.
    """
    layers = _plain_layers(config, state)
    if layers is None:
        return {}
    legacy = {"class_name": config["class_name"], "config": config["config"]}
    groups: dict[str, dict[str, Any]] = {
        "": {"model_config": json.dumps(legacy), "keras_version": "3.0.0"}
    }
    groups["model_weights"] = {
        "layer_names": list(layers),
        "backend": "tensorflow",
        "keras_version": "3.0.0",
    }
    for layer, variables in layers.items():
        groups[f"model_weights/{layer}"] = {
            "weight_names": [name.rpartition("/")[2] for name in variables]
        }
    groups["model_weights/top_level_model_weights"] = {"weight_names": []}
    return groups


def _legacy_links(config: Mapping[str, Any], state: HDF5Source) -> dict[str, str]:
    layers = _plain_layers(config, state) or {}
    return {
        f"model_weights/{layer}/{name.rpartition('/')[2]}": f"{STATE}/{name}"
        for layer, variables in layers.items()
        for name in variables
    }


def _plain_layers(config: Mapping[str, Any], state: HDF5Source) -> dict[str, list[str]] | None:
    """Return each layer's variables, or None if only a layer's class knows the order of some.

    The tree names a layer by its class and number, the legacy layout by its name. They can be
    matched if the model is functional or sequential and every layer with variables holds them
    itself.
    """
    if config["class_name"] not in ("Functional", "Sequential"):
        return None
    stored = [spec.name for spec in state.specs if spec.name.startswith("layers/")]
    if not all(_NUMBERED.fullmatch(name) for name in stored):
        return None
    # Keras writes the layer's name as an attribute beside its variables.
    names = {
        path: attributes.get("name")
        for path, attributes in state.groups.items()
        if path.endswith("/vars")
    }
    found: dict[str, list[str]] = {}
    for name in sorted(stored, key=_number):
        layer = names.get(name.rpartition("/")[0])
        if not isinstance(layer, str):
            return None
        found.setdefault(layer, []).append(name)
    return found


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])
