"""How a request will be served, decided by looking only: which source, which Keras, which twin.

Whether a Keras 2 model is served as a migrated one is decided here, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import MIGRATED, CacheEntry, entry_name
from fastload.cache.memo import recall, remember
from fastload.errors import (
    BypassError,
    MigrationError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedSourceError,
)
from fastload.loading.request import ObjectsRequest, PredictorRequest, Request, require_served
from fastload.report import PhaseClock
from fastload.runtime.core import early
from fastload.runtime.core.eager import require_plain_tensorflow
from fastload.runtime.core.expected_keras import ExpectedKeras, expected_keras
from fastload.runtime.core.keras import (
    KERAS2,
    KERAS3,
    Keras,
    keras_of,
    require_parameter,
    require_plain_moment,
    require_tensorflow,
)
from fastload.runtime.loader_choice import opens, require_opens
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint
from fastload.source.kinds import Fingerprint, ModelSource, SourceKind
from fastload.twin.documents import (
    FUNCTION_SECTION,
    KERAS_SECTION,
    MIGRATED_SECTION,
    MIGRATION,
    PREDICTION_SECTION,
)
from fastload.twin.format import FORMAT_VERSION
from fastload.twin.reader import Twin

_REMEMBERED: Final = (UnsupportedSourceError, UnsafeSourceError, UnconvertibleModelError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A source whose content is known, and where its twin is or will be.

    Attributes:
        source: what is on disk.
        content: its fingerprint.
        generation: `keras2` or `keras3`.
        section: what the twin is wanted for; see `twin.documents`.
        entry: where the twin is, whether it exists or not.
    """

    source: ModelSource
    content: Fingerprint
    generation: str
    section: str
    entry: CacheEntry

    @property
    def converter(self) -> str:
        """What would convert it, for the record of a refusal."""
        return _converter(self.generation, self.section)

    @property
    def is_migrated(self) -> bool:
        """Whether the twin is one of a Keras 3 model that was made of a Keras 2 one."""
        return self.section == MIGRATED_SECTION

    def migrated(self) -> Identity:
        """Return the identity of the Keras 3 model that is made of this Keras 2 source."""
        name = entry_name(self.content.digest, MIGRATED, FORMAT_VERSION)
        return replace(self, section=MIGRATED_SECTION, entry=replace(self.entry, name=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a request will be served.

    Attributes:
        request: what the caller asked.
        identity: which model, and which twin of it.
        keras: the Keras that makes the model; what it is expected to be, while nothing imported it;
            None where no model is made.
    """

    request: Request
    identity: Identity
    keras: Keras | ExpectedKeras | None = None

    @property
    def custom_objects(self) -> Mapping[str, Any]:
        """Custom objects of the request by name.

        For a migrated model also under their own names: the Keras 2 file has the names of the
        classes that were, the twin those of their ports.
        """
        given = dict(self.request.custom_objects or {})
        if not self.identity.is_migrated:
            return given
        own = {item.__name__: item for item in given.values() if hasattr(item, "__name__")}
        return own | given


def decide(request: Request, clock: PhaseClock) -> Plan:
    """Say how *request* will be served.

    Raises:
        CacheError: the cache cannot be used.
        BypassError: it is the stock loader's; the message says why.
    """
    require_served(request)
    with clock.phase("detect"):
        source = detect(request.filepath)
    if isinstance(request, ObjectsRequest):
        return _for_objects(request, source, clock)
    if isinstance(request, PredictorRequest):
        return _for_predictor(request, source, clock)
    return _for_keras_model(request, source, clock)


def decide_with_keras(plan: Plan, clock: PhaseClock) -> Plan:
    """Say how a predictor is served whose function has to be made from the Keras model."""
    return _for_keras_model(plan.request, plan.identity.source, clock)


def decide_after_refusal(request: Request, refusal: Exception) -> Plan | None:
    """Say how a Keras 2 file that Keras 3 refuses is served; None where *refusal* stands.

    Args:
        request: for which the stock loader was called, or its own loader run over the twin.
        refusal: what that raised.

    Raises:
        CacheError, BypassError: the file cannot be read.
        MissingTensorFlowError: the Keras asked for is not installed.
    """
    if isinstance(request, ObjectsRequest) or isinstance(refusal, (MemoryError, MigrationError)):
        return None
    keras = keras_of(request.keras)
    if not _may_migrate(request, keras.generation):
        return None
    source = detect(request.filepath)
    if not is_file_of_keras2(source):
        return None
    identity = identify(CacheDir.locate(request.settings), source, keras.generation)
    return Plan(request=request, identity=identity.migrated(), keras=keras)


def identity_for_keras(request: Request, source: ModelSource, generation: str) -> Identity:
    """Say which twin serves a Keras model: the source's own, or that of its migrated model.

    Args:
        request: what the caller asked.
        source: what is on disk.
        generation: of the Keras that makes the model.

    Raises:
        CacheError: the cache cannot be used.
        BypassError: the stock loader would not open it, or it was found unconvertible before.
    """
    may_migrate = _may_migrate(request, generation) and not _has_functions(request, source)
    if not may_migrate:
        require_opens(generation, source)
    identity = identify(CacheDir.locate(request.settings), source, generation)
    if may_migrate and _is_refused_by_stock(identity, compiled=request.compile):
        return identity.migrated()
    require_opens(generation, source)
    return identity


def identify(
    cache: CacheDir, source: ModelSource, generation: str, section: str = KERAS_SECTION
) -> Identity:
    """Find the twin's place by the source's content.

    The content is remembered where the source's files are untouched, and hashed where they are not.

    Raises:
        BypassError: this content was found unconvertible before, by this version.
        UnsupportedSourceError: the source is being written to.
    """
    converter = _converter(generation, section)
    memo = recall(cache, source.path, source.files, converter=converter)
    if memo is not None and memo.refusal is not None:
        raise refusal(*memo.refusal)
    if memo is None:
        content = fingerprint(source)
        remember(cache, source.path, content, converter=converter)
    else:
        content = Fingerprint(digest=memo.digest, files=source.files, settled=True)
    entry = CacheEntry(cache=cache, name=entry_name(content.digest, generation, FORMAT_VERSION))
    return Identity(
        source=source, content=content, generation=generation, section=section, entry=entry
    )


def refusal(code: str, reason: str) -> BypassError:
    """Return the error that a remembered refusal stands for."""
    kinds = {kind.code: kind for kind in _REMEMBERED}
    return kinds.get(code, BypassError)(reason)


def is_file_of_keras2(source: ModelSource) -> bool:
    """Say whether Keras 2 wrote a file, by what the file says.

    Raises:
        BypassError: it is damaged or unsafe.
    """
    # Imported here: it reads the file, which a hit does without.
    from fastload.keras2to3.keras2_files import keras_version

    return source.kind is not SourceKind.SAVED_MODEL and keras_version(source).startswith("2.")


def migration_record(twin: Twin) -> dict[str, Any]:
    """Return what the twin of a migrated model says of the migration."""
    found: dict[str, Any] = json.loads(twin.document(MIGRATION))
    return found


def _for_objects(request: ObjectsRequest, source: ModelSource, clock: PhaseClock) -> Plan:
    if source.kind is not SourceKind.SAVED_MODEL:
        raise UnsupportedSourceError(f"{str(source.path)!r} is no SavedModel")
    with clock.phase("import"):
        require_plain_tensorflow()
    with clock.phase("identify"):
        cache = CacheDir.locate(request.settings)
        return Plan(request=request, identity=identify(cache, source, KERAS2, FUNCTION_SECTION))


def _for_predictor(request: PredictorRequest, source: ModelSource, clock: PhaseClock) -> Plan:
    """Decide on what takes the least of TensorFlow: functions of the file, or one that is kept."""
    if source.kind is SourceKind.SAVED_MODEL:
        # Before the import, which begins by waiting for TensorFlow to be linked.
        with clock.phase("identify"):
            cache = CacheDir.locate(request.settings)
            identity = identify(cache, source, KERAS2, PREDICTION_SECTION)
        plan = Plan(request=request, identity=identity)
    else:
        found = _without_keras(request, source, clock)
        if found is None:
            return _for_keras_model(request, source, clock)
        plan = found
    with clock.phase("import"):
        early.start(may_defer=request.settings.defer)
        require_plain_tensorflow()
    return plan


def _without_keras(request: Request, source: ModelSource, clock: PhaseClock) -> Plan | None:
    """Return a plan for a twin that is there, with a function that may be kept beside it.

    A function that is kept is of Keras's own classes, and needs no Keras to run.
    """
    expected = expected_keras(request.keras) if request.settings.defer else None
    if expected is None or request.weights == "lazy" or not opens(expected.name, source):
        return None
    with clock.phase("identify"):
        identity = identify(CacheDir.locate(request.settings), source, expected.name)
    if not identity.entry.path.exists():
        return None
    return Plan(request=request, identity=identity, keras=expected)


def _for_keras_model(request: Request, source: ModelSource, clock: PhaseClock) -> Plan:
    with clock.phase("import"):
        keras = keras_of(request.keras)
        if isinstance(request, PredictorRequest):
            require_tensorflow(keras, "a predictor")
        require_plain_moment(keras)
        if not request.safe_mode:
            require_parameter(keras, "safe_mode")
    with clock.phase("identify"):
        identity = identity_for_keras(request, source, keras.generation)
    return Plan(request=request, identity=identity, keras=keras)


def _may_migrate(request: Request, generation: str) -> bool:
    """Say whether a migrated model may be the answer: the caller called fastload, not Keras."""
    return generation == KERAS3 and request.stock is None and not request.stock_only


def _has_functions(request: Request, source: ModelSource) -> bool:
    """Say whether a predictor is made of the functions in a SavedModel, and not of its model."""
    return isinstance(request, PredictorRequest) and source.kind is SourceKind.SAVED_MODEL


def _is_refused_by_stock(identity: Identity, *, compiled: bool) -> bool:
    """Say whether stock Keras 3 refuses a source: any SavedModel, and files seen refused.

    Args:
        identity: the source.
        compiled: whether the model is to be compiled. Some files stock opens uncompiled only.

    Raises:
        CacheError: the migrated model's twin cannot be read.
    """
    if identity.source.kind is SourceKind.SAVED_MODEL:
        return True
    path = identity.migrated().entry.path
    if compiled or not path.exists():
        return path.exists()
    return bool(migration_record(Twin.open(path))["refused_uncompiled"])


def _converter(generation: str, section: str) -> str:
    return f"{fastload.__version__}/{generation}/{section}"
