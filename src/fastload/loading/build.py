"""Build a twin: convert or migrate the source under a lock, then move the file to its place."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastload import registry
from fastload.cache.eviction import evict_after_writing
from fastload.cache.locking import entry_lock
from fastload.cache.memo import remember
from fastload.cache.publish import beside, is_there, replacing, storage_faults
from fastload.convert.convert import convert
from fastload.convert.from_text import in_binary
from fastload.errors import (
    BypassError,
    FastloadError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedSourceError,
    is_passing,
)
from fastload.loading.behind import is_worth_it, publish_behind, wait_for
from fastload.loading.opening import Opened, is_mapped, open_built
from fastload.loading.plan import Identity, Plan
from fastload.report import IMPORT, Outcome, PhaseClock
from fastload.runtime.core import early
from fastload.runtime.core.keras import Keras, is_known
from fastload.runtime.restore_keras import require_loader
from fastload.source.detect import SourceKind, detect
from fastload.source.fingerprint import fingerprint
from fastload.twin.digests import add_digests
from fastload.twin.reader import Twin
from fastload.twin.sources import known_sources

_logger: Final = logging.getLogger("fastload")


def build(plan: Plan, clock: PhaseClock, *, behind: bool = False) -> Opened:
    """Write the twin, unless another process wrote it while this one waited for the lock.

    Args:
        plan: what is built, and where.
        clock: of the load; TensorFlow may have to be imported now.
        behind: whether the twin may be published after this returns, where that takes its time.

    Returns:
        The twin: a `miss` if this call wrote it, a `hit` if another did.

    Raises:
        CacheError: the cache cannot be written, or the lock was not free in time.
        BypassError: the source cannot be converted or migrated, and what follows from its bytes is
            remembered; or this Keras could not be run over the twin.
    """
    entry, settings = plan.identity.entry, plan.request.settings
    _require_loader(plan)
    entry.cache.ensure()
    waited_s = wait_for(entry, settings.lock_timeout_s)
    with ExitStack() as locked:
        locked.enter_context(entry_lock(entry, settings.lock_timeout_s, waited_s=waited_s))
        if is_there(entry.path):
            return open_built(plan, Outcome.HIT)
        if behind and is_worth_it(plan):
            return _write_and_publish_behind(plan, clock, locked)
        write(plan, clock)
    evict_after_writing(entry.cache, settings.cache_max_size_bytes, known_sources, entry.name)
    return open_built(plan, Outcome.MISS)


def _write_and_publish_behind(plan: Plan, clock: PhaseClock, locked: ExitStack) -> Opened:
    """Write the twin, and leave it to a thread to publish it and to free the lock."""
    entry = plan.identity.entry
    with _told(plan), storage_faults(entry.cache.root):
        partial = locked.enter_context(beside(entry.path, needed_bytes=_size_bytes(plan)))
        _convert_to(partial, plan, clock)
    mapped = is_mapped(plan.request, entry.cache.root)
    twin = Twin.open(partial, mapped=mapped, place=entry.path)
    publish_behind(plan, partial, twin, locked)
    return Opened(plan=plan, twin=twin, outcome=Outcome.MISS)


def write(plan: Plan, clock: PhaseClock) -> None:
    """Write the twin beside its place, then move it there; remember what cannot be converted.

    Hold the entry's lock.

    Raises:
        CacheError, BypassError: as `build` does.
    """
    with (
        _told(plan),
        replacing(plan.identity.entry.path, needed_bytes=_size_bytes(plan)) as partial,
    ):
        _convert_to(partial, plan, clock)
        add_digests(partial)


def _size_bytes(plan: Plan) -> int:
    return sum(file.size for file in plan.identity.source.files)


def _require_loader(plan: Plan) -> None:
    if isinstance(plan.keras, Keras):
        require_loader(plan.keras, plan.identity.source.kind)


def _convert_to(partial: Path, plan: Plan, clock: PhaseClock) -> None:
    identity = plan.identity
    _require_loader(plan)
    if identity.source.kind is SourceKind.SAVED_MODEL:
        with clock.phase(IMPORT):  # a predictor's load may have deferred it
            early.finish()
    with in_binary(identity.source) as source:
        readable = replace(plan, identity=replace(identity, source=source))
        (_migrate if identity.is_migrated else _convert)(readable, partial)
        _require_unchanged(identity)


@contextmanager
def _told(plan: Plan) -> Iterator[None]:
    """Raise the library's own errors for what fails in the block; remember what always will.

    Raises:
        CacheError, BypassError: as `build` does.
    """
    identity = plan.identity
    outer = sys.exc_info()[1]
    try:
        yield
    except (UnconvertibleModelError, UnsafeSourceError) as error:
        if not is_passing(error, outer):
            _require_unchanged(identity)
            # What is held has no path, and a copy of what is at an address none that stays.
            if plan.request.held is None and plan.request.at_address is None:
                _remember(identity, error)
        raise
    except FastloadError:
        raise
    except (OSError, MemoryError, RecursionError) as error:  # the next load may be spared it
        reason = f"{str(identity.source.path)!r} cannot be converted now: {error}"
        raise UnsupportedSourceError(reason) from error
    except Exception as error:  # a model that nobody foresaw must not fail where stock loads it
        _logger.warning(
            "%s could not be converted; please report this", identity.source.path, exc_info=True
        )
        raise UnconvertibleModelError(
            f"the conversion failed: {type(error).__name__}: {error}"
        ) from error


def _remember(identity: Identity, error: BypassError) -> None:
    remember(
        identity.entry.cache,
        identity.source.path,
        identity.content,
        converter=identity.converter,
        refusal=(error.code, error.explanation()),
    )


def _convert(plan: Plan, path: Path) -> None:
    identity = plan.identity
    convert(path, identity.source, identity.content, identity.generation, identity.section)


def _migrate(plan: Plan, path: Path) -> None:
    # Imported here: conversions do without.
    from fastload.keras2to3.migrate import Order, migrate

    assert isinstance(plan.keras, Keras)  # noqa: S101 - `loading.plan` migrates for no other
    order = Order(
        source=plan.identity.source,
        fingerprint=plan.identity.content,
        keras=plan.keras,
        resolve=_Objects(plan.custom_objects, plan.keras),
        compiled=plan.request.compile,
    )
    migrate(path, order)


@dataclass(frozen=True, slots=True)
class _Objects:
    """Finds the custom objects for the names that a configuration uses."""

    given: Mapping[str, Any]
    keras: Keras

    def __call__(self, names: Iterable[str]) -> Mapping[str, Any]:
        return registry.resolve(names, self._is_known) | dict(self.given)

    def _is_known(self, name: str) -> bool:
        return name in self.given or is_known(self.keras, name)


def _require_unchanged(identity: Identity) -> None:
    """Check that what was converted is what was hashed.

    Files that changed just before may have changed since without a trace, and are hashed again.
    """
    source, content = detect(identity.source.path), identity.content
    is_same = source.files == identity.source.files and (
        content.settled or fingerprint(source).digest == content.digest
    )
    if not is_same:
        raise UnsupportedSourceError(f"{str(source.path)!r} was written to while it was converted")
