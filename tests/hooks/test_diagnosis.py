"""`fastload doctor`: what is served here, and what escapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fastload.cli.main import commands
from fastload.hooks import diagnosis
from tests.conftest import SRC


def doctor(*words: str, **environment: str) -> tuple[int, Any]:
    """Return the exit status and the document."""
    done = subprocess.run(
        [sys.executable, "-m", "fastload", "doctor", "--json", *words],
        env=os.environ | {"PYTHONPATH": str(SRC)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def doctor_here(*words: str) -> tuple[int, Any]:
    """Return the same of this process, whose modules stay as they are."""
    done = CliRunner().invoke(commands, ["doctor", "--json", *words])
    return done.exit_code, json.loads(done.stdout)


def states(document: Any) -> dict[str, str]:
    return {each["function"]: each["state"] for each in document["functions"]}


def test_all_is_served_here(cache_root: Path) -> None:
    status, document = doctor(FASTLOAD_DEFER="1")
    found = states(document)
    public = [each["function"] for each in document["functions"] if each["public"]]

    assert status == 0
    assert set(found.values()) <= {"served", "not in this version"}
    assert found["tensorflow.python.saved_model.load.load"] == "served"
    assert "served" in {found[name] for name in public if name.startswith("keras.")}
    assert document["opt_in"]["environment"] is False
    assert (cache_root, document["cache"]["fault"]) == (Path(document["cache"]["root"]), None)
    installed = document["distributions"]
    version = (installed.get("tensorflow-cpu") or installed["tensorflow"]).split(".")
    is_known = (2, 15) <= tuple(map(int, version[:2])) <= (2, 21)
    assert document["deferral"] == {"asked": True, "is_known": is_known}


@pytest.mark.slow
def test_names_that_a_module_took_are_found(cache_root: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("from keras.models import load_model as opener\n")
    path = os.pathsep.join([str(SRC), str(tmp_path)])
    status, document = doctor("theirs", "nowhere_at_all", PYTHONPATH=path)
    (name,) = [each for each in document["names"] if each["name"].startswith("theirs.")]

    # Before 2.12, Keras's function did all of it by itself.
    served = tuple(map(int, metadata.version("keras").split(".")[:2])) >= (2, 12)

    assert status == (0 if served else 1)
    assert (name["name"], name["served"]) == ("theirs.opener", served)
    assert "No module named" in document["not_imported"]["nowhere_at_all"]


def test_what_is_not_as_expected_is_a_finding(cache_root: Path, tmp_path: Path) -> None:
    """A loader with another signature is left to stock, and so is a name taken of it."""
    (tmp_path / "other.py").write_text(
        "import importlib\n"
        "module = importlib.import_module('tensorflow.python.saved_model.load')\n"
        "def load(path): pass\n"
        "module.load = load\n"
    )
    path = os.pathsep.join([str(SRC), str(tmp_path)])
    status, document = doctor("other", PYTHONPATH=path)
    state = states(document)["tensorflow.python.saved_model.load.load"]

    assert (status, state) == (1, "not as expected: left to stock")


@pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")
def test_a_cache_that_cannot_be_used_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself: all else is well."""
    well = diagnosis.Diagnosis(points=(), taken=(), failed=())
    monkeypatch.setattr(diagnosis, "diagnose", lambda _: well)
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", os.devnull)
    monkeypatch.setenv("FASTLOAD_DEFER", "0")
    status, document = doctor_here()

    assert status == 1
    assert "cannot be used" in document["cache"]["fault"]
    assert not document["deferral"]["asked"]


def test_internals_are_printed_and_nothing_else() -> None:
    """Each name that should be here is."""
    status, document = doctor_here("--internals")
    (found,) = document.values()
    context = {
        "feature": "the eager runtime",
        "module": "tensorflow.python.eager.context",
        "name": "Context.add_function_def",
        "parameters": [],
        "versions": "",
        "is_needed": True,
        "state": "found",
    }

    assert status == 0
    assert context in found
    assert {each["state"] for each in found} <= {"found", "of another version"}
