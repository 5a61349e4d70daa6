"""Files of weights to twin: every group and dataset, laid out to be mapped.

A file that holds a model as well has the same twin as for loading the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from fastload.convert.conversion import Conversion, manifest_of
from fastload.convert.from_hdf5 import NO_MODEL, converting_hdf5
from fastload.errors import UnconvertibleModelError
from fastload.source.detect import Fingerprint, ModelSource, place_of
from fastload.source.hdf5 import HDF5Source, holds_model, read_weights
from fastload.source.shards import read_map
from fastload.twin.format import (
    FUNCTION_SECTION,
    KERAS_SECTION,
    PREDICTION_SECTION,
    REFUSALS,
    REVIVED_SECTION,
    SHARD_MAP,
    SHARDS,
    WeightSpec,
)

#: A variable, wherever it is: Keras looks for a group of this name on the way to it.
_VARIABLE: Final = re.compile(r"(.+/)?vars/[^/]+")
_LEGACY: Final = ("layer_names", "layer_names0")
_NO_MODEL: Final = (UnconvertibleModelError.code, NO_MODEL)
_SECTIONS_OF_MODELS: Final = (KERAS_SECTION, FUNCTION_SECTION, REVIVED_SECTION, PREDICTION_SECTION)


@contextmanager
def converting_weights(
    source: ModelSource, fingerprint: Fingerprint, generation: str
) -> Iterator[Conversion]:
    """Read everything but the weights of an HDF5 file.

    Raises:
        UnconvertibleModelError: it is no file of Keras's.
        UnsafeSourceError: it holds a link, external storage or a bomb.
    """
    if holds_model(source.path):
        with converting_hdf5(source, fingerprint, generation) as found:
            yield found
        return
    with read_weights(source.path) as file:
        _require_weights(file)
        yield Conversion(
            manifest=manifest_of(
                source,
                fingerprint,
                generation,
                groups=file.groups,
                links=file.links,
                documents={REFUSALS: json.dumps(_refusals()).encode()},
            ),
            specs=file.specs,
            stream=file.stream,
        )


@contextmanager
def converting_shards(
    source: ModelSource, fingerprint: Fingerprint, generation: str
) -> Iterator[Conversion]:
    """Read everything but the weights of the files of a model's weights in shards.

    Raises:
        UnconvertibleModelError: one is no file of Keras's.
        UnsafeSourceError: one holds a link, external storage or a bomb.
    """
    with ExitStack() as files:
        shards = {}
        for file in source.files:
            if file.name:  # all but the map
                place = place_of(source.path, file.name)
                shards[f"{SHARDS}/{place.name}"] = files.enter_context(read_weights(place))
        for found in shards.values():
            _require_weights(found)
        documents = {REFUSALS: json.dumps(_refusals()).encode(), SHARD_MAP: read_map(source.path)}
        yield Conversion(
            manifest=manifest_of(
                source,
                fingerprint,
                generation,
                groups=dict(_groups(shards)),
                links=dict(_links(shards)),
                documents=documents,
            ),
            specs=list(_specs(shards)),
            stream=lambda: _stream(shards),
        )


def _groups(shards: Mapping[str, HDF5Source]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, shard in shards.items():
        for path, attributes in shard.groups.items():
            yield f"{place}/{path}" if path else place, attributes


def _links(shards: Mapping[str, HDF5Source]) -> Iterator[tuple[str, str]]:
    for place, shard in shards.items():
        for path, name in shard.links.items():
            yield f"{place}/{path}", f"{place}/{name}"


def _specs(shards: Mapping[str, HDF5Source]) -> Iterator[WeightSpec]:
    for place, shard in shards.items():
        for spec in shard.specs:
            yield WeightSpec(name=f"{place}/{spec.name}", dtype=spec.dtype, shape=spec.shape)


def _stream(shards: Mapping[str, HDF5Source]) -> Iterator[tuple[str, Any]]:
    for place, shard in shards.items():
        for name, value in shard.stream():
            yield f"{place}/{name}", value


def _require_weights(file: HDF5Source) -> None:
    """Check that a file is a tree of variables, or lists its layers.

    Raises:
        UnconvertibleModelError: it is neither. Keras fails at a dataset in the place of a group.
    """
    if any(name in file.groups[""] for name in _LEGACY):
        return
    names = [*(spec.name for spec in file.specs), *file.links]
    elsewhere = [name for name in names if not _VARIABLE.fullmatch(name)]
    if elsewhere or not names:
        what = repr(elsewhere[0]) if elsewhere else "nothing"
        raise UnconvertibleModelError(
            f"the HDF5 file holds {what}, which is not a variable of Keras's"
        )


def _refusals() -> dict[str, Any]:
    """Return why such a twin serves no load of a model."""
    return {section: list(_NO_MODEL) for section in _SECTIONS_OF_MODELS}
