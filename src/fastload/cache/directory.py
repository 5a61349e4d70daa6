"""The cache folder: where it is, how it is laid out, and whether it can be trusted.

    <root>/                     0700, owned by the user
        CACHEDIR.TAG            for backup programs (skip this), and for fastload (this is mine)
        <entry>.h5              twins
        <entry>.<kind>.json     side entries
        <entry>.used            when the twin was last used: see `eviction`
        memo/  locks/  stats/   see `memo`, `locking`, `stats`

Whoever can write here decides which weights a program computes with. So a folder that belongs to
another user, or that other users can write to, is not used.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.cache.publish import replacing, writing_to
from fastload.errors import CacheUnwritableError
from fastload.settings import Settings

_TAG_NAME: Final = "CACHEDIR.TAG"
#: The first line is the signature of bford.info/cachedir; the second distinguishes our folders from
#: those of other programs.
_TAG_MARK: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# fastload cache folder\n"
_TAG: Final = _TAG_MARK + b"# All of it is made again when needed. See bford.info/cachedir.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDir:
    """A folder of twins.

    Attributes:
        root: absolute path of the folder.
    """

    root: Path

    @classmethod
    def locate(cls, settings: Settings) -> CacheDir:
        """Return the folder that *settings* ask for. It need not exist, and is not created.

        Args:
            settings: those with `cache_dir`; None there means the platform's cache folder.

        Raises:
            CacheUnwritableError: no folder is set and this user has no home folder.

        Example:
            >>> CacheDir.locate(Settings(cache_dir=Path("/srv/twins"))).root.name
            'twins'
        """
        folder = settings.cache_dir or _platform_folder()
        return cls(root=folder.absolute())

    @property
    def memo_dir(self) -> Path:
        """The folder of the memos."""
        return self.root / "memo"

    @property
    def lock_dir(self) -> Path:
        """The folder of the lock files."""
        return self.root / "locks"

    @property
    def stats_dir(self) -> Path:
        """The folder of the load statistics."""
        return self.root / "stats"

    def ensure(self) -> None:
        """Create the folder and its subfolders, where they do not exist.

        Raises:
            CacheUnwritableError: it cannot be created, or it exists and is not to be trusted, or it
                holds files of other programs, which the tag would exclude from backups.
        """
        with writing_to(self.root):
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)
        self._require_trust()
        if not self.is_ours():
            self._claim()
        with writing_to(self.root):
            for folder in (self.memo_dir, self.lock_dir, self.stats_dir):
                folder.mkdir(mode=0o700, exist_ok=True)

    def trusted(self) -> bool:
        """Return whether nobody but this user can have written to the folder. Takes one `lstat`.

        Returns:
            False also if there is no folder. On Windows, where access lists keep user folders
            private, any folder is trusted.
        """
        return self._distrust() is None

    def is_ours(self) -> bool:
        """Return whether the folder has fastload's tag."""
        try:
            return (self.root / _TAG_NAME).read_bytes().startswith(_TAG_MARK)
        except OSError:
            return False

    def require_ours(self) -> None:
        """Check that the folder is fastload's, before anything is removed from it.

        Raises:
            CacheUnwritableError: the folder does not exist, is not to be trusted, or does not have
                fastload's tag.
        """
        self._require_trust()
        if not self.is_ours():
            raise CacheUnwritableError(self.root, f"it has no {_TAG_NAME} of fastload")

    def _claim(self) -> None:
        # Listed before the second look for the tag: another process that claims the folder writes
        # the tag before any other file.
        with writing_to(self.root):
            names = [path.name for path in self.root.iterdir()]
        if self.is_ours():
            return
        if any(name == _TAG_NAME or not name.startswith(_TAG_NAME) for name in names):
            raise CacheUnwritableError(self.root, "it holds files that are not fastload's")
        with replacing(self.root / _TAG_NAME) as partial:
            partial.write_bytes(_TAG)

    def _require_trust(self) -> None:
        reason = self._distrust()
        if reason is not None:
            raise CacheUnwritableError(self.root, reason)

    def _distrust(self) -> str | None:
        """Return why the folder is not to be trusted, or None."""
        try:
            info = self.root.lstat()
            reason = _foreign(info)
            if reason is None and stat.S_ISLNK(info.st_mode):
                info = self.root.stat()
                reason = _foreign(info)
        except OSError as error:
            return error.strerror or str(error)
        return reason or _loose(info)


def _platform_folder() -> Path:
    # Imported here because a process with FASTLOAD_CACHE_DIR does not need it.
    from platformdirs import user_cache_path

    try:
        folder = user_cache_path("fastload", appauthor=False)
    except RuntimeError:
        folder = Path("~/.cache/fastload")
    # Older platformdirs return the path with the tilde, newer ones raise.
    if not folder.is_absolute():
        raise CacheUnwritableError(folder, "this user has no home folder")
    return folder


def _foreign(info: os.stat_result) -> str | None:
    if sys.platform == "win32" or info.st_uid == os.geteuid():
        return None
    return f"it belongs to another user (uid {info.st_uid})"


def _loose(info: os.stat_result) -> str | None:
    if not stat.S_ISDIR(info.st_mode):
        return "it is not a folder"
    if sys.platform != "win32" and info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write to it; run chmod 700 on it"
    return None
