"""What tests of layers share: a folder that every user can look into, and what is in a layer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import fastload

Listing = Mapping[str, tuple[int, ...]]
MakeLayer = Callable[..., Path]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can look into, and its owner alone can write to."""
    folder = Path(tempfile.mkdtemp(prefix="fastload-layers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def listing(folder: Path) -> Listing:
    """Return what tells whether anything in *folder* was touched: kind, size, times, links."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        info = path.lstat()
        told = (info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_nlink)
        found[str(path.relative_to(folder))] = (*told, info.st_ino)
    return found


def readable(folder: Path) -> Path:
    """Let everybody read what is in *folder*, and nobody write to it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o444)
    return folder


@pytest.fixture
def make_layer(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> MakeLayer:
    """Write the twins of models, with all that is kept beside them, into a layer of that name."""

    def make(*models: Path, keras: str = "auto", name: str = "layer") -> Path:
        with monkeypatch.context() as patched:
            patched.setenv("FASTLOAD_CACHE_DIR", str(open_folder / name))
            for model in models:
                fastload.warm(model, keras=keras)
        for folder in ("locks", "memo", "stats"):
            shutil.rmtree(open_folder / name / folder)
        return readable(open_folder / name)

    return make
