"""`estimate`: the memory that a model's weights need, before any load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastload.cli.options import as_json, size
from fastload.cli.output import facts, say, shown_size
from fastload.cli.selection import located_cache, selected
from fastload.errors import EntryNotFoundError

if TYPE_CHECKING:
    from fastload.lazy_weights.lending_plan import Plan
    from fastload.twin.format import WeightRef, WeightSpec


@click.command(short_help="Say how much memory a lazy load would need.")
@click.argument("path", type=click.Path())
@click.option(
    "--budget",
    type=size,
    help="A memory budget (256MiB): say whether it is enough, and how much a call then reads.",
)
@click.pass_context
@as_json
def estimate(context: click.Context, path: str, budget: int | None, *, as_json: bool) -> None:
    """Say how much memory loading PATH lazily would need. Nothing is loaded.

    The exit status is 1 if the budget is too small.
    """
    from fastload.lazy_weights.lending_plan import plan_of, plan_of_functions

    weights = list(_weights(path))
    plan = plan_of(weights)
    if not plan.total_nbytes and Path(path).is_dir():  # a SavedModel without layers
        plan = plan_of_functions(weights)
    if not plan.total_nbytes:
        raise EntryNotFoundError(f"{path!r} holds no weights of a Keras model")
    document = _document(path, plan, budget)
    say(document, facts(_facts(document)), as_json=as_json)
    context.exit(0 if budget is None or document["budget"]["is_enough"] else 1)


def _weights(path: str) -> Iterable[WeightRef]:
    """Return where each weight is in the twin, or would be if there is no twin yet.

    Raises:
        EntryNotFoundError: there is neither twin nor model, or only TensorFlow can read the model.
        BypassError: it is not a model, or a damaged one.
        CacheError: the twin is damaged.
    """
    from fastload.twin.index import read_index

    try:
        twin, *_ = selected(located_cache(), [path])
    except EntryNotFoundError:
        if not os.path.lexists(path):
            reason = f"there is no {path!r}, and no twin of a model that was there"
            raise EntryNotFoundError(reason) from None
        return map(_placed, _specs(path))
    return read_index(twin.path).weights


def _specs(path: str) -> list[WeightSpec]:
    """Read names and shapes of the weights from the model itself, but none of their bytes."""
    from fastload.source.detect import SourceKind, detect
    from fastload.source.hdf5 import read_hdf5
    from fastload.source.keras_archive import read_keras_archive
    from fastload.twin.format import STATE

    source = detect(path)
    if source.kind is SourceKind.SAVED_MODEL:
        raise EntryNotFoundError(
            f"{path!r} has no twin yet, and only TensorFlow can tell the weights of a SavedModel. "
            f"Run `fastload warm {path}` first."
        )
    if source.kind in (SourceKind.KERAS_FOLDER, SourceKind.KERAS_SHARDS):
        raise EntryNotFoundError(f"{path!r} has no twin yet. Run `fastload warm {path}` first.")
    if source.kind is SourceKind.KERAS_HDF5:
        with read_hdf5(source.path) as file:
            return list(file.specs)
    with read_keras_archive(source.path) as archive:
        return [replace(spec, name=f"{STATE}/{spec.name}") for spec in archive.weights.specs]


def _placed(spec: WeightSpec) -> WeightRef:
    """Return where the twin would have a weight: at the start of a page if it is at least as long.

    Strings take nothing of a budget: their length is unknown before they are read.
    """
    from fastload.twin.format import WeightRef
    from fastload.twin.weights import STRING, stored_nbytes

    nbytes = 0 if spec.dtype == STRING else stored_nbytes(spec)
    return WeightRef(
        name=spec.name, dtype=spec.dtype, shape=spec.shape, offset=0, nbytes=nbytes, sha256=""
    )


def _document(path: str, plan: Plan, budget: int | None) -> dict[str, Any]:
    layer, nbytes = plan.largest_layer
    return {
        "path": path,
        "weights": len(plan.lent) + len(plan.kept),
        "total_bytes": plan.total_nbytes,
        "kept_bytes": plan.kept_nbytes,
        "largest_layer": {"name": layer, "size_bytes": nbytes} if layer else None,
        "smallest_budget_bytes": plan.smallest_budget,
        "budget": None if budget is None else _budget_document(plan, budget),
    }


def _budget_document(plan: Plan, budget: int) -> dict[str, Any]:
    from fastload.lazy_weights.accounts import expected_bytes_read

    is_enough = budget >= plan.smallest_budget
    return {
        "size_bytes": budget,
        "is_enough": is_enough,
        "holds_all": budget >= plan.total_nbytes,
        "bytes_read_per_call": expected_bytes_read(plan, budget) if is_enough else None,
    }


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    largest, budget = document["largest_layer"], document["budget"]
    yield "Model", document["path"]
    yield "Weights", f"{document['weights']}, {shown_size(document['total_bytes'])}"
    if largest is not None:
        yield "Largest layer", f"{largest['name']}, {shown_size(largest['size_bytes'])}"
    smallest = document["smallest_budget_bytes"]
    yield "Smallest budget", f"{shown_size(smallest)} ({smallest} bytes)"
    if budget is not None:
        yield "Budget", f"{shown_size(budget['size_bytes'])}: {_verdict(budget)}"


def _verdict(budget: Mapping[str, Any]) -> str:
    if not budget["is_enough"]:
        return "too small; a load would fail"
    if budget["holds_all"]:
        return "holds all weights; nothing is read twice"
    return f"a call reads about {shown_size(budget['bytes_read_per_call'])}"
