"""`warm`: write a twin now, so that no later load has to."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.errors import BypassError, CacheError
from fastload.loading.migration import (
    is_file_of_keras2,
    is_migrated,
    may_migrate,
    open_migrated,
    with_own_names,
)
from fastload.loading.request import ModelCall, current_settings
from fastload.loading.restore import rebuild
from fastload.loading.store import Identity, build, identify, migration_of, require_section
from fastload.predictor.functions import SavedFunctions, keras_function
from fastload.report import LoadReport, Outcome, PhaseClock
from fastload.runtime.core.keras import (
    KERAS2,
    Keras,
    KerasChoice,
    keras_of,
    require_plain_moment,
    require_tensorflow,
)
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.loader_choice import require_opens
from fastload.source.detect import detect
from fastload.source.kinds import ModelSource, SourceKind
from fastload.traces.remember import LEARNING_ROUNDS, learn_predict
from fastload.twin.documents import PREDICTION_SECTION, SIGNATURES
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")


def warm(path: str | os.PathLike[str], *, keras: KerasChoice = "auto") -> LoadReport:
    """Build the twin of the model at *path* now, so that no later load has to.

    The twin of a SavedModel serves `load_model`, `load_saved_model` and `load_predictor`. Where it
    cannot serve the first of them, it is made for the others alone. A Keras 2 model that Keras 3
    refuses is migrated, as the first load of it would do.

    Args:
        path: what would be given to one of them.
        keras: the Keras that later loads use.

    Returns:
        A report: `miss` if the twin was written, `hit` if it was there. `reason` and `code` say why
        it does not serve `load_model`, where that is so.

    Raises:
        CacheError: the cache cannot be written.
        BypassError: the model cannot be converted, so every load of it goes to the stock loader;
            the message says why.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.

    Example:
        >>> import fastload
        >>> fastload.warm("path/to/model").twin  # doctest: +SKIP
        PosixPath('.../3f0c....h5')
    """
    clock = PhaseClock()
    call = ModelCall(filepath=path, compile=False, stock_only={}, settings=current_settings())
    with clock.phase("detect"):
        source = detect(path)
    with clock.phase("import"):
        chosen = keras_of(keras)
    with clock.phase("twin"):
        identity, outcome, refused = _build(call, source, chosen)
        twin = Twin.open(identity.entry.path)
    with clock.phase("migration"):
        migrated, refused = _migrate(call, source, chosen, refused)
    if migrated is not None:
        # The functions of a SavedModel are in the first twin, the model in the second.
        with clock.phase("functions"):
            _make_functions(call, identity, twin, chosen)
        identity, outcome = migrated
        twin = Twin.open(identity.entry.path)
    if refused is None:
        with clock.phase("specs"):
            _learn_specs(call, identity, twin, chosen)
        with clock.phase("predict"):
            _learn_predict(call, identity, twin, chosen)
    with clock.phase("functions"):
        _make_functions(call, identity, twin, chosen)
    return LoadReport(
        path=str(path),
        outcome=outcome,
        reason=f"it does not serve load_model: {refused.explanation()}" if refused else None,
        code=refused.code if refused else None,
        seconds=clock.seconds,
        phases=clock.phases,
        size_bytes=twin.weights_nbytes,
        twin=twin.path,
    )


def _build(
    call: ModelCall, source: ModelSource, chosen: Keras
) -> tuple[Identity, Outcome, BypassError | None]:
    """Build a twin for a Keras model or, with the reason, for what else a SavedModel serves."""
    cache = CacheDir.locate(call.settings)
    try:
        require_opens(chosen.generation, source)
        identity = identify(cache, source, chosen.generation)
        outcome = build(identity, call.settings)
        require_section(Twin.open(identity.entry.path), identity.section)
    except BypassError as error:
        if source.kind is not SourceKind.SAVED_MODEL:
            raise
        refused = error
    else:
        return identity, outcome, None
    try:
        identity = identify(cache, source, KERAS2, PREDICTION_SECTION)
        return identity, build(identity, call.settings), refused
    except BypassError:
        raise refused from None


def _migrate(
    call: ModelCall, source: ModelSource, chosen: Keras, refused: BypassError | None
) -> tuple[tuple[Identity, Outcome] | None, BypassError | None]:
    """Have the Keras 3 model of a Keras 2 source in the cache, where a load would make one.

    Args:
        call: without its being compiled; a load compiles unless it is told not to.
        source: what is loaded.
        chosen: the Keras.
        refused: why its own twin does not serve `load_model`, if so.

    Returns:
        The model's twin, and whether it was there; and why nothing serves `load_model`.
    """
    compiled = replace(call, compile=True)
    if not may_migrate(compiled, chosen):
        return None, refused
    identity = identify(CacheDir.locate(call.settings), source, chosen.generation)
    if refused is None and not _is_refused(compiled, identity, chosen):
        return None, None
    migrated = migration_of(identity)
    try:
        _, outcome = open_migrated(with_own_names(compiled), migrated, chosen)
    except BypassError as error:
        _logger.info("%s is not a Keras 3 model: %s", call.filepath, error)
        return None, refused and error
    return (migrated, outcome), None


def _is_refused(call: ModelCall, identity: Identity, chosen: Keras) -> bool:
    """Say whether stock Keras 3 refuses a file of Keras 2."""
    if not is_file_of_keras2(identity.source):
        return False
    try:
        if not is_migrated(identity):
            rebuild(call, identity, Twin.open(identity.entry.path), chosen)
    except (CacheError, BypassError):
        return True
    return is_migrated(identity)


def _learn_specs(call: ModelCall, identity: Identity, twin: Twin, chosen: Keras) -> None:
    """Rebuild the model once, so that the first real load finds the recorded output specs."""
    try:
        require_plain_moment(chosen)
        rebuild(call, identity, twin, chosen)
    except (CacheError, BypassError) as error:
        _logger.info("%s is warm, but could not be rebuilt here: %s", call.filepath, error)


def _learn_predict(call: ModelCall, identity: Identity, twin: Twin, chosen: Keras) -> None:
    """Have the model predict one row, so that the first `predict` of later loads is fast."""
    try:
        require_plain_moment(chosen)
        for _ in range(LEARNING_ROUNDS):
            model = rebuild(call, identity, twin, chosen)
            if not learn_predict(model, identity.entry, twin, chosen):
                return
    except Exception:  # whatever a model raises when it predicts: the twin is there
        _logger.info("%s does not predict here", call.filepath, exc_info=True)


def _make_functions(call: ModelCall, identity: Identity, twin: Twin, chosen: Keras) -> None:
    """Make the functions that predictors need, where the model has any."""
    try:
        require_tensorflow(chosen, "a predictor")
        require_plain_moment(chosen)
        if identity.source.kind is not SourceKind.SAVED_MODEL:
            keras_function(
                identity, twin, chosen, lambda: rebuild(call, identity, twin, chosen), None
            )
        elif SIGNATURES in twin.manifest.documents:
            _make_saved_functions(call, identity, twin)
    except Exception:  # whatever a model raises when it is traced: the twin is there
        _logger.info("%s has no function for predictors", call.filepath, exc_info=True)


def _make_saved_functions(call: ModelCall, identity: Identity, twin: Twin) -> None:
    functions = SavedFunctions(
        identity=identity, twin=twin, path=os.fspath(call.filepath), device=None
    )
    for name in functions.signatures:
        try:
            functions.make(name)
        except NotFlatError as error:
            _logger.info("%s: %r keeps its variables: %s", call.filepath, name, error)
