"""Published models of the zoo, fetched with pip into a folder that outlives the run."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

_FETCH_TIMEOUT_S = 120


class UnavailableError(Exception):
    """A published model cannot be had here and now; the text says why."""


def sleepecg_gru(downloads: Path, folder: Path) -> Path:
    """Unpack the sleep staging GRU of sleepecg 0.5.6 into *folder* and return the SavedModel."""
    wheel = fetch("sleepecg==0.5.6", downloads)
    with zipfile.ZipFile(wheel) as archive:
        inner = archive.read("sleepecg/classifiers/ws-gru-mesa.zip")
    return _unpack(io.BytesIO(inner), "classifier/", folder)


def basic_pitch(downloads: Path, folder: Path) -> Path:
    """Unpack the model of Basic Pitch 0.4.0 into *folder* and return the SavedModel."""
    wheel = fetch("basic-pitch==0.4.0", downloads)
    return _unpack(wheel, "basic_pitch/saved_models/icassp_2022/nmp/", folder)


def fetch(requirement: str, downloads: Path) -> Path:
    """Return the wheel of *requirement* (`name==version`), downloading it the first time.

    Raises:
        UnavailableError: there is no pip, no network, or no such wheel.
    """
    pattern = requirement.replace("-", "_").replace("==", "-") + "-*.whl"
    downloads.mkdir(parents=True, exist_ok=True)
    if not list(downloads.glob(pattern)):
        _download(requirement, downloads)
    return next(downloads.glob(pattern))


def _download(requirement: str, downloads: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pip = [shutil.which("pip") or "pip"]
    # Only data files matter here, so the wheel of any Python will do; sleepecg has one for each.
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--python-version=3.11"]
    command += ["--quiet", "--dest", str(downloads), requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_FETCH_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{requirement} could not be fetched: {error}") from None


def _unpack(source: Path | io.BytesIO, prefix: str, folder: Path) -> Path:
    target = folder / "model"
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if member.filename.startswith(prefix) and not member.is_dir():
                path = target / member.filename.removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))
    return target
