"""How a Keras model is served: by which Keras, and from which twin; or migrated.

Whether a Keras 2 model is served as a migrated one is decided here, and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from fastload.cache.directory import CacheDir
from fastload.cache.entry import KERAS3
from fastload.cache.publish import cache_faults
from fastload.errors import MigrationError
from fastload.loading.plan import Identity, Plan, identify, migration_record
from fastload.loading.request import PredictorRequest, Request
from fastload.report import PhaseClock
from fastload.runtime.core.keras import (
    expected_keras,
    keras_of,
    opens,
    require_opens,
    require_plain_moment,
    require_tensorflow,
)
from fastload.source.detect import ModelSource, SourceKind, is_unpacked
from fastload.twin.reader import Twin


def plan_with_keras(request: Request, source: ModelSource, clock: PhaseClock) -> Plan:
    """Say how the Keras model of *source* is served, or what is made of it.

    Raises:
        CacheError: the cache cannot be used.
        BypassError: it is the stock loader's; the message says why.
        MissingTensorFlowError: the Keras asked for is not installed.
    """
    before = _modules_before() if isinstance(request, PredictorRequest) else None
    with clock.phase("import"):
        keras = keras_of(request.keras)
        if isinstance(request, PredictorRequest):
            require_tensorflow(keras, "a predictor")
        require_plain_moment(keras, may_be_scoped=_may_be_scoped(request))
        if not _is_plain_call(request, source):
            # Imported here: most calls name a path, and nothing else.
            from fastload.loading.keras_arguments import require_arguments

            require_arguments(request, keras, source)
    with clock.phase("identify"):
        identity = identity_for_keras(request, source, keras.generation)
    return Plan(request=request, identity=identity, keras=keras, modules_before=before)


def _is_plain_call(request: Request, source: ModelSource) -> bool:
    """Say whether every Keras takes the arguments of *request* for such a source."""
    is_path = isinstance(request.filepath, (str, Path)) and not source.is_url
    is_file = request.held is None and source.kind is not SourceKind.KERAS_FOLDER
    return is_path and is_file and request.safe_mode and not request.stock_only


def _may_be_scoped(request: Request) -> bool:
    """Say whether a strategy's scope may place the variables: nothing else is to place them."""
    is_model = not isinstance(request, PredictorRequest)
    return is_model and request.device is None and request.weights != "lazy"


def _modules_before() -> frozenset[str] | None:
    # Imported here: models do without.
    from fastload.runtime.core.installed_code import modules_before

    return modules_before()


def plan_without_keras(request: Request, source: ModelSource, clock: PhaseClock) -> Plan | None:
    """Return a plan for a twin that is there, or may be in the store, with a function beside it.

    A function that is kept is of Keras's own classes, and needs no Keras to run. Where there is
    none after all, the load goes on with Keras.
    """
    expected = expected_keras(request.keras) if request.settings.defer else None
    if expected is None or request.weights == "lazy" or not opens(expected.name, source):
        return None
    with clock.phase("identify"):
        identity = identify(CacheDir.locate(request.settings), source, expected.name)
    if not identity.entry.twin.is_there() and request.settings.remote is None:
        return None
    return Plan(request=request, identity=identity, keras=expected)


def plan_after_refusal(request: Request, refusal: Exception) -> Plan | None:
    """Say how a Keras 2 file that Keras 3 refuses is served; None where *refusal* stands.

    Args:
        request: for which the stock loader was called, or its own loader run over the twin.
        refusal: what that raised.

    Raises:
        CacheError, BypassError: the file cannot be read.
        MissingTensorFlowError: the Keras asked for is not installed.
    """
    if not request.makes_keras_model or isinstance(refusal, MigrationError):
        return None
    keras = keras_of(request.keras)
    if not _may_migrate(request, keras.generation):
        return None
    if not is_file_of_keras2(request.source_on_disk()):
        return None
    identity = identify(CacheDir.locate(request.settings), request.source(), keras.generation)
    return Plan(request=request, identity=identity.migrated(), keras=keras)


def identity_for_keras(
    request: Request, source: ModelSource, generation: str, *, remembers: bool = True
) -> Identity:
    """Say which twin serves a Keras model: the source's own, or that of its migrated model.

    Args:
        request: what the caller asked.
        source: what is on disk.
        generation: of the Keras that makes the model.
        remembers: as in `identify`.

    Raises:
        CacheError: the cache cannot be used.
        BypassError: the stock loader would not open it, or it was found unconvertible before.
    """
    may_migrate = _may_migrate(request, generation) and not _has_functions(request, source)
    # An archive may be an HDF5 file as well, which stock would open under another name.
    of_keras3 = (SourceKind.KERAS_ARCHIVE, SourceKind.KERAS_FOLDER, SourceKind.KERAS_SHARDS)
    if not may_migrate or source.kind in of_keras3:
        require_opens(generation, source)
    cache = CacheDir.locate(request.settings)
    identity = identify(cache, source, generation, remembers=remembers)
    if may_migrate and _is_refused_by_stock(request, identity):
        return identity.migrated()
    require_opens(generation, source)
    return identity


def is_file_of_keras2(source: ModelSource) -> bool:
    """Say whether Keras 2 wrote a file, by what the file says.

    Raises:
        BypassError: it is damaged or unsafe.
    """
    # Imported here: it reads the file, which a hit does without.
    from fastload.keras2to3.keras2_files import keras_version

    is_file = source.kind in (SourceKind.KERAS_HDF5, SourceKind.KERAS_ARCHIVE)
    return is_file and keras_version(source).startswith("2.")


def would_migrate(request: Request) -> bool:
    """Say whether the caller, who called Keras, had to ask for the migration of what it refused.

    Raises:
        BypassError: the file is damaged or unsafe.
        MissingTensorFlowError: the Keras asked for is not installed.
    """
    if not request.makes_keras_model or request.stock is None or request.settings.migrate:
        return False
    if request.stock_only or keras_of(request.keras).generation != KERAS3:
        return False
    source = request.source()
    return source.kind is SourceKind.SAVED_MODEL or is_file_of_keras2(source)


def _may_migrate(request: Request, generation: str) -> bool:
    """Say whether a migrated model may be the answer: who calls Keras has to ask for that."""
    is_asked = request.stock is None or request.settings.migrate
    return generation == KERAS3 and is_asked and not request.stock_only


def _has_functions(request: Request, source: ModelSource) -> bool:
    """Say whether a predictor is made of the functions in a SavedModel, and not of its model."""
    return isinstance(request, PredictorRequest) and source.kind is SourceKind.SAVED_MODEL


def _is_refused_by_stock(request: Request, identity: Identity) -> bool:
    """Say whether stock Keras 3 refuses a source: SavedModels, and files seen refused.

    In a folder that is an unpacked archive too, it opens that.

    Args:
        request: what the caller asked. Some files stock opens uncompiled only.
        identity: the source.

    Raises:
        CacheError: the migrated model's twin cannot be read.
    """
    if identity.source.kind is SourceKind.SAVED_MODEL:
        return not is_unpacked(identity.source.path)
    twin = identity.migrated().entry.twin
    has_migrated = twin.is_there() or _is_in_store(request, identity)
    if request.compile or not has_migrated:
        return has_migrated
    with cache_faults(twin.cache.root):
        return bool(migration_record(Twin.open(twin.found))["refused_uncompiled"])


def _is_in_store(request: Request, identity: Identity) -> bool:
    """Say whether the shared store has the migrated model's twin, where neither is here.

    One that is to be read now, for an uncompiled model, is fetched.
    """
    settings = request.settings.remote
    if settings is None or identity.entry.twin.is_there():
        return False
    # Imported here: most users have no store.
    from fastload.loading.shared import brings, offers

    if request.compile:
        return offers(identity.migrated(), settings)
    return brings(request, identity.migrated(), settings)
