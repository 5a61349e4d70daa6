"""The shared store on the road of a load: a twin is fetched from it, and what was built goes there.

Nothing of the store fails a load: it is told of, and the source is converted.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastload.cache.entry import CacheEntry
from fastload.cache.eviction import evict_after_writing
from fastload.cache.locking import entry_lock
from fastload.cache.publish import is_there
from fastload.errors import CacheError, StoreAwayError, StoreObjectError, TwinCorruptError
from fastload.loading.opening import Opened, open_built, readable
from fastload.loading.plan import Identity, Plan
from fastload.remote import faults
from fastload.remote.fetching import discard_incoming, fetch, offered
from fastload.remote.publishing import publish_entry
from fastload.remote.store import open_store
from fastload.report import Outcome, PhaseClock
from fastload.twin.format import MIGRATION
from fastload.twin.reader import Twin
from fastload.twin.sources import known_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastload.loading.request import Request
    from fastload.remote.names import StoredFile
    from fastload.remote.store import Store
    from fastload.settings import SharedStore

_logger: Final = logging.getLogger("fastload")


def open_shared(plan: Plan, settings: SharedStore, clock: PhaseClock) -> Opened | None:
    """Open the twin that the store has; None if it has none, or does not say.

    The store is asked before the entry is locked, so that processes wait side by side for one that
    is away. Where it fails later, the twin is built under the same lock, so that they do not wait
    for it one after the other.

    Raises:
        CacheError: the cache cannot be written.
        BypassError: the store failed, and the source cannot be converted.
    """
    offer = _offer(plan.identity.entry, settings)
    if offer is None:
        return None
    entry, asked = plan.identity.entry, plan.request.settings
    entry.cache.ensure()
    with entry_lock(entry, asked.lock_timeout_s):
        outcome, is_fetched = Outcome.HIT, False
        if not is_there(entry.path):
            is_fetched = _fetches(plan.request, plan.identity, *offer)
        if not is_there(entry.path):
            plan, outcome = _built(plan, clock), Outcome.MISS
        discard_incoming(entry)
    evict_after_writing(entry.cache, asked.cache_max_size_bytes, known_sources, entry.name)
    return replace(open_built(plan, outcome), store=settings.shown if is_fetched else None)


def offers(identity: Identity, settings: SharedStore) -> bool:
    """Say whether the store has the twin of *identity*; not where it does not say."""
    return _offer(identity.entry, settings) is not None


def brings(request: Request, identity: Identity, settings: SharedStore) -> bool:
    """Fetch the twin of *identity* now, and say whether it is here.

    Raises:
        CacheError: the cache cannot be written.
    """
    entry, offer = identity.entry, _offer(identity.entry, settings)
    if offer is None:
        return False
    entry.cache.ensure()
    with entry_lock(entry, request.settings.lock_timeout_s):
        return is_there(entry.path) or _fetches(request, identity, *offer)


def share(entry: CacheEntry, settings: SharedStore) -> None:
    """Put an entry of which something was made now into the store; what fails is told of."""
    if faults.is_away(settings):
        return
    try:
        publish_entry(open_store(settings), entry)
    except CacheError as error:
        faults.note(settings, error)


def _offer(entry: CacheEntry, settings: SharedStore) -> tuple[Store, Sequence[StoredFile]] | None:
    if faults.is_away(settings):
        return None
    try:
        store = open_store(settings)
        files = offered(store, entry.name)
    except (StoreAwayError, StoreObjectError) as error:
        faults.note(settings, error)
        return None
    return (store, files) if files else None


def _fetches(
    request: Request, identity: Identity, store: Store, files: Sequence[StoredFile]
) -> bool:
    """Fetch the twin, and say whether it is there; what is wrong with the store is told of."""

    def check(path: Path) -> None:
        _require_twin_of(identity, path)

    try:
        fetch(store, files, identity.entry, check, shows=request.settings.progress)
    except (StoreAwayError, StoreObjectError) as error:
        faults.note(store.settings, error)
        return False
    return True


def _require_twin_of(identity: Identity, path: Path) -> None:
    """Check that the file at *path* is the twin of this content, for this Keras, and no other's.

    Raises:
        TwinCorruptError: it is another one's, damaged, or none.
    """
    twin = Twin.open(path)
    for name in twin.manifest.documents:
        twin.document(name)
    is_migrated = MIGRATION in twin.manifest.documents
    told = (twin.manifest.source_digest, twin.manifest.generation, is_migrated)
    if told != (identity.content.digest, identity.generation, identity.is_migrated):
        raise TwinCorruptError(path, "it is the twin of another model, or for another Keras")


def _built(plan: Plan, clock: PhaseClock) -> Plan:
    """Write the twin from the source; return the plan that has it."""
    # Imported here: a store that works leaves nothing to convert.
    from fastload.loading.build import write

    with readable(plan) as found:
        write(found, clock)
    return found if plan.request.source_is_told else plan
