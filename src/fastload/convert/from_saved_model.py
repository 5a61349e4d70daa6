"""SavedModel to twin: a section for Keras, one for TensorFlow's own loader, weights for both."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastload.convert.conversion import Conversion, Section, manifest_of
from fastload.convert.function_section import function_section
from fastload.convert.keras_section import keras_section, names_in, saved_metadata
from fastload.convert.session_section import session_sections, session_stream
from fastload.errors import UnconvertibleModelError
from fastload.runtime.core.tensorflow import Checkpoint, parse_object_graph, parse_saved_model
from fastload.runtime.saved_model.library_check import require_loadable
from fastload.source.detect import Fingerprint, ModelSource
from fastload.source.saved_model_parts import has_objects, read_saved_model
from fastload.twin.format import (
    KERAS_SECTION,
    REFUSALS,
    REVIVED_SECTION,
    WeightSpec,
)

_EMPTY = Section(documents={}, weights={})


def convert_saved_model(
    source: ModelSource, fingerprint: Fingerprint, generation: str, wanted: str
) -> Conversion:
    """Read everything but the weights of the SavedModel *source*.

    Args:
        source: the SavedModel.
        fingerprint: its fingerprint.
        generation: the Keras that its Keras section is for.
        wanted: what the twin must serve: one of a SavedModel of TensorFlow 1 serves no Keras model.

    Raises:
        UnconvertibleModelError: it cannot be made.
    """
    if not has_objects(source.path / "saved_model.pb"):
        return _convert_session_graph(source, fingerprint, generation, wanted)
    _require_whole(source)
    parts = read_saved_model(source.path / "saved_model.pb")
    graph = parse_object_graph(parts.object_graph)
    metadata = saved_metadata(source.path, graph)
    checkpoint = Checkpoint(source.path / "variables" / "variables")
    refusals: dict[str, UnconvertibleModelError] = {}
    keras = _EMPTY
    try:
        keras = keras_section(source, parts, graph, metadata, checkpoint)
    except UnconvertibleModelError as error:  # its functions serve Keras as well
        refusals[KERAS_SECTION] = error
    functions = function_section(source, graph, checkpoint, keras.weights)
    weights = {**keras.weights, **functions.weights}
    return Conversion(
        manifest=manifest_of(
            source,
            fingerprint,
            generation,
            groups=keras.groups,
            documents={**keras.documents, **functions.documents, **_refusal_document(refusals)},
            object_names=names_in(metadata),
        ),
        specs=list(weights.values()),
        stream=functools.partial(_stream, checkpoint, weights),
    )


def _require_whole(source: ModelSource) -> None:
    """Check all of the file: stock loaders read it whole, and a twin serves without the rest.

    Raises:
        UnconvertibleModelError: it is damaged.
        UnsupportedRuntimeError: TensorFlow lacks an operation here.
    """
    saved_model = parse_saved_model((source.path / "saved_model.pb").read_bytes())
    require_loadable(saved_model.meta_graphs[0])


def _convert_session_graph(
    source: ModelSource, fingerprint: Fingerprint, generation: str, wanted: str
) -> Conversion:
    """Read a SavedModel that TensorFlow 1 wrote, of which Keras can make no model."""
    refused = UnconvertibleModelError("the SavedModel was not written by TensorFlow 2")
    if wanted == KERAS_SECTION:
        raise refused
    saved_model = parse_saved_model((source.path / "saved_model.pb").read_bytes())
    found = session_sections(source.path, saved_model)
    if wanted in found.refusals:
        raise found.refusals[wanted]
    missing = {KERAS_SECTION: refused, REVIVED_SECTION: refused, **found.refusals}
    return Conversion(
        manifest=manifest_of(
            source,
            fingerprint,
            generation,
            documents={**found.documents, **_refusal_document(missing)},
        ),
        specs=list(found.weights.values()),
        stream=functools.partial(session_stream, source.path, found.weights),
    )


def _refusal_document(refusals: Mapping[str, UnconvertibleModelError]) -> dict[str, bytes]:
    reasons = {name: [error.code, error.explanation()] for name, error in refusals.items()}
    return {REFUSALS: json.dumps(reasons).encode()} if reasons else {}


def _stream(checkpoint: Checkpoint, weights: Mapping[str, WeightSpec]) -> Iterator[tuple[str, Any]]:
    for key, spec in weights.items():
        yield spec.name, checkpoint.read(key)
