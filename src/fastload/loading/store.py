"""The twin of a plan: opened or, where there is none, built."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastload import registry
from fastload.cache.entry import CacheEntry, mark_used
from fastload.cache.eviction import evict
from fastload.cache.locking import entry_lock
from fastload.cache.memo import remember
from fastload.cache.mounts import is_network_filesystem
from fastload.cache.publish import replacing
from fastload.errors import (
    CacheUnwritableError,
    FastloadError,
    TwinCorruptError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedSourceError,
)
from fastload.loading.plan import Identity, Plan, migration_record, refusal
from fastload.loading.request import Request
from fastload.report import Outcome, PhaseClock
from fastload.runtime.core.keras import Keras, is_known
from fastload.source.detect import detect
from fastload.twin.documents import REFUSALS
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A plan whose twin is open.

    Attributes:
        plan: what was decided.
        twin: the twin.
        outcome: `hit` if it was there, `miss` if it was built now.
    """

    plan: Plan
    twin: Twin
    outcome: Outcome


def open_plan(plan: Plan, clock: PhaseClock) -> Opened:
    """Open the twin of *plan*, building it first where there is none.

    Raises:
        CacheError: the cache cannot be used, or the twin in it cannot; a corrupt twin is removed.
        BypassError: the source cannot be converted, or migrated, to what is wanted.
    """
    entry = plan.identity.entry
    with clock.phase("twin"), _cache_faults(entry), dropping_corrupt(entry):
        if not entry.cache.trusted():
            entry.cache.ensure()
        opened = _open_or_build(plan)
        require_section(opened.twin, plan.identity.section)
    return opened


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


def build(plan: Plan) -> Outcome:
    """Write the twin, unless another process wrote it while this one waited for the lock.

    Returns:
        `miss` if this call wrote it, `hit` if another did.

    Raises:
        CacheError: the cache cannot be written, or the lock was not free in time.
        BypassError: the source cannot be converted or migrated; that is remembered.
    """
    entry, settings = plan.identity.entry, plan.request.settings
    entry.cache.ensure()
    with entry_lock(entry, settings.lock_timeout_s):
        if entry.path.exists():
            return Outcome.HIT
        _write(plan)
    evict(entry.cache, settings.cache_max_size_bytes, keep={entry.name})
    return Outcome.MISS


@contextmanager
def _cache_faults(entry: CacheEntry) -> Iterator[None]:
    """Raise an error of the file system in the block as a fault of the cache."""
    try:
        yield
    except OSError as error:
        reason = f"{entry.path.name}: {error.strerror or error}"
        raise CacheUnwritableError(entry.cache.root, reason) from error


def _open_or_build(plan: Plan) -> Opened:
    entry = plan.identity.entry
    mapped = _is_mapped(plan.request, entry.cache.root)
    try:
        twin, outcome = Twin.open(entry.path, mapped=mapped), Outcome.HIT
    except FileNotFoundError:
        outcome = build(plan)
        twin = Twin.open(entry.path, mapped=mapped)
    else:
        mark_used(entry)
    if outcome is Outcome.MISS and plan.identity.is_migrated:
        _logger.info("%s is a Keras 3 model now: %s", plan.request.filepath, _proof_of(twin))
    return Opened(plan=plan, twin=twin, outcome=outcome)


def _is_mapped(request: Request, folder: Path) -> bool:
    if request.weights == "auto":
        return not is_network_filesystem(folder)
    return request.weights in {"mapped", "lazy"}


def _write(plan: Plan) -> None:
    """Write the twin beside its place, then move it there; remember what cannot be converted."""
    identity = plan.identity
    needed = sum(file.size for file in identity.source.files)
    try:
        with replacing(identity.entry.path, needed_bytes=needed) as partial:
            _migrate(plan, partial) if identity.is_migrated else _convert(identity, partial)
            _require_unchanged(identity)
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


def _convert(identity: Identity, path: Path) -> None:
    # Imported here: it brings h5py, which a hit does without.
    from fastload.convert.convert import convert

    convert(path, identity.source, identity.content, identity.generation, identity.section)


def _migrate(plan: Plan, path: Path) -> None:
    # Imported here, for the same reason.
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
    """Check that what was converted is what was hashed."""
    path = identity.source.path
    if detect(path).files != identity.source.files:
        raise UnsupportedSourceError(f"{str(path)!r} was written to while it was converted")


def _proof_of(twin: Twin) -> str:
    proof = migration_record(twin)["proof"]
    if proof["unproved"] is not None:
        return f"not proved, because {proof['unproved']}"
    return f"its outputs differ by {proof['relative']:.2g} at most from {proof['against']}"
