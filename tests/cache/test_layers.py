"""Which layers are used, which are left out with a warning, and which of their files count."""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote

import pytest

from fastload.cache import entry as entry_module
from fastload.cache import read_only_layers as layers
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, CacheFile
from fastload.cache.listing import all_entries
from fastload.cache.read_only_layers import distrust, file_in, trusted_layers
from fastload.errors import CacheUnwritableError
from fastload.settings import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="access lists are not looked at")
NAME = "ab" * 16


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_told", set())


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "on the way" / "layer"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    return folder


def test_a_folder_of_the_user_is_used(layer: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert trusted_layers([layer, layer]) == (layer,)
    assert caplog.text == ""


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o757])
def test_a_folder_that_others_can_write_to_is_left_out(
    mode: int, layer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sticky one too: there others cannot replace a file, and can add one."""
    layer.chmod(mode)

    for _ in range(2):
        assert trusted_layers([layer]) == ()

    assert caplog.text.count("is not used") == 1
    assert f"other users can write to '{layer}'. Run: chmod -R go-w '{layer}'" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(("mode", "is_used"), [(0o777, False), (0o775, False), (0o1777, True)])
def test_folders_on_the_way_are_looked_at(
    mode: int, is_used: bool, layer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a sticky one, others cannot replace what is not theirs."""
    layer.parent.chmod(mode)

    assert trusted_layers([layer]) == ((layer,) if is_used else ())
    assert (f"Run: chmod go-w '{layer.parent}'" in caplog.text) is not is_used


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give away")
@pytest.mark.parametrize("part", ["layer", "on the way", "link"])
def test_what_belongs_to_another_user_is_left_out(
    part: str, layer: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it is the layer, a folder on the way to it, or a link."""
    link = tmp_path / "link"
    link.symlink_to(layer.parent)
    owned = {"layer": layer, "on the way": layer.parent, "link": link}[part]
    os.chown(owned, 4321, -1, follow_symlinks=False)

    assert trusted_layers([link / layer.name]) == ()
    flag = {"layer": "-R ", "on the way": "", "link": "-h "}[part]
    line = f"chown {flag}root {quote(str(owned))}"
    assert f"belongs to another user (uid 4321). Run: {line}\n" in caplog.text


def test_links_are_followed_by_what_is_on_their_way(layer: Path, tmp_path: Path) -> None:
    """Absolute or not, up or down; what leads through a folder of everybody's is left out."""
    (tmp_path / "absolute").symlink_to(layer)
    (tmp_path / "up").symlink_to(Path("..", tmp_path.name, "on the way"))
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (loose / "inside").symlink_to(layer)
    (tmp_path / "through").symlink_to("loose/inside")
    turning = tmp_path / "turning"
    turning.symlink_to(turning)

    used = [tmp_path / "absolute", tmp_path / "up" / "layer"]
    assert trusted_layers([*used, tmp_path / "through", turning]) == tuple(used)


def test_a_layer_that_is_not_there_is_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in other search paths. A file is no folder, and that is one."""
    (tmp_path / "file").write_text("")

    assert trusted_layers([tmp_path / "nowhere"]) == ()
    assert caplog.text == ""
    assert trusted_layers([tmp_path / "file"]) == ()
    assert "is not a folder" in caplog.text


def test_the_first_layer_that_has_a_file_counts(layer: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (layer / "a").write_text("")
    for name in ("a", "b"):
        (other / name).write_text("")

    assert file_in([layer, other], "a") == layer / "a"
    assert file_in([layer, other], "b") == other / "b"
    assert file_in([layer, other], "c") is None


def test_files_that_others_may_have_written_do_not_count(
    layer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do links: who writes layers makes none."""
    (layer / "loose").write_text("")
    (layer / "loose").chmod(0o666)
    (layer / "link").symlink_to("loose")

    assert file_in([layer], "loose") is None
    assert file_in([layer], "link") is None
    assert caplog.text.count(f"Run: chmod -R go-w '{layer}'") == 2


def test_the_environment_names_layers_in_order(tmp_path: Path) -> None:
    text = os.pathsep.join([str(tmp_path / "a"), "", "~nobody-has-this-name/b"])
    settings = Settings.from_env({"FASTLOAD_CACHE_PATH": text})

    assert settings.cache_path == (tmp_path / "a", Path("~nobody-has-this-name/b"))


def test_without_layers_no_folder_is_an_error_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the only layer is left out."""
    monkeypatch.setattr("fastload.cache.directory._platform_folder", _no_home)
    settings = Settings(cache_path=(tmp_path / "nowhere",))

    with pytest.raises(CacheUnwritableError, match="no home"):
        CacheDir.locate(settings)


def _no_home() -> Path:
    raise CacheUnwritableError(Path("~/.cache/fastload"), "this user has no home folder")


@pytest.mark.parametrize("fault", ["no home", "a file", "of everybody", "of another user"])
def test_a_layer_is_used_where_nothing_can_be_written(
    fault: str, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is learnt is kept in memory; a folder that is not to be trusted is not read either."""
    folder = tmp_path / "cache"
    if fault == "no home":
        monkeypatch.setattr("fastload.cache.directory._platform_folder", _no_home)
    elif fault == "a file":
        folder.write_text("")
    else:
        folder.mkdir(mode=0o700)
        (folder / f"{NAME}.specs.json").write_text("what somebody wrote")
    if fault == "of everybody":
        folder.chmod(0o777)
    if fault == "of another user":
        if os.geteuid() != 0:
            pytest.skip("only root can give away")
        os.chown(folder, 4321, -1)
    cache = CacheDir.locate(
        Settings(cache_dir=None if fault == "no home" else folder, cache_path=(layer,))
    )
    side = CacheEntry(cache=cache, name=NAME).side("specs")

    assert cache.layers == (layer,)
    assert not cache.trusted()
    assert not side.is_there()
    side.keep(b"{}")
    assert side.read_bytes() == b"{}"
    side.discard()
    assert not side.is_there()
    assert list(layer.iterdir()) == []
    with pytest.raises(CacheUnwritableError):
        cache.ensure()


def test_what_is_kept_is_read_before_what_a_layer_has(layer: Path, tmp_path: Path) -> None:
    """And the folder is made when there is something to keep."""
    (layer / f"{NAME}.specs.json").write_text("of the layer")
    cache = CacheDir.locate(Settings(cache_dir=tmp_path / "cache", cache_path=(layer,)))
    side = CacheEntry(cache=cache, name=NAME).side("specs")

    assert side.read_bytes() == b"of the layer"
    side.keep(b"of the cache")
    assert side.read_bytes() == b"of the cache"
    assert side.found == tmp_path / "cache" / side.name
    side.discard()
    assert side.read_bytes() == b"of the layer"


def test_a_folder_without_layers_keeps_nothing_in_memory(tmp_path: Path) -> None:
    """A disk that is full says so, as it ever did."""
    file = CacheFile(cache=CacheDir(root=tmp_path / "nowhere"), name="a.json")

    with pytest.raises(CacheUnwritableError):
        file.keep(b"{}")
    assert file.in_memory is None


def test_memory_has_an_end(layer: Path) -> None:
    """The oldest go first."""
    cache = CacheDir(root=Path(os.devnull) / "nowhere", layers=(layer,))
    files = [CacheFile(cache=cache, name=f"{number}.json") for number in range(100)]
    for file in files:
        file.keep(b"{}")

    kept = [file.in_memory is not None for file in files]
    assert kept == [False] * 36 + [True] * 64
    for file in files:
        file.discard()


def test_threads_keep_in_memory_at_once(layer: Path) -> None:
    """Each finds what it kept, and none an error; threads are switched as often as can be."""
    cache = CacheDir(root=Path(os.devnull) / "nowhere", layers=(layer,))
    interval = sys.getswitchinterval()

    def keep(worker: int) -> None:
        for number in range(30_000):
            assert CacheFile(cache=cache, name=f"{worker}-{number}").keep_in_memory(b"{}")

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(keep, range(4))) == [None] * 4
    finally:
        sys.setswitchinterval(interval)
        entry_module._in_memory.clear()


def test_the_cache_itself_is_no_layer_of_itself(tmp_path: Path) -> None:
    """It is written to."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)

    assert CacheDir.locate(Settings(cache_dir=folder, cache_path=(folder,))).layers == ()


def test_entries_of_layers_are_listed_once(layer: Path, tmp_path: Path) -> None:
    """Those of the cache come first, and hide theirs."""
    cache = CacheDir.locate(Settings(cache_dir=tmp_path / "cache", cache_path=(layer,)))
    cache.ensure()
    for folder, name in ((cache.root, "a"), (layer, "a"), (layer, "b")):
        (folder / f"{name * 32}.h5").write_text("")

    found = {twin.name[0]: twin.layer for twin in all_entries(cache)}
    assert found == {"a": None, "b": layer}


def test_a_folder_is_distrusted_by_what_it_is(layer: Path) -> None:
    with pytest.raises(FileNotFoundError):
        distrust(layer / "nowhere")
    assert distrust(layer) is None
