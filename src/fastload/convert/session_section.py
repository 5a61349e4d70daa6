"""What serves a SavedModel that TensorFlow 1 wrote: its graphs, variables and signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastload.convert.function_section import DEBUG_INFO
from fastload.errors import UnconvertibleModelError
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.tensorflow import Checkpoint, parse_saved_model
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.saved_model.session_document import session_documents
from fastload.runtime.saved_model.session_facts import Saved, session_facts
from fastload.runtime.saved_model.session_graph import (
    SERVING,
    served_signatures,
    serving_graph,
    signature_of_graph,
)
from fastload.signature import Signature
from fastload.twin.format import PREDICTION_SECTION, SIGNATURES, WeightSpec


def serving_tags(folder: Path) -> list[str] | None:
    """Return the tags for loading the SavedModel at *folder*; None if it has one graph."""
    try:
        saved_model = parse_saved_model((folder / "saved_model.pb").read_bytes())
        return [SERVING] if len(saved_model.meta_graphs) > 1 else None
    except (OSError, UnconvertibleModelError):  # the stock loader will raise its own error
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSections:
    """What a twin of such a SavedModel holds.

    Attributes:
        documents: as in `Manifest`.
        weights: each weight, by its place in the checkpoint.
        refusals: why it serves no predictor, if it does not.
    """

    documents: Mapping[str, bytes]
    weights: Mapping[Saved, WeightSpec]
    refusals: Mapping[str, UnconvertibleModelError]


def session_sections(folder: Path, saved_model: Any) -> SessionSections:
    """Return what serves predictors and `load_saved_model`.

    Args:
        folder: the SavedModel.
        saved_model: its `SavedModel` message; its nodes are taken out.

    Raises:
        UnconvertibleModelError: TensorFlow cannot import a graph, or a graph's saver does more than
            give variables their values; the checkpoint lacks one; it holds debugging information.
    """
    if (folder / DEBUG_INFO).exists():
        raise UnconvertibleModelError("the SavedModel holds debugging information")
    facts = [session_facts(each) for each in saved_model.meta_graphs]
    weights = _weights(folder, {saved for each in facts for saved in each.values.values()})
    names = {saved: spec.name for saved, spec in weights.items()}
    described, refusals = _signatures(saved_model)
    return SessionSections(
        documents={
            **session_documents(saved_model, [each.to_json(names) for each in facts]),
            **described,
        },
        weights=weights,
        refusals=refusals,
    )


def _signatures(
    saved_model: Any,
) -> tuple[dict[str, bytes], dict[str, UnconvertibleModelError]]:
    """Return what predictors take and give, or why there are none."""
    try:
        definitions = served_signatures(serving_graph(saved_model))
        described = {
            name: _described(name, definition).to_json()
            for name, definition in sorted(definitions.items())
        }
    except UnconvertibleModelError as error:
        return {}, {PREDICTION_SECTION: error}
    if not described:
        return {}, {PREDICTION_SECTION: UnconvertibleModelError("it has no signatures")}
    return {SIGNATURES: json.dumps(described).encode()}, {}


def _described(name: str, definition: Any) -> Signature:
    try:
        return signature_of_graph(name, definition)
    except NotFlatError as error:
        raise UnconvertibleModelError(f"the signature {name!r}: {error}") from error


def _weights(folder: Path, places: set[Saved]) -> dict[Saved, WeightSpec]:
    if not places:
        return {}
    checkpoint = Checkpoint(folder / "variables" / "variables")
    ordered = sorted(places, key=lambda saved: (saved.key, saved.part))
    return {saved: _spec(checkpoint, saved) for saved in ordered}


def _spec(checkpoint: Checkpoint, saved: Saved) -> WeightSpec:
    if saved.key not in checkpoint:
        raise UnconvertibleModelError(f"the checkpoint has no variable {saved.key!r}")
    part = checkpoint_slice(saved.part, checkpoint.shape(saved.key))
    return WeightSpec(
        # `a` and `a/b` may both be keys: the last part of a name is not a group's.
        name=f"variables/{saved.key}:{saved.part or 0}",
        dtype=checkpoint.dtype(saved.key),
        shape=tuple(each.stop - each.start for each in part),
    )


def session_stream(folder: Path, weights: Mapping[Saved, WeightSpec]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each weight of the SavedModel at *folder*."""
    if not weights:
        return
    checkpoint = Checkpoint(folder / "variables" / "variables")
    for saved, spec in weights.items():
        value = checkpoint.read(saved.key)
        yield spec.name, value[checkpoint_slice(saved.part, value.shape)] if saved.part else value


def checkpoint_slice(part: str, shape: Sequence[int]) -> tuple[slice, ...]:
    """Return which part of a tensor of *shape* is meant.

    Args:
        part: as `RestoreV2` takes it: the shape, and start and length in each dimension
            (`tensor_slice.h` in TensorFlow); empty for all.
        shape: the shape of the tensor.

    Raises:
        UnconvertibleModelError: that is no part of it.

    Example:
        >>> checkpoint_slice("2 4 -:0,2", (2, 4))
        (slice(0, 2, None), slice(0, 2, None))
    """
    if not part:
        return tuple(slice(0, size) for size in shape)
    *sizes, extents = part.split()
    parts = extents.split(":")
    if tuple(map(int, sizes)) != tuple(shape) or len(parts) != len(shape):
        raise UnconvertibleModelError(f"a tensor of shape {tuple(shape)} has no part {part!r}")
    return tuple(_extent(each, size) for each, size in zip(parts, shape, strict=True))


def _extent(text: str, size: int) -> slice:
    if text == "-":
        return slice(0, size)
    start, length = map(int, text.split(","))
    return slice(start, start + length)
