"""Memos: the content digest of a path, so that a hit finds its twin without reading the model.

A memo has the digest of a source and the stat of each of its files. While all stats are the same,
so is the content: any edit, replacement, copy or `touch` changes at least one. A memo also has the
reason why a conversion failed, so that a model that cannot be converted is not tried on each load.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from fastload.cache.directory import CacheDir
from fastload.cache.publish import replacing
from fastload.errors import CacheUnwritableError
from fastload.source.detect import FileStat, Fingerprint

_VERSION: Final = 1
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo:
    """What is remembered of a source.

    Attributes:
        digest: hex digest of its content.
        refusal: code and reason if the same converter could not convert it, or None.
    """

    digest: str
    refusal: tuple[str, str] | None = None


def recall(
    cache: CacheDir, path: Path, files: Sequence[FileStat], *, converter: str
) -> Memo | None:
    """Return what is remembered of the model at *path*, if the model is unchanged.

    Takes one `lstat` and one small read: 0.02 ms for a SavedModel of five files.

    Args:
        cache: the folder.
        path: absolute path of the source.
        files: the files that it has now.
        converter: what would convert it: fastload's version and the Keras in use. A refusal by
            another converter does not count.

    Returns:
        None if there is no memo, if any file was added, removed or changed, if the memo is damaged,
        or if the folder is not to be trusted.
    """
    if not cache.trusted():
        return None
    document = _read(_memo_path(cache, path))
    same = document.get("path") == os.fspath(path) and document.get("files") == _rows(files)
    digest = document.get("digest")
    if document.get("version") != _VERSION or not same or not isinstance(digest, str):
        return None
    return Memo(digest=digest, refusal=_refusal(document, converter))


def remember(
    cache: CacheDir,
    path: Path,
    fingerprint: Fingerprint,
    *,
    converter: str,
    refusal: tuple[str, str] | None = None,
) -> None:
    """Remember the content of the model at *path*.

    Never fails: without a memo, the next load reads the model again.

    Args:
        cache: the folder; it is created if it does not exist.
        path: absolute path of the source.
        fingerprint: its digest and stats; one that is not settled is not remembered.
        converter: as for `recall`.
        refusal: code and reason, if it cannot be converted.
    """
    if not fingerprint.settled:
        return
    document = {
        "version": _VERSION,
        "path": os.fspath(path),
        "files": _rows(fingerprint.files),
        "digest": fingerprint.digest,
        "refusal": None if refusal is None else [*refusal, converter],
    }
    try:
        cache.ensure()
        # Not synced to the disk: a damaged memo is ignored.
        with replacing(_memo_path(cache, path), durable=False) as partial:
            partial.write_text(json.dumps(document), encoding="utf-8")
    except CacheUnwritableError as error:
        _logger.info("the next load of %s will read the whole model: %s", path, error)


def known_paths(cache: CacheDir) -> dict[str, tuple[Path, ...]]:
    """Return the paths where each content was last seen, by digest.

    The model may have been removed or changed since.

    Args:
        cache: the folder; one that does not exist or is not to be trusted has none.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for file in sorted(cache.memo_dir.glob("*.json")) if cache.trusted() else ():
        document = _read(file)
        path, digest = document.get("path"), document.get("digest")
        if isinstance(path, str) and isinstance(digest, str):
            found[digest] = tuple(sorted((*found.get(digest, ()), Path(path))))
    return found


def orphan_memos(cache: CacheDir) -> tuple[Path, ...]:
    """List the memos that are damaged or whose source no longer exists."""
    files = sorted(cache.memo_dir.glob("*.json"))
    return tuple(file for file in files if not _describes_a_file(_read(file)))


def _describes_a_file(document: dict[str, Any]) -> bool:
    path = document.get("path")
    return isinstance(path, str) and os.path.lexists(path)


def _memo_path(cache: CacheDir, path: Path) -> Path:
    return cache.memo_dir / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"


def _rows(files: Sequence[FileStat]) -> list[list[str | int]]:
    """Return *files* as JSON values, sorted by name."""
    return [
        [file.name, file.size, file.mtime_ns, file.ctime_ns, file.inode, file.device]
        for file in sorted(files, key=attrgetter("name"))
    ]


def _read(memo: Path) -> dict[str, Any]:
    """Return the document in *memo*; an empty one if it is missing or damaged."""
    try:
        document = json.loads(memo.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(document: dict[str, Any], converter: str) -> tuple[str, str] | None:
    match document.get("refusal"):
        case [str(code), str(reason), refused_by] if refused_by == converter:
            return code, reason
        case _:
            return None
