"""The twin of a plan in a read-only layer: opened there, or copied from another machine's disk."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any, Final

from fastload import system
from fastload.cache.directory import is_network_filesystem
from fastload.cache.entry import CacheFile
from fastload.cache.eviction import evict_after_writing
from fastload.cache.locking import entry_lock
from fastload.cache.memo import remember
from fastload.cache.publish import is_there, replacing
from fastload.cache.read_only_layers import file_in
from fastload.errors import CacheError, TwinCorruptError
from fastload.loading.opening import Opened, is_mapped, open_own
from fastload.loading.plan import Identity, Plan, refusal
from fastload.report import Outcome
from fastload.twin.reader import Twin
from fastload.twin.sources import known_sources

_logger: Final = logging.getLogger("fastload")
#: The kind of the side entry that says, by converter, why a model cannot be converted.
REFUSED: Final = "refused"
_COPIED_BYTES: Final = 2**20


def open_in_layers(plan: Plan) -> Opened | None:
    """Open the twin of *plan* in the first layer that has one in order; None if none has.

    A twin on a network file system is copied to the cache, once, and opened there; where it cannot
    be copied, it is read, or mapped if that was asked for.

    Raises:
        BypassError: a layer says that the source cannot be converted, and why.
    """
    entry = plan.identity.entry
    for layer in entry.cache.layers:
        path = file_in([layer], entry.twin.name)
        if path is None:
            continue
        try:
            return _opened(plan, path)
        except (CacheError, OSError) as error:  # the layer may be gone, or its disk damaged
            _logger.warning("the twin %s of a layer is not used: %s", path, error)
    _require_convertible(plan.identity)
    return None


def _opened(plan: Plan, path: Path) -> Opened:
    if is_network_filesystem(path) and _copied(plan, path):
        own = open_own(plan)
        if own is not None:
            return own
    twin = Twin.open(path, mapped=is_mapped(plan.request, path))
    return Opened(plan=plan, twin=twin, outcome=Outcome.HIT)


def _copied(plan: Plan, path: Path) -> bool:
    """Copy the twin at *path* to the cache, and say whether it is there.

    Raises:
        TwinCorruptError: it is not what was written.
    """
    entry, settings = plan.identity.entry, plan.request.settings
    try:
        entry.cache.ensure()
        if is_network_filesystem(entry.cache.root):
            return False
        with entry_lock(entry, settings.lock_timeout_s):
            if not is_there(entry.path):
                _copy(path, entry.twin)
    except TwinCorruptError:
        raise
    except CacheError as error:
        _logger.info("%s is not copied from its network file system: %s", path, error)
        return False
    evict_after_writing(entry.cache, settings.cache_max_size_bytes, known_sources, entry.name)
    return True


def _copy(path: Path, to: CacheFile) -> None:
    with replacing(to.path, needed_bytes=path.stat().st_size) as partial:
        with path.open("rb") as file, open(partial, "wb", opener=system.opener) as copied:
            shutil.copyfileobj(file, copied, _COPIED_BYTES)
        twin = Twin.open(partial)
        damaged = twin.verify()
        for name in twin.manifest.documents:
            twin.document(name)
        if damaged:
            raise TwinCorruptError(path, f"{damaged[0]} does not match its digest")


def _require_convertible(identity: Identity) -> None:
    """Check that no layer says that the source cannot be converted; remember it if one does.

    Raises:
        BypassError: one does.
    """
    file = file_in(identity.entry.cache.layers, identity.entry.side(REFUSED).name)
    match {} if file is None else _read(file).get(identity.converter):
        case [str(code), str(reason)]:
            remember(
                identity.entry.cache,
                identity.source.path,
                identity.content,
                converter=identity.converter,
                refusal=(code, reason),
            )
            raise refusal(code, reason)
        case _:
            return


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
