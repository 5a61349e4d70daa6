"""`import --into`: an archive goes into a layer, and no state of a cache is lost for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.entry import mark_used
from fastload.cache.listing import entries
from tests.layers.conftest import listing

from .conftest import Cli, Twins


@pytest.fixture
def live(twins: Twins, tmp_path: Path) -> CacheDir:
    """A cache with a twin, a memo, a note of use, a lock, statistics and a file half written."""
    entry = twins.add_for(tmp_path / "model.h5", "a" * 64)
    mark_used(entry)
    for path in (entry.lock_path, twins.cache.stats_dir / "loads.jsonl"):
        path.write_text("")
    (twins.cache.root / f"{entry.name}.h5.00c0ffee-42-0123456789ab.partial").write_text("")
    return twins.cache


@pytest.fixture
def archive(cli: Cli, live: CacheDir, tmp_path: Path) -> Path:
    (twin,) = entries(live)
    assert cli("export", twin.name, "-o", tmp_path / "twins.tar").exit_code == 0
    return tmp_path / "twins.tar"


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    (tmp_path / "junk.tar").write_text("junk\n")
    return tmp_path / "junk.tar"


@pytest.mark.parametrize("folder", ["cache", "elsewhere"])
def test_a_cache_does_not_become_a_layer(
    folder: str, cli: Cli, live: CacheDir, archive: Path, junk: Path
) -> None:
    """Neither that of this user's settings nor one that other programs use."""
    before = listing(live.root)
    settings = {"FASTLOAD_CACHE_DIR": str(live.root.with_name(folder))}
    refused = [cli("import", file, "--into", live.root, env=settings) for file in (archive, junk)]

    for done in refused:
        assert done.exit_code == 1
        assert f"nothing is written to '{live.root}': it " in done.stderr
        assert "Name another folder" in done.stderr
    assert listing(live.root) == before


def test_junk_leaves_a_layer_as_it_is(cli: Cli, archive: Path, junk: Path, tmp_path: Path) -> None:
    """Archives are added to it in turn; one that is none makes no folder either."""
    layer = tmp_path / "layer"
    imported = [cli("import", archive, "--into", layer).exit_code for _ in range(2)]
    before = listing(layer)
    refused = [cli("import", junk, "--into", folder) for folder in (layer, tmp_path / "none")]

    assert imported == [0, 0]
    assert {path.suffix: path.stat().st_mode & 0o777 for path in layer.iterdir()} == {
        ".TAG": 0o444,
        ".h5": 0o444,
    }
    assert all("[FL408]" in done.stderr for done in refused)
    assert listing(layer) == before
    assert not (tmp_path / "none").exists()
