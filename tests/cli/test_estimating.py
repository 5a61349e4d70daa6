"""`estimate` says what a model would need, and loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

import fastload
from fastload.settings import parse_size
from tests.small_models import SAVED_MODEL, SavedModel

from .conftest import Cli, document_of

LARGE = np.zeros((128, 128), np.float32)
SMALL = np.zeros(128, np.float32)
TOTAL = 3 * LARGE.nbytes + 3 * SMALL.nbytes


@pytest.fixture
def layers(tmp_path: Path, cache_root: Path) -> Path:
    """A model file of three layers; nothing but its weights matters here."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        for layer in "abc":
            file[f"model_weights/{layer}/kernel:0"] = LARGE
            file[f"model_weights/{layer}/bias:0"] = SMALL
            file[f"model_weights/{layer}"].attrs["weight_names"] = [b"kernel:0", b"bias:0"]
        file["model_weights"].attrs["layer_names"] = [b"a", b"b", b"c"]
        file["optimizer_weights/m:0"] = LARGE
    return path


def test_what_a_model_needs_is_told_without_a_twin(
    cli: Cli, layers: Path, cache_root: Path
) -> None:
    """Of an optimizer nothing is needed, and no cache is made."""
    document = document_of(cli("estimate", layers, "--json"))

    assert document == {
        "path": str(layers),
        "weights": 6,
        "total_bytes": TOTAL,
        "kept_bytes": 3 * SMALL.nbytes,
        "largest_layer": {"name": "a", "size_bytes": LARGE.nbytes},
        "smallest_budget_bytes": LARGE.nbytes + 3 * SMALL.nbytes,
        "budget": None,
    }
    assert not cache_root.exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A budget, and what is said of it."""

    size: str
    is_enough: bool = True
    holds_all: bool = False
    read: int | None
    verdict: str


CASES = (
    Case(
        size=str(TOTAL), holds_all=True, read=0, verdict="holds all weights; nothing is read twice"
    ),
    Case(size="66KiB", read=3 * LARGE.nbytes, verdict="a call reads about 192.0 KiB"),
    Case(size="64KiB", is_enough=False, read=None, verdict="too small; a load would fail"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.size)
def test_a_budget_is_judged(cli: Cli, layers: Path, case: Case) -> None:
    """In JSON and in words, and the exit status says whether it is enough."""
    as_json = cli("estimate", layers, "--budget", case.size, "--json")
    as_text = cli("estimate", layers, "--budget", case.size)
    status = 0 if case.is_enough else 1

    assert document_of(as_json)["budget"] == {
        "size_bytes": parse_size(case.size),
        "is_enough": case.is_enough,
        "holds_all": case.holds_all,
        "bytes_read_per_call": case.read,
    }
    assert as_text.stdout.splitlines()[-1].endswith(f": {case.verdict}")
    assert (as_json.exit_code, as_text.exit_code) == (status, status)


def test_a_twin_says_the_same_as_its_model(cli: Cli, model: SavedModel) -> None:
    """Where the model can be read without TensorFlow."""
    if model.form is SAVED_MODEL:
        pytest.skip("it cannot")
    before = cli("estimate", model.path, "--json")
    fastload.warm(model.path, keras=model.form.package)
    after = cli("estimate", model.path, "--json")

    assert document_of(before)["weights"] >= 6
    assert before.stdout == after.stdout


def test_a_saved_model_takes_a_twin(cli: Cli, saved_model: SavedModel) -> None:
    """The message has the command that makes it."""
    before = cli("estimate", saved_model.path, "--json")
    in_words = cli("estimate", saved_model.path)
    fastload.warm(saved_model.path, keras=saved_model.form.package)
    after = cli("estimate", saved_model.path, "--json")

    assert (before.exit_code, document_of(before)["error"]["code"]) == (1, "FL401")
    assert f"Run `fastload warm {saved_model.path}` first." in " ".join(in_words.stderr.split())
    assert (after.exit_code, document_of(after)["weights"]) == (0, 6)


def test_a_file_without_a_model_is_an_error(cli: Cli, tmp_path: Path) -> None:
    """As is one that is not there."""
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = LARGE
    empty, absent = cli("estimate", path), cli("estimate", tmp_path / "nowhere.h5")

    assert (empty.exit_code, absent.exit_code) == (1, 1)
    assert "[FL401]" in empty.stderr
    assert "holds no weights of a Keras model" in empty.stderr
    assert "there is no " in absent.stderr
