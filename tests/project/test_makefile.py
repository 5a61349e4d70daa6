"""The Makefile finds an interpreter that works, on machines where names on the path do not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = shutil.which("make")

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def planned(folder: Path) -> subprocess.CompletedProcess[str]:
    """Return what `make .venv/.made` would run with only *folder* and the system on the path."""
    environment = {"PATH": f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin", "HOME": str(folder)}
    command = [
        str(MAKE),
        "--dry-run",
        "--always-make",
        f"VENV={folder}/venv",
        f"{folder}/venv/.made",
    ]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def install(folder: Path, name: str, script: str) -> None:
    """Put an executable *script* called *name* into *folder*."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    """Pyenv leaves a name on the path for every version, also for those that do not start."""
    install(tmp_path, "python3.11", "exit 127")
    install(tmp_path, "python3.12", "exit 0")
    assert f"python3.12 -m venv {tmp_path}/venv" in planned(tmp_path).stdout


def test_an_interpreter_outside_the_range_is_passed_over(tmp_path: Path) -> None:
    """A name without a version may be of any."""
    for name in ("python3.11", "python3.12", "python3.10", "python3.13", "python3"):
        install(tmp_path, name, "exit 1")
    install(tmp_path, "python", "exit 0")
    assert f"python -m venv {tmp_path}/venv" in planned(tmp_path).stdout
