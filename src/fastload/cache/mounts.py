"""The type of the file system that a path is on: mapped files are slow on network file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

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
