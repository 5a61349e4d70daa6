"""The story, top to bottom: `load_model`, `warm`, `explain`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fastload import registry
from fastload.cache import stats
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.stock_time import stock_seconds
from fastload.errors import (
    BypassError,
    CacheError,
    FastloadError,
    RestoreError,
    UnresolvedObjectError,
    UnsupportedRequestError,
)
from fastload.loading import Identity, build, identify, open_twin
from fastload.report import LoadReport, Outcome, PhaseClock, record
from fastload.restore.keras_model import restore_keras_model
from fastload.runtime.flavour import Flavour, flavour, is_known, predicted_flavour, require_plain_moment
from fastload.runtime.loaders import require_opens
from fastload.runtime.request import RestoreRequest
from fastload.settings import Settings, WeightsMode, weights_mode
from fastload.source.detect import detect
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")
_warned: Final[set[tuple[str, str]]] = set()
KerasChoice = Literal["auto", "keras", "tf_keras"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call of `load_model`, as the caller made it."""

    filepath: Any
    custom_objects: Mapping[str, Any] | None
    compile: bool
    safe_mode: bool
    stock_only: Mapping[str, Any]
    keras: KerasChoice
    weights: WeightsMode
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A model from its twin, and what the report says of it."""

    model: Any
    outcome: Outcome
    twin: Twin


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    *,
    weights: WeightsMode | None = None,
    keras: KerasChoice = "auto",
    strict: bool | None = None,
    **stock_only: Any,
) -> Any:
    """Load a Keras model as `tf.keras.models.load_model` does, from its twin where that is possible.

    Args:
        filepath: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive.
        custom_objects: as in the stock loader: custom classes and functions by name.
        compile: as in the stock loader.
        safe_mode: as in the stock loader.
        weights: `mapped` shares the twin's pages between processes and reads them when they are touched; `eager` reads
            them all at once into memory; `auto` (the default, or `FASTLOAD_WEIGHTS`) maps unless the cache is on a
            network file system.
        keras: `auto` for the Keras that `tf.keras` is, or `keras` or `tf_keras`.
        strict: raise the reason instead of going to the stock loader (default: `FASTLOAD_STRICT`).
        **stock_only: further arguments of the stock loader (`options=`); a load that has any is left to it.

    Returns:
        The model that the stock loader would return: same class, weights to the bit, compile state, outputs.

    Raises:
        FastloadError: with `strict`, why the load cannot be served from a twin.
        ValueError: *weights* or *keras* is none of those named above.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        Exception: whatever the stock loader raises for this file.

    Example:
        >>> import fastload
        >>> model = fastload.load_model("path/to/model")  # doctest: +SKIP
        >>> fastload.last_load().outcome  # doctest: +SKIP
        <Outcome.HIT: 'hit'>
    """
    clock = PhaseClock()
    settings = _settings()
    call = _Call(
        filepath=filepath,
        custom_objects=custom_objects,
        compile=compile,
        safe_mode=safe_mode,
        stock_only=stock_only,
        keras=keras,
        weights=settings.weights if weights is None else weights_mode(weights),
        strict=settings.strict if strict is None else strict,
    )
    try:
        served = _load_cached(call, settings, clock)
    except (CacheError, BypassError) as error:
        if call.strict and not settings.disabled:
            raise
        return _load_stock(call, settings, clock, error)
    _report(call, settings, clock, served.outcome, twin=served.twin)
    return served.model


def _load_cached(call: _Call, settings: Settings, clock: PhaseClock) -> _Served:
    """Load from the twin, writing it first where there is none."""
    _require_ours(call, settings)
    with clock.phase("detect"):
        source = detect(call.filepath)
    with clock.phase("import"):
        chosen = flavour(call.keras)
        require_plain_moment(chosen)
        require_opens(chosen.name, source)
    with clock.phase("identify"):
        identity = identify(CacheDir.locate(settings), source, chosen.name)
    with clock.phase("twin"):
        twin, outcome = open_twin(identity, settings, call.weights)
    with clock.phase("restore"):
        model = _restore(call, identity, twin, chosen)
    return _Served(model=model, outcome=outcome, twin=twin)


def _require_ours(call: _Call, settings: Settings) -> None:
    if settings.disabled:
        raise UnsupportedRequestError("FASTLOAD_DISABLE is set")
    if call.stock_only:
        raise UnsupportedRequestError(f"{', '.join(sorted(call.stock_only))}= was given")


def _restore(call: _Call, identity: Identity, twin: Twin, chosen: Flavour) -> Any:
    given = dict(call.custom_objects or {})
    names = twin.manifest.object_names
    found = registry.resolve(names, lambda name: name in given or is_known(chosen, name))
    request = RestoreRequest(
        filepath=os.fspath(call.filepath),
        custom_objects=found | given,
        compile=call.compile,
        safe_mode=call.safe_mode,
    )
    specs = identity.entry.side_path(f"specs-{chosen.package}-{chosen.version.replace('.', '_')}")
    try:
        return restore_keras_model(twin, chosen, request, specs)
    except (RestoreError, UnresolvedObjectError) as error:
        for name, user in names.items():
            if name not in request.custom_objects and not is_known(chosen, name):
                raise UnresolvedObjectError(name, user) from error
        raise


def _load_stock(call: _Call, settings: Settings, clock: PhaseClock, error: FastloadError) -> Any:
    """Load with the stock loader, for the reason that *error* gives. This is the only fallback."""
    _tell(call, error)
    chosen = flavour(call.keras)
    arguments = {"custom_objects": call.custom_objects, "compile": call.compile, **call.stock_only}
    if registry.custom_objects:
        arguments["custom_objects"] = registry.custom_objects | dict(call.custom_objects or {})
    if not call.safe_mode:  # Keras before 2.13 has no such argument
        arguments["safe_mode"] = False
    try:
        with clock.phase("stock"):
            return chosen.load_model(call.filepath, **arguments)
    except Exception as stock_error:
        if isinstance(error, UnresolvedObjectError) and hasattr(stock_error, "add_note"):
            stock_error.add_note(f"fastload: {error.explanation()}")
        raise
    finally:
        _report(call, settings, clock, Outcome.BYPASS, error=error)


def _tell(call: _Call, error: FastloadError) -> None:
    """Log the reason: a fault of the cache as a warning, once; what is as it should be, for those who ask."""
    first = (str(call.filepath), error.code) not in _warned
    _warned.add((str(call.filepath), error.code))
    level = logging.WARNING if isinstance(error, CacheError) and first else logging.INFO
    _logger.log(level, "%s is loaded by the stock loader: %s", call.filepath, error)


def _report(
    call: _Call,
    settings: Settings,
    clock: PhaseClock,
    outcome: Outcome,
    *,
    twin: Twin | None = None,
    error: FastloadError | None = None,
) -> None:
    report = LoadReport(
        path=str(call.filepath),
        outcome=outcome,
        reason=error.explanation() if error else None,
        code=error.code if error else None,
        seconds=clock.seconds,
        phases=clock.phases,
        size_bytes=twin.weights_nbytes if twin else 0,
        twin=twin.path if twin else None,
        stock_seconds=_stock_seconds(twin, clock) if twin else None,
    )
    record(report)
    _logger.info("%s: %s in %.3f s%s", report.path, outcome.value, report.seconds, f" ({report.reason})" if error else "")
    if not settings.disabled:
        _count(settings, report)


def _stock_seconds(twin: Twin, clock: PhaseClock) -> float | None:
    """Say what stock would have taken here: the load as it was measured, and this call's imports."""
    entry = CacheEntry(cache=CacheDir(root=twin.path.parent), name=twin.path.stem)
    measured = stock_seconds(entry)
    return None if measured is None else measured + clock.phases.get("import", 0.0)


def _count(settings: Settings, report: LoadReport) -> None:
    try:
        stats.append(CacheDir.locate(settings), report)
    except CacheError as error:  # no cache folder at all
        _logger.debug("the load is not counted: %s", error)


def warm(path: str | os.PathLike[str], *, keras: KerasChoice = "auto") -> LoadReport:
    """Build the twin of the model at *path* now, so that no later load has to.

    Args:
        path: what would be given to `load_model`.
        keras: the Keras that later loads use.

    Returns:
        A report: `miss` if the twin was written, `hit` if it was there.

    Raises:
        CacheError: the cache cannot be written.
        BypassError: the model cannot be converted, so every load of it goes to the stock loader; the message says why.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.

    Example:
        >>> import fastload
        >>> fastload.warm("path/to/model").twin  # doctest: +SKIP
        PosixPath('.../3f0c....h5')
    """
    clock = PhaseClock()
    settings = _settings()
    with clock.phase("detect"):
        source = detect(path)
    with clock.phase("import"):
        chosen = flavour(keras)
        require_opens(chosen.name, source)
    with clock.phase("twin"):
        identity = identify(CacheDir.locate(settings), source, chosen.name)
        outcome = build(identity, settings)
        twin = Twin.open(identity.entry.path)
    with clock.phase("specs"):
        _learn_specs(identity, twin, chosen, path)
    return LoadReport(
        path=str(path),
        outcome=outcome,
        seconds=clock.seconds,
        phases=clock.phases,
        size_bytes=twin.weights_nbytes,
        twin=twin.path,
    )


def _learn_specs(identity: Identity, twin: Twin, chosen: Flavour, path: str | os.PathLike[str]) -> None:
    """Rebuild the model once, so that the first real load finds the recorded output specs."""
    call = _Call(
        filepath=path,
        custom_objects=None,
        compile=False,
        safe_mode=True,
        stock_only={},
        keras="auto",
        weights="mapped",
        strict=False,
    )
    try:
        _restore(call, identity, twin, chosen)
    except (CacheError, BypassError) as error:
        _logger.info("%s is warm, but could not be rebuilt here: %s", path, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a load of a path would do now.

    Attributes:
        path: the path as given.
        outcome: `hit`, `miss` or `bypass`.
        reason: why, in a sentence.
        code: code of the error behind a bypass, or None.
        kind: what is on disk (`saved_model`, `keras_archive`, `keras_hdf5`), or None.
        twin: where its twin is or would be, or None.
    """

    path: str
    outcome: Outcome
    reason: str
    code: str | None = None
    kind: str | None = None
    twin: Path | None = None


def explain(path: str | os.PathLike[str], *, keras: KerasChoice = "auto") -> Explanation:
    """Say what `load_model(path)` would do, without TensorFlow and without converting anything.

    Args:
        path: what would be given to `load_model`.
        keras: as in `load_model`; `auto` is told by the installed version and `TF_USE_LEGACY_KERAS`.

    Returns:
        The expected outcome. A `miss` may still turn into a bypass: what cannot be converted is found by trying.

    Example:
        >>> import fastload
        >>> fastload.explain("nowhere").outcome.value
        'bypass'
    """
    kind = None
    try:
        settings = _settings()
        if settings.disabled:
            raise UnsupportedRequestError("FASTLOAD_DISABLE is set")
        source = detect(path)
        kind = source.kind.value
        name = predicted_flavour(keras, os.environ)
        require_opens(name, source)
        identity = identify(CacheDir.locate(settings), source, name)
    except (CacheError, BypassError) as error:
        return Explanation(
            path=str(path), outcome=Outcome.BYPASS, reason=error.explanation(), code=error.code, kind=kind
        )
    exists = identity.entry.path.exists()
    return Explanation(
        path=str(path),
        outcome=Outcome.HIT if exists else Outcome.MISS,
        reason="its twin is there" if exists else "it has no twin yet; the first load writes it",
        kind=kind,
        twin=identity.entry.path,
    )


def _settings() -> Settings:
    settings = Settings.from_env(os.environ)
    if settings.log_level and not _logger.handlers:
        _logger.addHandler(logging.StreamHandler())
        _logger.setLevel(settings.log_level)
    return settings
