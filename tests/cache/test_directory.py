"""The cache folder: where it is put, and whom it trusts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fastload.cache.directory import CacheDir
from fastload.errors import CacheUnwritableError
from fastload.settings import Settings

from .conftest import needs_root

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")


def test_the_environment_chooses_the_folder(tmp_path: Path) -> None:
    """FASTLOAD_CACHE_DIR is taken as it is."""
    settings = Settings.from_env({"FASTLOAD_CACHE_DIR": str(tmp_path / "twins")})

    assert CacheDir.locate(settings).root == tmp_path / "twins"


def test_a_relative_folder_survives_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is made absolute when it is looked up."""
    monkeypatch.chdir(tmp_path)
    cache = CacheDir.locate(Settings(cache_dir=Path("twins")))

    assert cache.root == tmp_path / "twins"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG names the folder on Linux only")
def test_the_platform_chooses_where_no_folder_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting the folder is the platform's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert CacheDir.locate(Settings()).root == tmp_path / "fastload"


@posix_only
@pytest.mark.parametrize("folder", ["~no_such_user/twins", "~/twins", "~"])
def test_a_tilde_that_stands_for_nobodys_home_is_refused(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the working folder, nobody would look for the twins, or for who wrote them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it is without a home
    settings = Settings.from_env({"FASTLOAD_CACHE_DIR": folder})

    with pytest.raises(CacheUnwritableError, match="there is no home folder that '~") as caught:
        CacheDir.locate(settings)
    assert caught.value.path == Path(folder)
    assert list(tmp_path.iterdir()) == []


@posix_only
def test_layers_serve_where_the_folder_is_nobodys(tmp_path: Path) -> None:
    """Nothing is written then."""
    layer = tmp_path / "layer"
    layer.mkdir(mode=0o755)
    environment = {"FASTLOAD_CACHE_DIR": "~no_such_user/c", "FASTLOAD_CACHE_PATH": str(layer)}
    cache = CacheDir.locate(Settings.from_env(environment))

    assert cache.layers == (layer,)
    assert cache.fault is not None
    assert cache.fault[0] == Path("~no_such_user/c")


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="reads the password file of Linux")
def test_a_user_without_a_home_has_no_cache() -> None:
    """A user number without a password entry and without HOME is told so."""
    code = (
        "import os; from fastload.cache.directory import CacheDir;"
        "from fastload.settings import Settings; import platformdirs; os.setuid(54321);"
        "os.environ.pop('HOME', None); os.environ.pop('XDG_CACHE_HOME', None);"
        "from fastload.errors import CacheUnwritableError\n"
        "try: CacheDir.locate(Settings())\n"
        "except CacheUnwritableError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )

    assert "this user has no home folder" in process.stdout, process.stderr


def test_a_new_folder_is_private_and_tagged(tmp_path: Path) -> None:
    """The folder gets mode 0700 and the signature that backup programs look for."""
    cache = CacheDir(root=tmp_path / "a" / "b")
    cache.ensure()
    tag = (cache.root / "CACHEDIR.TAG").read_text()

    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert cache.trusted()
    assert cache.is_ours()
    assert os.name != "posix" or cache.root.stat().st_mode & 0o777 == 0o700


def test_making_the_folder_again_changes_nothing(cache: CacheDir) -> None:
    """A second call finds everything in place."""
    before = {path: path.stat().st_mtime_ns for path in cache.root.rglob("*")}
    cache.ensure()

    assert {path: path.stat().st_mtime_ns for path in cache.root.rglob("*")} == before


def test_a_folder_that_is_not_there_is_not_trusted(tmp_path: Path) -> None:
    """Nothing is not something that only this user wrote."""
    assert not CacheDir(root=tmp_path / "none").trusted()


@posix_only
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Group or world may not write where weights come from."""
    cache = CacheDir(root=tmp_path / "open")
    cache.root.mkdir()
    cache.root.chmod(mode)

    assert not cache.trusted()
    with pytest.raises(CacheUnwritableError, match="other users can write to it; run chmod 700"):
        cache.ensure()


@needs_root
def test_a_folder_of_another_user_is_refused(cache: CacheDir) -> None:
    """Only the user's own folder will do."""
    os.chown(cache.root, 54321, 54321)

    assert not cache.trusted()
    with pytest.raises(CacheUnwritableError, match=r"belongs to another user \(uid 54321\)"):
        cache.ensure()


@needs_root
def test_a_link_to_the_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """The folder behind a link is held to the same rules."""
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, 54321, 54321)
    cache = CacheDir(root=tmp_path / "link")
    cache.root.symlink_to(foreign)

    assert not cache.trusted()
    with pytest.raises(CacheUnwritableError, match="belongs to another user"):
        cache.ensure()


@needs_root
def test_a_link_that_another_user_made_is_refused(tmp_path: Path) -> None:
    """Whoever owns the link chooses where it leads."""
    (tmp_path / "mine").mkdir(mode=0o700)
    cache = CacheDir(root=tmp_path / "link")
    cache.root.symlink_to(tmp_path / "mine")
    os.chown(cache.root, 54321, 54321, follow_symlinks=False)

    assert not cache.trusted()


@posix_only
def test_a_link_of_the_user_to_a_folder_of_the_user_is_fine(tmp_path: Path) -> None:
    """People move caches to bigger disks by a link."""
    (tmp_path / "mine").mkdir(mode=0o700)
    cache = CacheDir(root=tmp_path / "link")
    cache.root.symlink_to(tmp_path / "mine")
    cache.ensure()

    assert cache.trusted()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The message names the path and the way out."""
    cache = CacheDir(root=tmp_path / "file")
    cache.root.write_text("mine")

    with pytest.raises(CacheUnwritableError, match=r"File exists.*FASTLOAD_CACHE_DIR"):
        cache.ensure()


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made says why."""
    (tmp_path / "file").write_text("mine")

    with pytest.raises(CacheUnwritableError, match="cannot be used"):
        CacheDir(root=tmp_path / "file" / "cache").ensure()


@pytest.mark.parametrize("name", ["thesis.doc", "CACHEDIR.TAG"])
def test_a_folder_with_files_of_others_is_left_alone(tmp_path: Path, name: str) -> None:
    """A tag there would keep the user's own files out of backups."""
    cache = CacheDir(root=tmp_path / "home")
    cache.root.mkdir(mode=0o700)
    (cache.root / name).write_text("mine")

    with pytest.raises(CacheUnwritableError, match="holds files that are not fastload's"):
        cache.ensure()
    assert [path.name for path in cache.root.iterdir()] == [name]


def test_a_folder_without_the_tag_is_not_ours(cache: CacheDir) -> None:
    """Nothing may be removed from a folder that lost its tag."""
    (cache.root / "CACHEDIR.TAG").unlink()

    with pytest.raises(CacheUnwritableError, match=r"has no CACHEDIR\.TAG of fastload"):
        cache.require_ours()


def test_a_hit_imports_neither_filelock_nor_platformdirs(cache: CacheDir) -> None:
    """What a hit needs of the cache is standard library."""
    code = (
        "import sys; from fastload.cache import directory, entry, memo, stats;"
        "from fastload.settings import Settings; from pathlib import Path;"
        "directory.CacheDir.locate(Settings(cache_dir=Path(sys.argv[1]))).trusted();"
        "print(sorted({'filelock', 'platformdirs', 'numpy', 'h5py'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    output = subprocess.check_output(
        [sys.executable, "-c", code, str(cache.root)], env=environment, text=True
    )

    assert output.strip() == "[]"


@needs_root
def test_a_folder_of_another_user_cannot_be_written_to() -> None:
    """Nor what would be made in it; looking makes nothing, and root may."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        cache = CacheDir(root=folder / "none" / "cache")
        cache.require_writable()
        os.seteuid(54321)
        try:
            with pytest.raises(CacheUnwritableError, match="cannot be written to"):
                cache.require_writable()
        finally:
            os.seteuid(0)

        assert list(folder.iterdir()) == []
