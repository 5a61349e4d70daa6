"""The cache folder: where it is, how it is laid out, whether it can be trusted, and mapped.

    <root>/                     0700, owned by the user; layers below it: see `read_only_layers`
        CACHEDIR.TAG            for backup programs (skip this), and for fastload (this is mine)
        <entry>.h5              twins
        <entry>.<kind>.json     side entries; <entry>.<kind>.flat are flat functions
        <entry>.used            when the twin was last used: see `eviction`
        memo/  locks/  stats/   see `memo`, `locking`, `stats`

Whoever can write here decides which weights a program computes with. So a folder that belongs to
another user, or that other users can write to, is not used.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from fastload import system
from fastload.cache.publish import cache_faults, replacing
from fastload.errors import CacheUnwritableError
from fastload.lean_dataclass import dataclass
from fastload.settings import Settings

_TAG_NAME: Final = "CACHEDIR.TAG"
#: The first line is the signature of bford.info/cachedir; the second distinguishes our folders from
#: those of other programs.
_TAG_MARK: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# fastload cache folder\n"
_TAG: Final = _TAG_MARK + b"# All of it is made again when needed. See bford.info/cachedir.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDir:
    """A folder of twins, and the layers below it.

    Attributes:
        root: absolute path of the folder.
        layers: absolute paths of folders that are read and never written, in which a file is
            looked for that the folder lacks; they were found to be trusted.
        fault: which folder cannot be used, and why, where that is known; *root* is none then.
    """

    root: Path
    layers: tuple[Path, ...] = ()
    fault: tuple[Path, str] | None = None

    @classmethod
    def locate(cls, settings: Settings) -> CacheDir:
        """Return the folder that *settings* ask for. It need not exist, and is not created.

        Args:
            settings: those with `cache_dir`; None there means the platform's cache folder. Layers
                of `cache_path` that are not to be trusted are left out, with a warning.

        Raises:
            CacheUnwritableError: no folder is set and this user has no home folder; or the folder
                begins with a tilde that stands for nobody's, or is a relative path and the working
                folder is gone; and there is no layer either.

        Example:
            >>> CacheDir.locate(Settings(cache_dir=Path("/srv/twins"))).root.name
            'twins'
        """
        if settings.cache_path:
            # Imported here: most users have no layers.
            from fastload.cache.read_only_layers import with_layers

            return with_layers(settings)
        folder = settings.cache_dir or _platform_folder()
        _require_home(folder)
        with cache_faults(folder):  # the working folder may be gone
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
        if self.fault is not None:
            raise CacheUnwritableError(*self.fault)
        with cache_faults(self.root):
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)
        self._require_trust()
        if not self.is_ours():
            self._claim()
        with cache_faults(self.root):
            for folder in (self.memo_dir, self.lock_dir, self.stats_dir):
                folder.mkdir(mode=0o700, exist_ok=True)

    def require_writable(self) -> None:
        """Check by looking alone what `ensure` would find when it writes; it may still find more.

        Raises:
            CacheUnwritableError: the folder is not to be trusted or holds files of other programs;
                or it, or what it would be made in, cannot be written to.
        """
        if self.fault is not None or os.path.lexists(self.root):
            self._require_trust()
            if not self.is_ours():
                self._require_claimable()
        with cache_faults(self.root):
            nearest = next(each for each in (self.root, *self.root.parents) if each.exists())
        if not nearest.is_dir():
            raise CacheUnwritableError(self.root, f"{str(nearest)!r} is not a folder")
        if not system.may_write(nearest):
            raise CacheUnwritableError(self.root, f"{str(nearest)!r} cannot be written to")

    def trusted(self) -> bool:
        """Return whether nobody but this user can have written to the folder. Takes one `lstat`.

        Returns:
            False also if there is no folder. On Windows, where access lists keep user folders
            private, any folder is trusted.
        """
        return self.distrust() is None

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
        if self._require_claimable():
            return
        with cache_faults(self.root), replacing(self.root / _TAG_NAME) as partial:
            system.write_bytes(partial, _TAG)

    def _require_claimable(self) -> bool:
        """Check that the folder has no files of others; return whether it is ours meanwhile."""
        # Listed before the second look for the tag: another process that claims the folder writes
        # the tag before any other file.
        with cache_faults(self.root):
            names = [path.name for path in self.root.iterdir()]
        if self.is_ours():
            return True
        if any(name == _TAG_NAME or not name.startswith(_TAG_NAME) for name in names):
            raise CacheUnwritableError(self.root, "it holds files that are not fastload's")
        return False

    def _require_trust(self) -> None:
        reason = self.distrust()
        if reason is not None:
            raise CacheUnwritableError(self.root, reason)

    def layer_of(self, path: Path) -> Path | None:
        """Return the layer that the file at *path* is in; None for files of the folder itself."""
        return next((layer for layer in self.layers if path.parent == layer), None)

    def distrust(self) -> str | None:
        """Return why the folder is not to be trusted, or None."""
        if self.fault is not None:
            return self.fault[1]
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


def _require_home(folder: Path) -> None:
    """Refuse a tilde that stands for no home folder: below the working folder, nobody looks for it.

    Raises:
        CacheUnwritableError: *folder* begins with one.
    """
    first = folder.parts[0] if folder.parts else ""
    if first.startswith("~"):
        raise CacheUnwritableError(folder, f"there is no home folder that {first!r} stands for")


def _foreign(info: os.stat_result) -> str | None:
    if system.is_own(info):
        return None
    return f"it belongs to another user (uid {info.st_uid})"


def _loose(info: os.stat_result) -> str | None:
    if not stat.S_ISDIR(info.st_mode):
        return "it is not a folder"
    if system.others_write(info):
        return "other users can write to it; run chmod 700 on it"
    return None


# fmt: off
_NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs",
    "lustre", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
})
# fmt: on
#: FUSE file systems are called `fuse.<program>`, or just `fuse`, which are mostly object stores.
_NETWORK_FUSE: Final = re.compile(
    r"fuse(\.(.*(s3|gcs|ceph|gluster|blob|juice|davfs|hdfs|alluxio).*|goofys|rclone|sshfs))?"
)
#: Four fields, the mount point, more fields, a dash, the type.
_MOUNT: Final = re.compile(r"(?:\S+ ){4}(?P<point>\S+) .*? - (?P<kind>\S+) ")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def is_network_filesystem(path: Path) -> bool:
    """Return whether *path* is on a network file system.

    Args:
        path: a file or folder, which need not exist; links are followed.

    Returns:
        False also if it is not known: it is read from `/proc/self/mountinfo`, which only Linux has.
    """
    try:
        table = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    kind = filesystem_type(os.path.realpath(path), os.fsdecode(table))
    return kind is not None and is_network_type(kind)


def filesystem_type(path: str, mountinfo: str) -> str | None:
    """Return the type of the file system that holds *path*.

    Args:
        path: absolute path without links.
        mountinfo: text as in `/proc/self/mountinfo`.

    Returns:
        The type at the longest mount point above *path*, the latest one if several are mounted
        there; None if the text has none.

    Example:
        >>> filesystem_type("/data/a", "9 1 0:1 / /data rw - nfs4 host:/x rw")
        'nfs4'
    """
    best: tuple[str, str] | None = None
    for line in mountinfo.splitlines():
        mount = _parse(line)
        if mount is not None and _is_under(path, mount[0]):
            # A later line is mounted over an earlier one.
            best = mount if best is None or len(mount[0]) >= len(best[0]) else best
    return best[1] if best else None


def is_network_type(kind: str) -> bool:
    """Return whether file systems of type *kind* keep their bytes on another machine.

    Example:
        >>> is_network_type("nfs4"), is_network_type("fuse.sshfs"), is_network_type("ext4")
        (True, True, False)
    """
    return kind in _NETWORK or _NETWORK_FUSE.fullmatch(kind) is not None


def _parse(line: str) -> tuple[str, str] | None:
    """Return mount point and type of one line; None if the line has another form."""
    match = _MOUNT.match(line)
    if match is None:
        return None
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), match["point"]), match["kind"]


def _is_under(path: str, mount_point: str) -> bool:
    folder = mount_point.rstrip("/")
    return path == folder or path.startswith(folder + "/")
