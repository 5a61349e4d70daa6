"""Telling network file systems from local ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastload.cache.directory import filesystem_type, is_network_filesystem, is_network_type

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:50 / /home rw,relatime shared:2 master:3 - nfs4 server:/home rw,vers=4.2
41 40 0:51 / /home/me/scratch rw - xfs /dev/vdb rw
42 22 0:52 / /mnt/my\040drive rw - fuse.sshfs me@host: rw
43 22 0:53 / /twice rw - ext4 /dev/vdc rw
44 43 0:54 / /twice rw - cifs //server/share rw
a line of something else
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/models", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/model", "nfs4"),
        ("/homes/me", "ext4"),
        ("/home/me/scratch/model", "xfs"),
        ("/mnt/my drive/model", "fuse.sshfs"),
        ("/twice/model", "cifs"),
    ],
)
def test_the_longest_and_latest_mount_point_decides(path: str, expected: str) -> None:
    """Whole path components count, and escapes are undone."""
    assert filesystem_type(path, MOUNTINFO) == expected


def test_a_table_without_mounts_tells_nothing() -> None:
    """No line, no answer."""
    assert filesystem_type("/models", "") is None


@pytest.mark.parametrize(
    "kind",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "lustre",
        "gpfs",
        "ceph",
        "9p",
        "beegfs",
        "fuse",
        "fuse.sshfs",
        "fuse.gcsfuse",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.glusterfs",
        "fuse.blobfuse2",
        "fuse.juicefs",
        "fuse.ceph-fuse",
    ],
)
def test_network_types_are_known(kind: str) -> None:
    """Maps of files there fetch page after page over the network."""
    assert is_network_type(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"]
)
def test_local_types_are_not_network_types(kind: str) -> None:
    """Local disks and memory are mapped."""
    assert not is_network_type(kind)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the mount table of Linux")
def test_memory_is_no_network() -> None:
    """The table of this machine can be read."""
    assert not is_network_filesystem(Path("/dev/shm"))


def test_a_path_that_is_not_there_has_an_answer(tmp_path: Path) -> None:
    """A cache that is yet to be made is looked at by its parents."""
    assert is_network_filesystem(tmp_path / "no" / "such") == is_network_filesystem(tmp_path)
