"""DeepCell's Mesmer on a model that fastload loaded: `nox -s deepcell`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SRC = HERE.parents[1] / "src"
FORMATS = ("panoptic", "panoptic.h5")

if importlib.util.find_spec("deepcell") is None:
    pytest.skip("DeepCell is not installed: see `nox -s deepcell`", allow_module_level=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PanopticNet in each format; it stays where DEEPCELL_MODELS asks for it."""
    kept = os.environ.get("DEEPCELL_MODELS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("deepcell")
    folder.mkdir(parents=True, exist_ok=True)
    _run("panoptic_net.py", str(folder))
    return folder


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    """A folder for the path, with a distribution that declares DeepCell's layer."""
    info = tmp_path / "site" / "tissue-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tissue\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fastload.custom_objects]\nLocation2D = deepcell.layers:Location2D\n"
    )
    return info.parent


@pytest.mark.parametrize("name", FORMATS)
def test_mesmer_segments_with_a_mapped_model(
    name: str, models: Path, declared: Path, cache_root: Path
) -> None:
    path = str(models / name)
    stock = _run("tissue.py", path, "stock")
    first = _run("tissue.py", path, "registered")
    again = _run("tissue.py", path, "registered")
    by_entry_point = _run("tissue.py", path, "declared", site=declared)

    assert first == again == by_entry_point == stock
    assert _outcomes() == {"hits": 2, "misses": 1, "bypasses": 0}


def test_a_program_that_nobody_changed_segments_with_a_mapped_model(
    models: Path, cache_root: Path
) -> None:
    """Nothing is registered: the layer is made of its functions, as in stock."""
    path = str(models / "panoptic")
    stock = _run("tissue.py", path, "plain")
    first = _run("tissue.py", path, "plain", by=("-m", "fastload", "run"))
    again = _run("tissue.py", path, "plain", by=("-m", "fastload", "run"))

    assert first == again == stock
    assert _outcomes() == {"hits": 1, "misses": 1, "bypasses": 0}


def _run(
    program: str, *arguments: str, site: Path | None = None, by: tuple[str, ...] = ()
) -> list[str]:
    on_path = os.pathsep.join(str(folder) for folder in (SRC, site) if folder)
    done = subprocess.run(
        [sys.executable, *by, HERE / program, *arguments],
        env=os.environ | {"PYTHONPATH": on_path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-2:]


def _outcomes() -> dict[str, int]:
    asked = [sys.executable, "-m", "fastload", "stats", "--json"]
    told = json.loads(subprocess.check_output(asked, env=os.environ | {"PYTHONPATH": str(SRC)}))
    return {name: told[name] for name in ("hits", "misses", "bypasses")}
