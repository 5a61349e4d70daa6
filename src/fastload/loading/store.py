"""The stages between a path and a twin: identify the content, then open or build the twin.

Each stage decides by looking, raises why not, or acts; none falls back. The one fallback is in
`api.load_model`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import MIGRATED, CacheEntry, entry_name, mark_used
from fastload.cache.eviction import evict
from fastload.cache.locking import entry_lock
from fastload.cache.memo import recall, remember
from fastload.cache.mounts import is_network_filesystem
from fastload.cache.publish import replacing
from fastload.errors import (
    BypassError,
    CacheUnwritableError,
    FastloadError,
    TwinCorruptError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedSourceError,
)
from fastload.report import Outcome
from fastload.settings import Settings, WeightsMode
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint
from fastload.source.kinds import Fingerprint, ModelSource
from fastload.twin.format import FORMAT_VERSION, KERAS_SECTION, MIGRATED_SECTION, REFUSALS
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger(__name__)


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


def migration_of(identity: Identity) -> Identity:
    """Return where the Keras 3 model of a Keras 2 source is or will be."""
    name = entry_name(identity.content.digest, MIGRATED, FORMAT_VERSION)
    entry = CacheEntry(cache=identity.entry.cache, name=name)
    return replace(identity, section=MIGRATED_SECTION, entry=entry)


def open_twin(
    identity: Identity,
    settings: Settings,
    weights: WeightsMode,
    write: Callable[[Path], object] | None = None,
) -> tuple[Twin, Outcome]:
    """Open the twin, building it first where there is none.

    Args:
        identity: whose twin.
        settings: what the environment asks for.
        weights: how its weights are read.
        write: writes the twin to a path; by default the source is converted.

    Raises:
        CacheError: the cache cannot be used, or the twin in it cannot; a corrupt twin is removed.
        BypassError: the source cannot be converted to what is wanted.
    """
    cache, entry = identity.entry.cache, identity.entry
    if not cache.trusted():
        cache.ensure()
    mapped = weights in {"mapped", "lazy"} or (
        weights == "auto" and not is_network_filesystem(cache.root)
    )
    try:
        with dropping_corrupt(entry):
            twin, outcome = _open_or_build(identity, settings, write, mapped=mapped)
            require_section(twin, identity.section)
    except OSError as error:
        raise CacheUnwritableError(
            cache.root, f"{entry.path.name}: {error.strerror or error}"
        ) from error
    return twin, outcome


@contextmanager
def dropping_corrupt(entry: CacheEntry) -> Iterator[None]:
    """Remove the twin if the block finds it corrupt, so that the next load writes it anew."""
    try:
        yield
    except TwinCorruptError:
        with suppress(OSError):
            entry.path.unlink(missing_ok=True)
        raise


def require_section(twin: Twin, section: str) -> None:
    """Check that *twin* can serve what it is wanted for.

    Raises:
        BypassError: what was wanted when it was written was another section, and this one could not
            be made.
    """
    if REFUSALS in twin.manifest.documents:
        refusals = json.loads(twin.document(REFUSALS))
        if section in refusals:
            raise refusal(*refusals[section])


def _open_or_build(
    identity: Identity,
    settings: Settings,
    write: Callable[[Path], object] | None,
    *,
    mapped: bool,
) -> tuple[Twin, Outcome]:
    path = identity.entry.path
    try:
        twin = Twin.open(path, mapped=mapped)
    except FileNotFoundError:
        outcome = build(identity, settings, write)
        return Twin.open(path, mapped=mapped), outcome
    mark_used(identity.entry)
    return twin, Outcome.HIT


def build(
    identity: Identity, settings: Settings, write: Callable[[Path], object] | None = None
) -> Outcome:
    """Write the twin, unless another process wrote it while this one waited for the lock.

    Args:
        identity: whose twin.
        settings: what the environment asks for.
        write: as in `open_twin`.

    Returns:
        `miss` if this call wrote it, `hit` if another did.

    Raises:
        CacheError: the cache cannot be written, or the lock was not free in time.
        BypassError: the source cannot be converted; that is remembered.
    """
    identity.entry.cache.ensure()
    with entry_lock(identity.entry, settings.lock_timeout_s):
        if identity.entry.path.exists():
            return Outcome.HIT
        _convert(identity, write or (lambda path: _written(identity, path)))
    evict(identity.entry.cache, settings.cache_max_size_bytes, keep={identity.entry.name})
    return Outcome.MISS


def _written(identity: Identity, path: Path) -> None:
    # Imported here: it brings h5py, which a hit does without.
    from fastload.convert.convert import convert

    convert(path, identity.source, identity.content, identity.generation, identity.section)


def _convert(identity: Identity, write: Callable[[Path], object]) -> None:
    needed = sum(file.size for file in identity.source.files)
    try:
        with replacing(identity.entry.path, needed_bytes=needed) as partial:
            write(partial)
            _require_unchanged(identity.source)
    except (UnconvertibleModelError, UnsafeSourceError) as error:
        remember(
            identity.entry.cache,
            identity.source.path,
            identity.content,
            converter=identity.converter,
            refusal=(error.code, error.explanation()),
        )
        raise
    except FastloadError:
        raise
    except Exception as error:  # a model that nobody foresaw must not fail where stock loads it
        _logger.warning(
            "%s could not be converted; please report this", identity.source.path, exc_info=True
        )
        raise UnconvertibleModelError(
            f"the conversion failed: {type(error).__name__}: {error}"
        ) from error


def _require_unchanged(source: ModelSource) -> None:
    """Check that what was converted is what was hashed."""
    if detect(source.path).files != source.files:
        raise UnsupportedSourceError(f"{str(source.path)!r} was written to while it was converted")


def _converter(generation: str, section: str) -> str:
    return f"{fastload.__version__}/{generation}/{section}"


def refusal(code: str, reason: str) -> BypassError:
    """Return the error that a remembered refusal stands for."""
    kinds = {
        kind.code: kind
        for kind in (UnsupportedSourceError, UnsafeSourceError, UnconvertibleModelError)
    }
    return kinds.get(code, BypassError)(reason)
