"""`register`: what is declared once is listed, found by later processes, and removed again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fastload.declarations import _of_packages, declare
from fastload.errors import DeclarationError

from .conftest import Cli, Twins, document_of


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a distribution with two classes, one of which it declares."""
    folder = tmp_path / "site"
    info = folder / "tills-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tills\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fastload.custom_objects]\nTill = tills_of:Till\n")
    (folder / "tills_of.py").write_text("class Till: pass\nclass Scale:\n    class Pan: pass\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tills_of", raising=False)
    _of_packages.cache_clear()
    return folder


def test_a_name_is_written_listed_and_removed(cli: Cli, tmp_path: Path) -> None:
    """A package's own declaration is listed too, and is not removed."""
    assert cli("register", "shop>Scale=tills_of:Scale", "Pan=tills_of:Scale.Pan").exit_code == 0
    listed = document_of(cli("register", "--list", "--json"))
    removed = document_of(cli("register", "--remove", "Pan", "--json"))

    file = str(tmp_path / "config" / "custom_objects.ini")
    own = {"object": "tills_of:Scale", "declared_by": file}
    assert listed["file"] == file
    assert listed["declared"] == {
        "Till": {"object": "tills_of:Till", "declared_by": "tills 1.0"},
        "shop>Scale": own,
        "Pan": {"object": "tills_of:Scale.Pan", "declared_by": file},
    }
    assert removed["declared"].keys() == {"Till", "shop>Scale"}


def test_own_names_come_before_those_of_packages(cli: Cli) -> None:
    """In the list, and in `doctor`."""
    cli("register", "Till=tills_of:Scale")
    listed = document_of(cli("register", "--list", "--json"))["declared"]["Till"]
    told = cli("doctor").stdout

    assert listed["object"] == "tills_of:Scale"
    assert "Till is tills_of:Scale, declared by" in told


def test_info_says_where_the_names_of_a_model_come_from(cli: Cli, twins: Twins) -> None:
    """As text and as JSON."""
    cli("register", "Scale=tills_of:Scale")
    entry = twins.add("a" * 64, object_names={"Dense": "layer 'a'", "Scale": "layer 'b'"})

    assert "Scale is tills_of:Scale, declared by" in cli("info", entry.name).stdout
    found = document_of(cli("info", entry.name, "--json"))["entries"][0]["declared_objects"]
    assert found["Scale"]["object"] == "tills_of:Scale"
    assert found.keys() == {"Scale"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["Scale"], "write NAME=package.module:attribute"),
        (["Scale=tills_of"], "write NAME=package.module:attribute"),
        (["Scale=tills_of:Gone"], "cannot be imported"),
        (["Scale=gone_of:Scale"], "cannot be imported: No module named 'gone_of'"),
        (["--remove", "Scale"], "has no such name"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    cli: Cli, tmp_path: Path, words: list[str], reason: str
) -> None:
    """With the code of its error."""
    done = cli("register", *words, "--json")

    told = json.loads(done.stderr or done.stdout)
    assert done.exit_code == 1
    assert told["error"]["code"] == "FL407"
    assert reason in told["error"]["message"]
    assert not (tmp_path / "config" / "custom_objects.ini").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="access lists keep user folders private")
def test_nothing_is_written_where_it_would_not_be_read(cli: Cli, tmp_path: Path) -> None:
    """A folder that others may write to."""
    folder = tmp_path / "config"
    folder.mkdir()
    folder.chmod(0o770)
    done = cli("register", "Scale=tills_of:Scale")

    assert done.exit_code == 1
    assert "run chmod go-w on it" in done.stderr
    assert list(folder.iterdir()) == []


def test_names_and_the_list_do_not_go_together(cli: Cli) -> None:
    """Neither both nor none."""
    assert cli("register").exit_code == 2
    assert cli("register", "--list", "Till").exit_code == 2


def test_what_ends_a_name_in_the_file_is_in_no_name(tmp_path: Path) -> None:
    """It would be read back as something else."""
    for name in ("", " a", "a\nb", "[a", "a=b", "#a"):
        with pytest.raises(DeclarationError):
            declare({name: "tills_of:Till"})


def test_a_damaged_file_is_told_and_kept(cli: Cli, tmp_path: Path) -> None:
    """Nothing that somebody wrote by hand is lost."""
    file = tmp_path / "config" / "custom_objects.ini"
    file.parent.mkdir(mode=0o700)
    file.write_text("Scale = tills_of:Scale\n")
    done = cli("register", "Pan=tills_of:Scale.Pan")

    assert done.exit_code == 1
    assert "it cannot be read" in done.stderr
    assert file.read_text() == "Scale = tills_of:Scale\n"
    assert document_of(cli("register", "--list", "--json"))["declared"].keys() == {"Till"}
