"""Memos: the content digest of a path, so that a hit finds its twin without reading the model.

A memo has the digest of a source, the stat of each of its files, and what tells their file system
from another one in its place. While all of that is the same, so is the content: any edit,
replacement, copy or `touch` changes at least one. It does not hold for files that had changed just
before they were hashed; the memo says so. A memo also has the reason why a conversion failed, so
that a model that cannot be converted is not tried on each load; that holds for the same content,
whatever the stats.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheFile
from fastload.cache.publish import publish
from fastload.errors import CacheUnwritableError
from fastload.lean_dataclass import dataclass
from fastload.source.detect import FileStat, Fingerprint, place_of

#: Raised when a memo means something else; older ones are not believed.
_VERSION: Final = 2
#: Each is of another Keras, purpose or version of fastload; the oldest go first.
_MOST_REFUSALS: Final = 8
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo:
    """What is remembered of a source.

    Attributes:
        digest: hex digest of its content then.
        refusal: code and reason if the same converter could not convert that content, or None.
        is_current: whether that is its content now, by its stats.
    """

    digest: str
    refusal: tuple[str, str] | None = None
    is_current: bool = True


def recall(
    cache: CacheDir, path: Path, files: Sequence[FileStat], *, converter: str
) -> Memo | None:
    """Return what is remembered of the model at *path*.

    Takes one `lstat`, one small read and one `statvfs`: 0.02 ms for a SavedModel of five files.

    Args:
        cache: the folder.
        path: absolute path of the source.
        files: the files that it has now.
        converter: what would convert it: fastload's version and the Keras in use. A refusal by
            another converter does not count.

    Returns:
        None if there is no memo, if it is damaged, or if the folder is not to be trusted.
    """
    document = _document(cache, path)
    digest = document.get("digest")
    if not isinstance(digest, str):
        return None
    return Memo(
        digest=digest,
        refusal=_refusal(document, converter),
        is_current=_is_current(document, path, files),
    )


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
        fingerprint: its digest and stats.
        converter: as for `recall`.
        refusal: code and reason, if it cannot be converted; by default, what is remembered of the
            same content.
    """
    old = _document(cache, path)
    known = _refusals(old) if old.get("digest") == fingerprint.digest else {}
    if refusal is not None:
        known = dict([*known.items(), (converter, list(refusal))][-_MOST_REFUSALS:])
    document = {
        "version": _VERSION,
        "path": os.fspath(path),
        "files": _rows(fingerprint.files),
        "volumes": volumes_of(path, fingerprint.files),
        "settled": fingerprint.settled,
        "digest": fingerprint.digest,
        "refusals": known,
    }
    if document == old:
        return
    file, content = _memo_file(cache, path), json.dumps(document).encode()
    try:
        cache.ensure()
        publish(file.path, content)
    except CacheUnwritableError as error:
        if file.keep_in_memory(content):
            return
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


def known_refusals(cache: CacheDir) -> tuple[tuple[str, str, str, str], ...]:
    """Return digest, converter, code and reason of each content that could not be converted."""
    found = []
    for file in sorted(cache.memo_dir.glob("*.json")) if cache.trusted() else ():
        document = _read(file)
        digest = document.get("digest")
        for converter, told in _refusals(document).items():
            match digest, told:
                case str(), [str(code), str(reason)]:
                    found.append((digest, converter, code, reason))
    return tuple(found)


def orphan_memos(cache: CacheDir) -> tuple[Path, ...]:
    """List the memos that are damaged or whose source no longer exists."""
    files = sorted(cache.memo_dir.glob("*.json"))
    return tuple(file for file in files if not _describes_a_file(_read(file)))


def _document(cache: CacheDir, path: Path) -> dict[str, Any]:
    """Return the memo of *path*; an empty one if there is none that can be believed."""
    file = _memo_file(cache, path)
    if file.in_memory is not None:
        document = _parsed(file.in_memory)
    else:
        document = _read(file.path) if cache.trusted() else {}
    is_ours = document.get("version") == _VERSION and document.get("path") == os.fspath(path)
    return document if is_ours else {}


def _is_current(document: dict[str, Any], path: Path, files: Sequence[FileStat]) -> bool:
    """Say whether the model at *path*, whose files are *files*, is what *document* tells of."""
    return (
        document.get("settled") is True
        and document.get("files") == _rows(files)
        and document.get("volumes") == volumes_of(path, files)
    )


def _describes_a_file(document: dict[str, Any]) -> bool:
    path = document.get("path")
    return isinstance(path, str) and os.path.lexists(path)


def _memo_file(cache: CacheDir, path: Path) -> CacheFile:
    """Return the memo of *path*; it is never read in a layer, whose files had other stats."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return CacheFile(cache=cache, name=f"{cache.memo_dir.name}/{name}.json")


def _rows(files: Sequence[FileStat]) -> list[list[str | int]]:
    """Return *files* as JSON values, sorted by name."""
    return [
        [file.name, file.size, file.mtime_ns, file.ctime_ns, file.inode, file.device]
        for file in sorted(files, key=attrgetter("name"))
    ]


def _read(memo: Path) -> dict[str, Any]:
    """Return the document in *memo*; an empty one if it is missing or damaged."""
    try:
        return _parsed(memo.read_bytes())
    except OSError:
        return {}


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(document: dict[str, Any], converter: str) -> tuple[str, str] | None:
    match _refusals(document).get(converter):
        case [str(code), str(reason)]:
            return code, reason
        case _:
            return None


def _refusals(document: dict[str, Any]) -> dict[str, Any]:
    """Return code and reason by converter; older memos have those of one."""
    match document.get("refusals"), document.get("refusal"):
        case dict(found), _:
            return found
        case _, [code, reason, str(converter)]:
            return {converter: [code, reason]}
        case _:
            return {}


def volumes_of(path: Path, files: Sequence[FileStat]) -> dict[str, str]:
    """Return what tells each file system of a source from others mounted in its place, by device.

    Device numbers are used again; on images that were built with equal times, so is every stat.
    Takes a system call for each; where one is read-only, two small reads more.

    Args:
        path: the source.
        files: its files.
    """
    names = {file.device: file.name for file in files}
    return {str(device): _volume(device, place_of(path, name)) for device, name in names.items()}


def _volume(device: int, path: Path) -> str:
    """Return what can be told; an empty string where the system tells nothing."""
    # Windows has none, and there device numbers are serial numbers of volumes.
    if not hasattr(os, "statvfs"):
        return ""
    try:
        status = os.statvfs(path)
    except OSError:
        return ""
    if not status.f_flag & os.ST_RDONLY:
        return str(status.f_fsid)
    # Written elsewhere, with whatever times: only the same attachment of the same disk will do.
    disk = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    attachment = _text(f"{disk}/diskseq") or _text(f"{disk}/../diskseq")
    numbers = (status.f_fsid, status.f_blocks, status.f_files)
    return " ".join([*map(str, numbers), attachment, _text("/proc/sys/kernel/random/boot_id")])


def _text(path: str) -> str:
    """Return the content of a small file of the kernel's; empty where there is none."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
