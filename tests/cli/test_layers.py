"""What the verbs say of read-only layers, and that they remove nothing from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.twin.index import read_index
from tests.cli.conftest import Cli, Twins, document_of


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "layer"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("FASTLOAD_CACHE_PATH", str(folder))
    return folder


@pytest.fixture
def entry(layer: Path) -> CacheEntry:
    """The entry of a twin in the layer."""
    found = Twins(cache=CacheDir(root=layer)).add("a" * 64)
    for folder in ("locks", "memo", "stats"):
        (layer / folder).rmdir()
    return found


def test_ls_lists_the_twins_of_layers(
    cli: Cli, entry: CacheEntry, layer: Path, twins: Twins
) -> None:
    own = twins.add("b" * 64, unused_s=7200)
    document = document_of(cli("ls", "--json"))
    lines = cli("ls").stdout.splitlines()

    assert document["layers"] == [str(layer)]
    assert {each["name"]: each["layer"] for each in document["entries"]} == {
        entry.name: str(layer),
        own.name: None,
    }
    assert document["size_bytes"] == own.path.stat().st_size
    assert lines[-2].endswith(f"in {twins.cache.root}")
    assert lines[-1].startswith("1 twin, ")
    assert lines[-1].endswith(f"in the layer {layer}, which is read and never written")


def test_info_says_which_layer_a_twin_is_in(cli: Cli, entry: CacheEntry, layer: Path) -> None:
    document = document_of(cli("info", entry.name, "--json"))["entries"][0]
    text = cli("info", entry.name[:8]).stdout

    assert (document["layer"], document["twin"]) == (str(layer), str(entry.path))
    assert f"{layer}, which is read and never written" in text


def test_nothing_is_removed_from_a_layer(cli: Cli, entry: CacheEntry, layer: Path) -> None:
    """Not by name, nor with all others, nor because it is old, or damaged."""
    content = bytearray(entry.path.read_bytes())
    content[read_index(entry.path).weights[0].offset] ^= 255
    entry.path.chmod(0o644)
    entry.path.write_bytes(content)
    named = cli("rm", entry.name)
    everything = cli("rm", "--all", "--yes")
    pruned = cli("prune", "--older-than", "0s")
    verified = cli("verify", "--all", "--remove")

    assert (named.exit_code, everything.exit_code) == (1, 0)
    assert f"The layer {layer} stays as it is" in pruned.stdout
    assert verified.exit_code == 1
    assert "damaged: " in verified.stdout
    assert entry.path.read_bytes() == content


def test_doctor_says_which_layers_are_used(
    cli: Cli, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the line to run where one is not."""
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    monkeypatch.setenv("FASTLOAD_CACHE_PATH", f"{layer}:{loose}:{tmp_path / 'nowhere'}")
    found = document_of(cli("doctor", "--json"))["cache"]["layers"]

    assert [each["path"] for each in found] == [str(layer), str(loose), str(tmp_path / "nowhere")]
    assert [each["reason"] is None for each in found] == [True, False, False]
    assert found[1]["remedy"] == f"chmod -R go-w {loose}"
    shown = " ".join(cli("doctor").stdout.split())
    assert f"{layer}, read and never written" in shown


def test_doctor_is_content_with_a_layer_alone(
    cli: Cli, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be written, and twins are served."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(tmp_path / "file"))
    cache = document_of(cli("doctor", "--json"))["cache"]

    assert cache["root"] == str(tmp_path / "file")
    assert "not a folder" in cache["fault"]
    assert document_of(cli("ls", "--json"))["cache"] == str(tmp_path / "file")
    assert cli("stats").exit_code == 0
    assert cli("prune").exit_code == 0
