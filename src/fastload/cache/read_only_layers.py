"""Layers: folders of twins that are read and never written, below the one that is (`directory`).

An image, or a disk that many machines mount, brings what one machine learnt. Whoever can write
there decides which weights a program computes with, as in the folder that is written. So a layer is
used where it, and every folder and link on the way to it, belongs to root or to the user, and
nobody else can write there: in a sticky folder, as `/tmp` is, others cannot replace what is not
theirs. Of the files in it the same is asked. Access lists are not looked at.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastload import system
from fastload.cache.directory import CacheDir
from fastload.errors import CacheUnwritableError
from fastload.lean_dataclass import dataclass
from fastload.settings import Settings

_logger: Final = logging.getLogger("fastload")
#: As many as the kernel follows.
_MOST_LINKS: Final = 40
#: Stands for the folder that is written where there is none: nothing is there, nor can be made.
_NOWHERE: Final = Path(os.devnull).absolute() / "fastload"
_told: Final[set[str]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Distrust:
    """Why a layer is not used.

    Attributes:
        reason: in a sentence.
        remedy: the line to run, where one would help.
    """

    reason: str
    remedy: str | None = None


def with_layers(settings: Settings) -> CacheDir:
    """Return the folder that *settings* ask for, and the layers below it that can be trusted.

    A folder that cannot be trusted, or that this user cannot have, does not keep layers from being
    used: then nothing is written.

    Raises:
        CacheUnwritableError: there is neither such a layer nor a folder.
    """
    layers = trusted_layers(settings.cache_path)
    try:
        cache = CacheDir.locate(replace(settings, cache_path=()))
    except CacheUnwritableError as error:
        if not layers:
            raise
        return _layers_alone(layers, error.path, error.reason)
    fault = _fault_of(cache) if layers else None
    if fault is not None:
        return _layers_alone(layers, cache.root, fault)
    return replace(cache, layers=tuple(layer for layer in layers if layer != cache.root))


def _layers_alone(layers: tuple[Path, ...], folder: Path, fault: str) -> CacheDir:
    _tell_once(f"nothing is written to {str(folder)!r}: {fault}", logging.INFO)
    return CacheDir(root=_NOWHERE, layers=layers, fault=(folder, fault))


def trusted_layers(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the layers at *paths* that are to be used, as absolute paths.

    One that is not there is left out, as in other search paths; one that is not to be trusted is
    left out with a warning, once in a process.
    """
    found: list[Path] = []
    for path in paths:
        try:
            layer = path.absolute()
            why = distrust(layer)
        except FileNotFoundError:
            _tell_once(f"the layer {str(path)!r} is not there", logging.INFO)
            continue
        except OSError as error:
            _warn(path, Distrust(reason=error.strerror or str(error)))
            continue
        if why is None:
            found.append(layer)
        else:
            _warn(layer, why)
    return tuple(dict.fromkeys(found))


def distrust(layer: Path) -> Distrust | None:
    """Return why the folder at the absolute path *layer* is not to be used; None if it is.

    Raises:
        OSError: there is none, or it cannot be looked at.
    """
    if system.IS_WINDOWS:  # where access lists keep folders private
        return None if layer.is_dir() else Distrust(reason="it is not a folder")
    return _distrust_on_the_way(layer) or _unreadable(layer)


def file_in(layers: Iterable[Path], name: str) -> Path | None:
    """Return the path of the file called *name* in the first layer that has it; None if none has.

    A file that is not a plain one, or that others can write to, is none.
    """
    return next((path for layer in layers if _is_file(path := layer / name)), None)


def _distrust_on_the_way(layer: Path) -> Distrust | None:
    """Look at each folder and link from the root to *layer*, links followed by hand."""
    here, links = Path(layer.anchor), 0
    pending = [*reversed(layer.parts[1:])]
    why = _loose(here, here.lstat(), is_last=not pending)
    while pending and why is None:
        name = pending.pop()
        path = here.parent if name == ".." else here / name
        info = path.lstat()
        if not stat.S_ISLNK(info.st_mode):
            here, why = path, _loose(path, info, is_last=not pending)
            continue
        links += 1
        target = path.readlink()
        here = Path(target.anchor) if target.is_absolute() else here
        pending += reversed(target.parts[1 if target.is_absolute() else 0 :])
        why = (
            _foreign(path, info, "-h")
            if links <= _MOST_LINKS
            else Distrust(reason="its symbolic links form a loop")
        )
    return why


def _loose(path: Path, info: os.stat_result, *, is_last: bool) -> Distrust | None:
    """Return who else could put something else at *path* or, if it is a layer, into it."""
    if not stat.S_ISDIR(info.st_mode):
        return Distrust(reason=f"{str(path)!r} is not a folder")
    if system.others_write(info) and (is_last or not info.st_mode & stat.S_ISVTX):
        line = _line("chmod", "-R" if is_last else "", "go-w", path)
        return Distrust(reason=f"other users can write to {str(path)!r}", remedy=line)
    return _foreign(path, info, "-R" if is_last else "")


def _foreign(path: Path, info: os.stat_result, flag: str) -> Distrust | None:
    if system.is_own(info, or_root=True):
        return None
    reason = f"{str(path)!r} belongs to another user (uid {info.st_uid})"
    return Distrust(reason=reason, remedy=_line("chown", flag, "root", path))


def _unreadable(layer: Path) -> Distrust | None:
    if os.access(layer, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return None
    return _unreadable_by_user(layer)


def _unreadable_by_user(layer: Path) -> Distrust:
    reason = f"uid {os.geteuid()} cannot read it"
    return Distrust(reason=reason, remedy=_line("chmod", "-R", "a+rX", layer))


def _is_file(path: Path) -> bool:
    try:
        info = path.lstat()
    except OSError:
        return False
    if system.IS_WINDOWS:
        return stat.S_ISREG(info.st_mode)
    is_plain = stat.S_ISREG(info.st_mode) and not system.others_write(info)
    if not (is_plain and system.is_own(info, or_root=True)):
        reason = "it is a link, belongs to another user, or others can write to it"
        _warn(path, Distrust(reason=reason, remedy=_line("chmod", "-R", "go-w", path.parent)))
        return False
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        _warn(path, _unreadable_by_user(path.parent))
        return False
    return True


def _fault_of(cache: CacheDir) -> str | None:
    """Return why the folder to write to is of no use; None if it is, or if it could be made."""
    try:
        cache.root.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or str(error)
    return cache.distrust()


def _line(*words: object) -> str:
    # Imported here: most layers are in order.
    import shlex

    return shlex.join([str(word) for word in words if str(word)])


def _warn(path: Path, why: Distrust) -> None:
    line = f" Run: {why.remedy}" if why.remedy else ""
    message = f"{str(path)!r} of FASTLOAD_CACHE_PATH is not used: {why.reason}.{line}"
    _tell_once(message, logging.WARNING)


def _tell_once(message: str, level: int) -> None:
    if message not in _told:
        _told.add(message)
        _logger.log(level, "%s", message)
