"""What a load would do, found out without TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from fastload.api.needed_classes import undeclared_classes
from fastload.cache.directory import CacheDir
from fastload.cache.entry import KERAS2, CacheEntry
from fastload.cache.publish import cache_faults
from fastload.errors import (
    BypassError,
    CacheError,
    MigrationError,
    TwinCorruptError,
    UnsupportedSourceError,
)
from fastload.loading.failures import reasons
from fastload.loading.opening import require_section
from fastload.loading.plan import Identity, identify
from fastload.loading.plan_keras import identity_for_keras
from fastload.loading.request import Request, addressed, current_settings, require_served
from fastload.report import Outcome
from fastload.runtime.core.keras import KerasChoice, expected_generation
from fastload.source.detect import ModelSource, SourceKind
from fastload.source.saved_model_parts import has_keras_objects
from fastload.twin.format import FUNCTION_SECTION, PREDICTION_SECTION, Manifest
from fastload.twin.reader import Twin

Function = Literal["load_model", "load_saved_model", "load_predictor", "load_weights"]

#: The sections of a SavedModel's twin for what needs no Keras.
_SECTIONS: Final = {"load_saved_model": FUNCTION_SECTION, "load_predictor": PREDICTION_SECTION}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a load of a path would do now.

    Attributes:
        path: the path as given.
        function: the function that would load it.
        outcome: `hit`, `miss` or `bypass`.
        reason: why, in a sentence.
        code: code of the error behind a bypass, or None.
        kind: what is on disk (`saved_model`, `keras_archive`, `keras_hdf5`), or None.
        twin: where its twin is or would be, or None.
    """

    path: str
    function: Function
    outcome: Outcome
    reason: str
    code: str | None = None
    kind: str | None = None
    twin: Path | None = None


def explain(
    path: str | os.PathLike[str],
    *,
    keras: KerasChoice = "auto",
    function: Function = "load_model",
) -> Explanation:
    """Say what a load of *path* would do, without TensorFlow and without converting anything.

    The cache stays as it is.

    Args:
        path: what you would pass to *function*. A model at an `hf://` address is looked up as a
            load looks it up: Keras is imported, and may fetch it.
        keras: as in `load_model`; `auto` goes by the installed version of TensorFlow and by
            `TF_USE_LEGACY_KERAS`.
        function: which of fastload's functions loads it; the stock functions that `FASTLOAD=1`
            serves do as `load_model` and `load_saved_model` do.

    Returns:
        The expected outcome; of a model of Keras 3, the reason names the classes that a program has
        to know. It may still turn into a bypass: a `miss` where a SavedModel cannot be
        converted, a `hit` where this TensorFlow or Keras fails over the twin. Both are found by
        trying, and remembered; what is remembered of a twin is in the reason.

    Raises:
        ValueError: there is no such function.

    Example:
        >>> import fastload
        >>> fastload.explain("nowhere").outcome.value
        'bypass'
    """
    if function not in get_args(Function):
        raise ValueError(f"function={function!r}: use {' or '.join(get_args(Function))}")
    settings = current_settings()
    filepath = addressed(path, settings, remembers=False)
    request = Request(filepath=filepath, keras=keras, settings=settings)
    with request.letting_go():
        return _explanation(request, function)


def _explanation(request: Request, function: Function) -> Explanation:
    path, kind = request.filepath, None
    try:
        require_served(request)
        source = request.source()
        kind = source.kind.value
        identity = _identity(request, source, function)
        twin = _twin(identity)
        exists, manifest = twin is not None, twin.manifest if twin is not None else None
        if twin is None:
            identity.entry.cache.require_writable()
        if twin is None and not request.source_is_told:
            manifest = _require_convertible(source, identity)
    except (CacheError, BypassError) as error:
        return Explanation(
            path=str(path),
            function=function,
            outcome=Outcome.BYPASS,
            reason=error.explanation(),
            code=error.code,
            kind=kind,
        )
    return Explanation(
        path=str(path),
        function=function,
        outcome=Outcome.HIT if exists else Outcome.MISS,
        reason=_reason(identity.entry, exists=exists, has_store=request.settings.remote is not None)
        + _condition(manifest, function)
        + _failed_before(identity.entry),
        kind=kind,
        twin=identity.entry.twin.found if exists else identity.entry.path,
    )


def _identity(request: Request, source: ModelSource, function: Function) -> Identity:
    """Find the twin by the rules of `loading.plan`."""
    if function == "load_weights":
        # Imported here: few ask for it.
        from fastload.loading.plan_weights import weights_identity

        cache = CacheDir.locate(request.settings)
        generation = expected_generation(request.keras, os.environ)
        return weights_identity(cache, source, generation, remembers=False)
    if function == "load_model" or (
        function == "load_predictor" and source.kind is not SourceKind.SAVED_MODEL
    ):
        generation = expected_generation(request.keras, os.environ)
        return identity_for_keras(request, source, generation, remembers=False)
    if source.kind is not SourceKind.SAVED_MODEL:
        raise UnsupportedSourceError(f"{str(source.path)!r} is not a SavedModel")
    cache = CacheDir.locate(request.settings)
    return identify(cache, source, KERAS2, _SECTIONS[function], remembers=False)


def _require_convertible(source: ModelSource, identity: Identity) -> Manifest | None:
    """Check what can be told without TensorFlow: of a SavedModel, whether it has Keras's part."""
    if source.kind is not SourceKind.SAVED_MODEL:
        # Imported here: only this reads HDF5.
        from fastload.convert.convert import require_convertible

        return require_convertible(source, identity.content, identity.generation, identity.section)
    if identity.is_migrated and not has_keras_objects(source.path):
        raise MigrationError("the SavedModel", MigrationError.NO_KERAS_MODEL)
    return None


def _condition(manifest: Manifest | None, function: Function) -> str:
    """Return which classes a program has to know, or the load goes to stock, which fails too."""
    names = undeclared_classes(manifest) if manifest and function != "load_weights" else ()
    if not names:
        return ""
    return f"; a program has to know {', '.join(names)} to load it: see `fastload register`"


def _failed_before(entry: CacheEntry) -> str:
    """Return why loads from *entry* are remembered to fail; only Keras knows which those are."""
    remembered = reasons(entry)
    if not remembered:
        return ""
    return (
        "; but a load from it failed and went to stock, as others with its versions, arguments"
        f" and classes will: {remembered[-1]}; `fastload warm` tries again"
    )


def _reason(entry: CacheEntry, *, exists: bool, has_store: bool) -> str:
    if has_store and not exists:
        return "it has no twin here yet; the first load fetches it from the store, or writes it"
    if exists and entry.cache.layer_of(entry.twin.found) is not None:
        return "its twin is there, in a read-only layer"
    return "its twin is there" if exists else "it has no twin yet; the first load writes it"


def _twin(identity: Identity) -> Twin | None:
    twin = identity.entry.twin
    if not twin.is_there():
        return None
    with cache_faults(twin.cache.root):
        try:
            opened = Twin.open(twin.found)
            require_section(opened, identity.section)
        except TwinCorruptError as error:
            if twin.cache.layer_of(error.path) is None:
                raise
            return None  # it is converted instead
    return opened
