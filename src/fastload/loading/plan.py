"""How a request will be served, decided by looking only: which source, which Keras, which twin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import KERAS2, MIGRATED, CacheEntry, entry_name
from fastload.cache.memo import Memo, recall, remember
from fastload.errors import (
    BypassError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedSourceError,
)
from fastload.imports.collector import paused_collector
from fastload.lean_dataclass import dataclass
from fastload.loading.request import (
    ObjectsRequest,
    PredictorRequest,
    Request,
    WeightsRequest,
    require_served,
)
from fastload.report import PhaseClock
from fastload.runtime.core.eager import ONE_DEVICE, require_plain_tensorflow
from fastload.source.detect import Fingerprint, ModelSource, SourceKind
from fastload.twin.format import (
    FORMAT_VERSION,
    FUNCTION_SECTION,
    KERAS_SECTION,
    MIGRATED_SECTION,
    MIGRATION,
    PREDICTION_SECTION,
)
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # most plans for predictors do without
    from fastload.runtime.core.keras import ExpectedKeras, Keras

_REMEMBERED: Final = (UnsupportedSourceError, UnsafeSourceError, UnconvertibleModelError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A source whose content is known, and where its twin is or will be.

    Attributes:
        source: what is on disk.
        content: its fingerprint.
        generation: `keras2` or `keras3`.
        section: what the twin is wanted for; see `twin.format`.
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

    def migrated(self, *, ports: int | None = None) -> Identity:
        """Return the identity of the Keras 3 model that is made of this Keras 2 source.

        Args:
            ports: what stands for its custom classes, where they are others than at first.
        """
        generation = MIGRATED if ports is None else f"{MIGRATED}-{ports:08x}"
        name = entry_name(self.content.digest, generation, FORMAT_VERSION)
        return replace(self, section=MIGRATED_SECTION, entry=replace(self.entry, name=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a request will be served.

    Attributes:
        request: what the caller asked.
        identity: which model, and which twin of it.
        keras: the Keras that makes the model; what it is expected to be, while nothing imported it;
            None where no model is made.
        modules_before: which modules were imported when Keras was not; None if it was.
    """

    request: Request
    identity: Identity
    keras: Keras | ExpectedKeras | None = None
    modules_before: frozenset[str] | None = None

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
    if request.held is not None:
        # Imported here: few loads are of what the caller holds.
        from fastload.loading.seen import require_worth

        require_worth(request)
    with clock.phase("detect"):
        source = request.source()
    if isinstance(request, ObjectsRequest):
        return _for_objects(request, source, clock)
    if isinstance(request, PredictorRequest):
        return _for_predictor(request, source, clock)
    if isinstance(request, WeightsRequest):
        from fastload.loading.plan_weights import plan_for_weights

        return plan_for_weights(request, source, clock)
    # Imported here, as below: a SavedModel's own functions need no Keras.
    from fastload.loading.plan_keras import plan_with_keras

    return plan_with_keras(request, source, clock)


def identify(
    cache: CacheDir,
    source: ModelSource,
    generation: str,
    section: str = KERAS_SECTION,
    *,
    remembers: bool = True,
) -> Identity:
    """Find the twin's place by the source's content.

    The content is remembered where the source's files are untouched, and hashed where they are not.

    Args:
        cache: where the twin is.
        source: what is on disk.
        generation: the Keras that the twin is for.
        section: what the twin has to serve.
        remembers: whether what is found out is kept for later loads.

    Raises:
        BypassError: this content was found unconvertible before, by this version.
        UnsupportedSourceError: the source is being written to.
    """
    converter = _converter(generation, section)
    memo, content = _content(cache, source, converter, remembers=remembers)
    if memo is not None and memo.refusal is not None and memo.digest == content.digest:
        raise refusal(*memo.refusal)
    entry = CacheEntry(cache=cache, name=entry_name(content.digest, generation, FORMAT_VERSION))
    return Identity(
        source=source, content=content, generation=generation, section=section, entry=entry
    )


def content_of(cache: CacheDir, source: ModelSource) -> Fingerprint:
    """Return what tells the content of *source* from any other; read, if it is not remembered.

    Raises:
        UnsupportedSourceError: the source is being written to.
    """
    converter = _converter(KERAS2, KERAS_SECTION)
    return _content(cache, source, converter, remembers=True)[1]


def _content(
    cache: CacheDir, source: ModelSource, converter: str, *, remembers: bool
) -> tuple[Memo | None, Fingerprint]:
    """Return the content of *source*, and what was remembered of it."""
    if source.digest is not None:
        return None, Fingerprint(digest=source.digest, files=source.files, settled=True)
    memo = recall(cache, source.path, source.files, converter=converter)
    if memo is not None and memo.is_current:
        return memo, Fingerprint(digest=memo.digest, files=source.files, settled=True)
    from fastload.source.fingerprint import fingerprint  # a hit does without

    content = fingerprint(source)
    if remembers:
        remember(cache, source.path, content, converter=converter)
    return memo, content


def refusal(code: str, reason: str) -> BypassError:
    """Return the error that a remembered refusal stands for."""
    kinds = {kind.code: kind for kind in _REMEMBERED}
    return kinds.get(code, BypassError)(reason)


def migration_record(twin: Twin) -> dict[str, Any]:
    """Return what the twin of a migrated model says of the migration."""
    found: dict[str, Any] = json.loads(twin.document(MIGRATION))
    return found


def _for_objects(request: ObjectsRequest, source: ModelSource, clock: PhaseClock) -> Plan:
    if source.kind is not SourceKind.SAVED_MODEL:
        raise UnsupportedSourceError(f"{str(source.path)!r} is not a SavedModel")
    with clock.phase("import"):
        require_plain_tensorflow(ONE_DEVICE)
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
        from fastload.loading.plan_keras import plan_with_keras, plan_without_keras

        found = plan_without_keras(request, source, clock)
        if found is None:
            return plan_with_keras(request, source, clock)
        plan = found
    # Imported here: it brings what defers TensorFlow.
    from fastload.runtime.core import early

    with clock.phase("import"), paused_collector():
        early.start(may_defer=request.settings.defer)
        require_plain_tensorflow()
    return plan


def _converter(generation: str, section: str) -> str:
    return f"{fastload.__version__}/{generation}/{section}"
