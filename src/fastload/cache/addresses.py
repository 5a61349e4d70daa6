"""What the model at an address was: its digest, as long as its store proves that it is the same.

The memo of a path has stats (`memo`); that of an address has what the store said of each object. It
is believed where a checksum, or a second fetch, said that what came is what the store has.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheFile
from fastload.errors import CacheUnwritableError

#: Raised when a memo means something else; older ones are not believed.
_VERSION: Final = 1
_SUFFIX: Final = ".address"
_logger: Final = logging.getLogger(__name__)


def recall_address(cache: CacheDir, url: str, proof: Sequence[Any]) -> tuple[str, str] | None:
    """Return digest and kind of the model that was at *url*, if *proof* is what it was then.

    Args:
        cache: the folder.
        url: the address.
        proof: what the store says of each object now, as JSON values.

    Returns:
        None if nothing is known of it, if the memo is damaged, or if the folder is not trusted.
    """
    match _read(_file(cache, url)):
        case {"proof": known, "digest": str(digest), "kind": str(kind), "is_sure": True}:
            return (digest, kind) if known == _as_json(proof) else None
        case _:
            return None


def remember_address(
    cache: CacheDir,
    url: str,
    proof: Sequence[Any],
    model: tuple[str, str],
    *,
    is_compared: bool,
) -> None:
    """Remember which model was at *url* when its store said *proof*.

    Never fails: without a memo, the next load fetches the model again.

    Args:
        cache: the folder; it is created if it does not exist.
        url: the address.
        proof: as for `recall_address`.
        model: digest and kind of what came.
        is_compared: whether checksums say that this is what the store has.
    """
    digest, kind = model
    told = {"proof": _as_json(proof), "digest": digest, "kind": kind}
    old = _read(_file(cache, url))
    is_sure = is_compared or all(old.get(name) == value for name, value in told.items())
    document = {"version": _VERSION, **told, "is_sure": is_sure}
    try:
        cache.ensure()
        _file(cache, url).keep(json.dumps(document).encode())
    except CacheUnwritableError as error:
        _logger.info("the next load will fetch the whole model: %s", error)


def known_at_addresses(cache: CacheDir) -> frozenset[str]:
    """Return the digests of the models that were last seen at addresses.

    Args:
        cache: the folder; one that does not exist or is not to be trusted knows of none.
    """
    files = sorted(cache.memo_dir.glob(f"*{_SUFFIX}")) if cache.trusted() else ()
    memos = [
        _read(CacheFile(cache=cache, name=f"{cache.memo_dir.name}/{each.name}")) for each in files
    ]
    return frozenset(memo["digest"] for memo in memos if isinstance(memo.get("digest"), str))


def _file(cache: CacheDir, url: str) -> CacheFile:
    """Return the memo of *url*, which it does not hold: an address may have a password."""
    name = hashlib.sha256(url.encode()).hexdigest()
    return CacheFile(cache=cache, name=f"{cache.memo_dir.name}/{name}{_SUFFIX}")


def _as_json(proof: Sequence[Any]) -> Any:
    return json.loads(json.dumps(proof))


def _read(file: CacheFile) -> dict[str, Any]:
    try:
        is_trusted = file.in_memory is not None or file.cache.trusted()
        found = json.loads(file.read_bytes()) if is_trusted else None
    except (OSError, ValueError, RecursionError):
        return {}
    if isinstance(found, dict) and found.get("version") == _VERSION:
        return found
    return {}
