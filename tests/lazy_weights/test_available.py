"""How much memory is left, as the host and its control groups say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastload.lazy_weights.available import available_bytes

GIB = 2**30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A host with 8 GiB left."""
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    meminfo = f"MemTotal: {16 * 2**20} kB\nMemAvailable:  {8 * 2**20} kB\n"
    (folder / "meminfo").write_text(meminfo)
    return folder


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    """No groups yet."""
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def test_without_groups_it_is_what_the_host_has(proc: Path, cgroups: Path) -> None:
    """Memory that could be freed is counted by the kernel."""
    assert available_bytes(proc, cgroups) == 8 * GIB


def test_where_nobody_says_it_is_not_known(tmp_path: Path) -> None:
    """As on other systems."""
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None


def test_a_group_of_version_2_limits_it(proc: Path, cgroups: Path) -> None:
    """Pages of files in it could go."""
    (proc / "self" / "cgroup").write_text("0::/pod/box\n")
    files = {"memory.max": 4 * GIB, "memory.current": 3 * GIB}
    group(cgroups / "pod" / "box", {**files, "memory.stat": f"anon 1\nfile {GIB}\nkernel 5"})

    assert available_bytes(proc, cgroups) == 2 * GIB


@pytest.mark.parametrize("limits", [(2, 6), (6, 2)])
def test_the_tightest_group_around_counts(
    proc: Path, cgroups: Path, limits: tuple[int, int]
) -> None:
    """A container in a pod may have a larger limit than the pod."""
    (proc / "self" / "cgroup").write_text("0::/pod/box\n")
    for folder, limit in zip(("pod", "pod/box"), limits, strict=True):
        group(cgroups / folder, {"memory.max": limit * GIB, "memory.current": GIB})

    assert available_bytes(proc, cgroups) == GIB


def test_a_group_without_a_limit_does_not_count(proc: Path, cgroups: Path) -> None:
    """It says `max`."""
    (proc / "self" / "cgroup").write_text("0::/\n")
    group(cgroups, {"memory.max": "max", "memory.current": 7 * GIB})

    assert available_bytes(proc, cgroups) == 8 * GIB


def test_a_group_of_version_1_limits_it(proc: Path, cgroups: Path) -> None:
    """Among other hierarchies."""
    (proc / "self" / "cgroup").write_text("5:cpu,cpuacct:/box\n4:memory:/box\n1:name=systemd:/\n")
    files = {"memory.limit_in_bytes": 3 * GIB, "memory.usage_in_bytes": 2 * GIB}
    group(cgroups / "memory" / "box", {**files, "memory.stat": "cache 1\ntotal_cache 4096"})

    assert available_bytes(proc, cgroups) == GIB + 4096


def test_a_full_group_has_nothing_left(proc: Path, cgroups: Path) -> None:
    """Never less."""
    (proc / "self" / "cgroup").write_text("0::/box\n")
    group(cgroups / "box", {"memory.max": GIB, "memory.current": 2 * GIB})

    assert available_bytes(proc, cgroups) == 0


def test_a_group_of_a_name_with_colons_is_found(proc: Path, cgroups: Path) -> None:
    """Container runtimes use such."""
    (proc / "self" / "cgroup").write_text("0::/a:b:c\n")
    group(cgroups / "a:b:c", {"memory.max": GIB, "memory.current": 0})

    assert available_bytes(proc, cgroups) == GIB


def test_what_cannot_be_read_is_left_out(proc: Path, cgroups: Path) -> None:
    """No file, no number, no text."""
    (proc / "self" / "cgroup").write_text("0::/box\n")
    group(cgroups / "box", {"memory.max": "a lot", "memory.current": 5})
    (proc / "meminfo").write_bytes(b"\xff\xfe")

    assert available_bytes(proc, cgroups) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_host_has_some() -> None:
    """The true files are as expected."""
    left = available_bytes()

    assert left is not None
    assert left > 2**20
