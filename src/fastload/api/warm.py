"""`warm`: write a twin now, so that no later load has to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import KERAS2, KERAS3, CacheEntry, entry_name
from fastload.errors import BypassError, CacheError
from fastload.keras2to3.rules.untrusted import called_by_name
from fastload.loading.failures import forget
from fastload.loading.opening import Opened, open_plan, place_of
from fastload.loading.plan import Identity, Plan, identify
from fastload.loading.plan_keras import identity_for_keras, is_file_of_keras2
from fastload.loading.plan_weights import weights_identity
from fastload.loading.request import Request, addressed, current_settings
from fastload.loading.restore_model import keras_in, rebuild
from fastload.predictor.functions import SavedFunctions
from fastload.predictor.keras_functions import keras_function
from fastload.report import LoadReport, PhaseClock
from fastload.runtime.core.installed_code import modules_before
from fastload.runtime.core.keras import Keras, keras_of, require_plain_moment, require_tensorflow
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.settings import UNLIMITED, Settings
from fastload.source.detect import ModelSource, SourceKind, detect
from fastload.traces.remember import LEARNING_ROUNDS, learn_predict
from fastload.twin.format import FORMAT_VERSION, PREDICTION_SECTION, SIGNATURES

if TYPE_CHECKING:
    from fastload.remote.store import Store
    from fastload.runtime.core.keras import KerasChoice

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Warmed:
    """The twins of a model.

    Attributes:
        functions: the twin that serves predictors and `load_saved_model`; None where nothing does.
        model: the twin that serves `load_model`; None where nothing does.
        refused: why nothing does.
        weights: the twin that serves `load_weights` alone.
    """

    functions: Opened | None
    model: Opened | None
    refused: BypassError | None = None
    weights: Opened | None = None

    @property
    def opened(self) -> Opened:
        """The one that a report is about."""
        found = self.model or self.functions or self.weights
        assert found is not None  # noqa: S101 - nothing is warmed without a twin
        return found


def warm(
    path: str | os.PathLike[str],
    *,
    keras: KerasChoice = "auto",
    into: str | os.PathLike[str] | None = None,
    publish: bool = False,
) -> LoadReport:
    """Build the twin of the model at *path* now, so that no later load has to.

    The twin of a SavedModel serves `load_model`, `load_saved_model` and `load_predictor`. Where it
    cannot serve the first of them, it is made for the others alone. A Keras 2 model that Keras 3
    refuses is migrated, as the first load of it would do. The twin of a file of weights serves
    `load_weights`.

    Args:
        path: what you would pass to one of them.
        keras: the Keras that later loads use.
        into: a folder that becomes a layer for `FASTLOAD_CACHE_PATH`, or is one, in place of the
            cache: it gets the twin and all that is kept beside it, readable by every user, and
            nothing of this machine. Two processes must not warm into the same folder at once, and
            no program may have it as its cache.
        publish: put the twin, and all that is kept beside it, into the shared store that
            `FASTLOAD_REMOTE` names, where it has none.

    Returns:
        A report: `miss` if the twin was written, `hit` if it was there. `reason` and `code` say why
        it does not serve `load_model`, where that is so.

    Raises:
        CacheError: the cache cannot be written; or, to publish, the store.
        BypassError: the model cannot be converted, so every load of it goes to the stock loader;
            the message says why.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        ValueError: no store is named to publish to, or *into* is a cache that programs write to.

    Example:
        >>> import fastload
        >>> fastload.warm("path/to/model").twin  # doctest: +SKIP
        PosixPath('.../3f0c....h5')
    """
    settings = current_settings()
    store = _store(settings) if publish else None
    if into is None:
        return _warm(path, keras, settings, store)
    # Imported here: few warm into a layer.
    from fastload.fleet.sealing import layer_at

    # Sealed also where the model cannot be converted: the layer says so.
    with layer_at(Path(into), settings) as cache:
        cache.ensure()
        settings = replace(
            settings, cache_dir=cache.root, cache_path=(), cache_max_size_bytes=UNLIMITED
        )
        return _warm(path, keras, settings, store)


def _store(settings: Settings) -> Store:
    if settings.remote is None:
        raise ValueError("there is no store to publish to: FASTLOAD_REMOTE names none")
    # Imported here, as below: few publish.
    from fastload.remote.store import open_store

    return open_store(settings.remote)


def _warm(
    path: str | os.PathLike[str], keras: KerasChoice, settings: Settings, store: Store | None
) -> LoadReport:
    clock = PhaseClock()
    request = Request(filepath=addressed(path, settings), keras=keras, settings=settings)
    with request.letting_go():
        return _warm_one(request, store, clock)


def _warm_one(request: Request, store: Store | None, clock: PhaseClock) -> LoadReport:
    path = request.filepath
    with clock.phase("detect"):
        source = detect(path) if request.at_address is None else request.source()
    before = modules_before()
    with clock.phase("import"):
        loader = keras_of(request.keras)
    warmed = _build(request, source, loader, clock)
    _learn(warmed, loader, before, clock)
    if store is not None:
        with clock.phase("publish"):
            _publish(store, warmed)
    opened, refused = warmed.opened, warmed.refused
    return LoadReport(
        path=str(path),
        outcome=opened.outcome,
        reason=_shortfall(warmed),
        code=refused.code if refused else None,
        seconds=clock.seconds,
        phases=clock.phases,
        size_bytes=opened.twin.weights_nbytes,
        twin=opened.twin.path,
        store=opened.store,
    )


def _publish(store: Store, warmed: _Warmed) -> None:
    from fastload.remote.publishing import publish_entry

    opened = [each for each in (warmed.functions, warmed.model, warmed.weights) if each is not None]
    entries = {each.plan.identity.entry.name: each.plan.identity.entry for each in opened}
    for entry in (*entries.values(), *_as_written(warmed.opened.plan.identity)):
        publish_entry(store, entry)


def _as_written(identity: Identity) -> Iterator[CacheEntry]:
    """Yield the entry of a file that was migrated, as it is: some such files open uncompiled."""
    name = entry_name(identity.content.digest, identity.generation, FORMAT_VERSION)
    entry = replace(identity.entry, name=name)
    if identity.is_migrated and entry.twin.is_there():
        yield entry


def _shortfall(warmed: _Warmed) -> str | None:
    """Say what the twins do not serve, and why."""
    if warmed.refused is None:
        return None
    alone = "it serves load_weights alone" if warmed.weights else "it does not serve load_model"
    return f"{alone}: {warmed.refused.explanation()}"


def _build(request: Request, source: ModelSource, keras: Keras, clock: PhaseClock) -> _Warmed:
    """Build the twin for a Keras model and, where that is another one, the twin for functions."""
    try:
        with clock.phase("identify"):
            identity = identity_for_keras(request, source, keras.generation)
        model = _opened(Plan(request=request, identity=identity, keras=keras), clock)
    except BypassError as error:
        if source.kind is not SourceKind.SAVED_MODEL:
            return _weights_alone(request, source, keras, error, clock)
        return _functions_alone(request, source, error, clock)
    if not identity.is_migrated:
        model = _migrated(model, clock) or model
    elif source.kind is SourceKind.SAVED_MODEL:
        functions = _opened(_plan_for_functions(request, source), clock)
        return _Warmed(functions=functions, model=model)
    return _Warmed(functions=model, model=model)


def _opened(plan: Plan, clock: PhaseClock) -> Opened:
    """Open the twin, or build it; what a load failed to make of it is tried again."""
    opened = open_plan(plan, clock)
    forget(opened.plan)
    return opened


def _functions_alone(
    request: Request, source: ModelSource, refused: BypassError, clock: PhaseClock
) -> _Warmed:
    """Build the twin of a SavedModel that serves no Keras model, for the reason *refused*."""
    try:
        functions = _opened(_plan_for_functions(request, source), clock)
    except BypassError:
        raise refused from None
    return _Warmed(functions=functions, model=None, refused=refused)


def _weights_alone(
    request: Request, source: ModelSource, keras: Keras, refused: BypassError, clock: PhaseClock
) -> _Warmed:
    """Build the twin of a file of weights, which holds no model, for the reason *refused*."""
    try:
        cache = CacheDir.locate(request.settings)
        identity = weights_identity(cache, source, keras.generation)
        weights = _opened(Plan(request=request, identity=identity, keras=keras), clock)
    except BypassError:
        raise refused from None
    return _Warmed(functions=None, model=None, refused=refused, weights=weights)


def _plan_for_functions(request: Request, source: ModelSource) -> Plan:
    cache = CacheDir.locate(request.settings)
    identity = identify(cache, source, KERAS2, PREDICTION_SECTION)
    return Plan(request=request, identity=identity)


def _migrated(model: Opened, clock: PhaseClock) -> Opened | None:
    """Return the twin of the migrated model, if Keras 3 refuses this file of Keras 2."""
    plan = model.plan
    if plan.identity.generation != KERAS3 or not is_file_of_keras2(_on_disk(plan)):
        return None
    try:
        rebuild(model, compiled=True)
    except (CacheError, BypassError):
        try:
            return _opened(replace(plan, identity=plan.identity.migrated()), clock)
        except BypassError as error:
            _logger.info("%s is not a Keras 3 model: %s", plan.request.filepath, error)
    return None


def _on_disk(plan: Plan) -> ModelSource:
    is_elsewhere = plan.request.at_address is not None
    return plan.request.source_on_disk() if is_elsewhere else plan.identity.source


def _learn(warmed: _Warmed, keras: Keras, before: frozenset[str] | None, clock: PhaseClock) -> None:
    """Make all that is kept beside the twins, as far as this process can."""
    if warmed.model is not None:
        with clock.phase("specs"):
            _learn_specs(warmed.model)
        with clock.phase("predict"):
            _learn_predict(warmed.model)
    if warmed.functions is not None:
        with clock.phase("functions"):
            _make_functions(warmed.functions, keras, before)


def _learn_specs(model: Opened) -> None:
    """Rebuild the model once, so that the first real load finds the recorded output specs."""
    try:
        require_plain_moment(keras_in(model))
        rebuild(model, compiled=False)
    except (CacheError, BypassError) as error:
        path = model.plan.request.filepath
        _logger.info("%s is warm, but could not be rebuilt here: %s", path, error)


def _learn_predict(model: Opened) -> None:
    """Have the model predict one row, so that the first `predict` of later loads is fast."""
    path = model.plan.request.filepath
    try:
        require_plain_moment(keras_in(model))
        for _ in range(LEARNING_ROUNDS):
            made = rebuild(model, compiled=False)
            if (named := _called_by_name(made, keras_in(model))) is not None:
                _logger.info("%s does not predict here: it has %s", path, named)
                return
            if not learn_predict(made, model.plan.identity.entry, model.twin, keras_in(model)):
                return
    except Exception:  # whatever a model raises when it predicts: the twin is there
        _logger.info("%s does not predict here", path, exc_info=True)


def _called_by_name(model: Any, keras: Keras) -> str | None:
    """Return what *model* would call because its file names it: a load runs none of that.

    Layers of Keras 3 call nothing that is not Keras's own.
    """
    return called_by_name(model.get_config()) if keras.generation == KERAS2 else None


def _make_functions(opened: Opened, keras: Keras, before: frozenset[str] | None) -> None:
    """Make the functions that predictors need, where the model has any."""
    identity, twin = opened.plan.identity, opened.twin
    try:
        require_tensorflow(keras, "a predictor")
        require_plain_moment(keras)
        if identity.source.kind is not SourceKind.SAVED_MODEL:
            keras_function(
                identity.entry,
                twin,
                keras,
                lambda: rebuild(opened, compiled=False),
                None,
                before=before,
            )
        elif SIGNATURES in twin.manifest.documents:
            _make_saved_functions(opened)
    except Exception:  # whatever a model raises when it is traced: the twin is there
        path = opened.plan.request.filepath
        _logger.info("%s has no function for predictors", path, exc_info=True)


def _make_saved_functions(opened: Opened) -> None:
    path = place_of(opened)
    functions = SavedFunctions(
        entry=opened.plan.identity.entry, twin=opened.twin, path=path, device=None
    )
    for name in functions.signatures:
        try:
            functions.flat(name)
        except NotFlatError as error:
            _logger.info(
                "%s: signature %r is not flat, and keeps its variables: %s", path, name, error
            )
