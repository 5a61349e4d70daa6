"""The story, top to bottom: `load_model` and `load_saved_model`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastload.cache.directory import CacheDir
from fastload.errors import (
    UnsupportedRequestError,
    UnsupportedSourceError,
)
from fastload.loading.answer import Served, serve
from fastload.loading.migration import (
    is_migrated,
    may_migrate,
    open_migrated,
    rescued,
    unproved,
    with_own_names,
)
from fastload.loading.request import ModelCall, SavedModelCall, current_settings, require_enabled
from fastload.loading.restore import may_remember_predict, rebuild, rebuild_lazy
from fastload.loading.store import Identity, dropping_corrupt, identify, migration_of, open_twin
from fastload.report import PhaseClock
from fastload.runtime.core.eager import require_plain_tensorflow
from fastload.runtime.core.keras import (
    KERAS2,
    Keras,
    KerasChoice,
    keras_of,
    require_parameter,
    require_plain_moment,
    require_tensorflow,
)
from fastload.runtime.functions.flat_call import require_device
from fastload.runtime.loader_choice import require_opens
from fastload.settings import WeightsMode, weights_choice, weights_mode
from fastload.source.detect import detect
from fastload.source.kinds import SourceKind
from fastload.traces.remember import remember_predict
from fastload.twin.documents import FUNCTION_SECTION
from fastload.twin.reader import Twin


def load_model(  # noqa: PLR0913 - the stock loader's arguments, and three of our own
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002, FBT001, FBT002 - as in the stock loader
    safe_mode: bool = True,  # noqa: FBT001, FBT002 - as in the stock loader
    *,
    weights: WeightsMode | None = None,
    memory_budget: int | str | None = None,
    device: str | None = None,
    keras: KerasChoice = "auto",
    strict: bool | None = None,
    **stock_only: Any,
) -> Any:
    """Load a Keras model as `tf.keras.models.load_model` does, from its twin where possible.

    Args:
        filepath: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive.
        custom_objects: as in the stock loader: custom classes and functions by name.
        compile: as in the stock loader.
        safe_mode: as in the stock loader.
        weights: `mapped` shares the twin's pages between processes and reads them when they are
            touched; `eager` reads them all at once into memory; `lazy` keeps no more of them in
            memory than `memory_budget`; `auto` (the default, or `FASTLOAD_WEIGHTS`) maps unless
            the cache is on a network file system.
        memory_budget: bytes that the weights may take in memory, as a number or as `"256MiB"`
            (default: `FASTLOAD_MEMORY_BUDGET`, or all that fits, or `set_memory_budget`). Implies
            `weights="lazy"`, and that stock does not stand in: it knows no budget. Where the whole
            model fits, it is an ordinary model.
        device: where the model's weights are to be, as for `tf.device` (`"/GPU:0"`); by default
            where TensorFlow would put them.
        keras: `auto` for the Keras that `tf.keras` is (`keras` where Keras runs on JAX or PyTorch),
            or `keras` or `tf_keras`. In Keras 3, what Keras 2 wrote and stock refuses is made a
            Keras 3 model.
        strict: raise the reason instead of going to the stock loader (default:
            `FASTLOAD_STRICT`).
        **stock_only: further arguments of the stock loader (`options=`); a load that has any is
            left to it.

    Returns:
        The model that the stock loader would return: same class, weights to the bit, compile
        state, outputs.

    Raises:
        FastloadError: with `strict`, why the load cannot be served from a twin.
        MigrationError: Keras 3 has no like of a Keras 2 SavedModel; the message says which layer.
        MemoryBudgetError: the budget is smaller than the model's largest layer; the message has the
            smallest that would do.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        UnsupportedRuntimeError: `device`, or `memory_budget`, was given where Keras runs on another
            backend than TensorFlow.
        ValueError: TensorFlow has no such device; or `weights`, `memory_budget`, `keras` or a
            variable of the environment has no such value.
        Exception: whatever the stock loader raises for this file.

    Example:
        >>> import fastload
        >>> model = fastload.load_model("path/to/model")  # doctest: +SKIP
        >>> fastload.last_load().outcome  # doctest: +SKIP
        <Outcome.HIT: 'hit'>
    """
    clock = PhaseClock()
    settings = current_settings()
    mode, budget = weights_choice(settings, weights, memory_budget)
    if device is not None:
        require_tensorflow(keras_of(keras), "device=")
        require_device(device)
    call = ModelCall(
        filepath=filepath,
        custom_objects=custom_objects,
        compile=compile,
        safe_mode=safe_mode,
        stock_only=stock_only,
        keras=keras,
        weights=mode,
        memory_budget=budget,
        device=device,
        strict=settings.strict if strict is None else strict,
        settings=settings,
    )
    return serve_model(call, clock)


def serve_model(call: ModelCall, clock: PhaseClock) -> Any:
    """Answer a call of `load_model`: the public one, or one that an import hook caught."""
    return serve(
        call,
        clock,
        lambda: _load_cached(call, clock),
        lambda stock_error: rescued(
            call,
            stock_error,
            lambda identity, keras: _load_migrated(call, clock, identity, keras),
        ),
    )


def _load_cached(call: ModelCall, clock: PhaseClock) -> Served:
    """Load from the twin, writing it first where there is none."""
    _require_ours(call)
    with clock.phase("detect"):
        source = detect(call.filepath)
    with clock.phase("import"):
        keras = keras_of(call.keras)
        require_plain_moment(keras)
        if not call.safe_mode:
            require_parameter(keras, "safe_mode")
        if not may_migrate(call, keras):
            require_opens(keras.generation, source)
    with clock.phase("identify"):
        identity = identify(CacheDir.locate(call.settings), source, keras.generation)
    if may_migrate(call, keras):
        if is_migrated(identity, compiled=call.compile):
            return _load_migrated(call, clock, identity, keras)
        require_opens(keras.generation, source)
    with clock.phase("twin"):
        twin, outcome = open_twin(identity, call.settings, call.weights)
    with clock.phase("restore"), dropping_corrupt(identity.entry):
        model = _restored(call, identity, twin, keras)
    return Served(model=model, outcome=outcome, twin=twin)


def _restored(call: ModelCall, identity: Identity, twin: Twin, keras: Keras) -> Any:
    """Return the model that *call* asks for."""
    make = rebuild_lazy if call.weights == "lazy" else rebuild
    model = make(call, identity, twin, keras)
    if may_remember_predict(call):
        remember_predict(model, identity.entry, twin, keras)
    return model


def _load_migrated(call: ModelCall, clock: PhaseClock, identity: Identity, keras: Keras) -> Served:
    """Load the Keras 3 model of a Keras 2 source, migrating it first where that was not done."""
    identity, call = migration_of(identity), with_own_names(call)
    with clock.phase("twin"):
        twin, outcome = open_migrated(call, identity, keras)
    with clock.phase("restore"), dropping_corrupt(identity.entry):
        model = _restored(call, identity, twin, keras)
    return Served(model=model, outcome=outcome, twin=twin, reason=unproved(twin))


def _require_ours(call: ModelCall) -> None:
    require_enabled(call.settings)
    if call.stock_only:
        raise UnsupportedRequestError(f"{', '.join(sorted(call.stock_only))}= was given")


def load_saved_model(
    export_dir: Any,
    tags: Any = None,
    options: Any = None,
    *,
    weights: WeightsMode | None = None,
    strict: bool | None = None,
) -> Any:
    """Load a SavedModel as `tf.saved_model.load` does, from its twin where possible.

    Functions are made when they are first looked at, not now; so is everything else that the
    signatures do not need.

    Args:
        export_dir: a SavedModel folder.
        tags: as in the stock loader.
        options: as in the stock loader; a load that has any is left to it.
        weights: as in `load_model`; `lazy` is `mapped` here, and no budget holds.
        strict: as in `load_model`.

    Returns:
        The object that the stock loader would return: same attributes, signatures, variables to
        the bit, outputs.

    Raises:
        FastloadError: with `strict`, why the load cannot be served from a twin.
        MissingTensorFlowError: TensorFlow is not installed.
        ValueError: `weights` or a variable of the environment has no such value.
        Exception: whatever the stock loader raises for this folder.

    Example:
        >>> import fastload
        >>> loaded = fastload.load_saved_model("path/to/saved_model")  # doctest: +SKIP
        >>> loaded.signatures["serving_default"](x=images)  # doctest: +SKIP
    """
    clock = PhaseClock()
    settings = current_settings()
    call = SavedModelCall(
        filepath=export_dir,
        tags=tags,
        options=options,
        weights=settings.weights if weights is None else weights_mode(weights),
        strict=settings.strict if strict is None else strict,
        settings=settings,
    )
    return serve_saved_model(call, clock)


def serve_saved_model(call: SavedModelCall, clock: PhaseClock) -> Any:
    """Answer a call of `load_saved_model`: the public one, or one that an import hook caught."""
    return serve(call, clock, lambda: _load_objects(call, clock))


def _load_objects(call: SavedModelCall, clock: PhaseClock) -> Served:
    require_enabled(call.settings)
    if call.options is not None:
        raise UnsupportedRequestError("options= was given")
    with clock.phase("detect"):
        source = detect(call.filepath)
        if source.kind is not SourceKind.SAVED_MODEL:
            raise UnsupportedSourceError(f"{str(source.path)!r} is no SavedModel")
    with clock.phase("import"):
        require_plain_tensorflow()
    with clock.phase("identify"):
        cache = CacheDir.locate(call.settings)
        identity = identify(cache, source, KERAS2, FUNCTION_SECTION)
    with clock.phase("twin"):
        twin, outcome = open_twin(identity, call.settings, call.weights)
    with clock.phase("restore"), dropping_corrupt(identity.entry):
        # Imported here: other loads do without.
        from fastload.runtime.saved_model.restore_objects import restore_saved_model

        model = restore_saved_model(twin, os.fspath(call.filepath), call.tags)
    return Served(model=model, outcome=outcome, twin=twin)
