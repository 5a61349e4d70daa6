"""`predict`: files in, files out, as a predictor computes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from tests.signature_modules import X, save_signed

from .conftest import Cli, document_of

pytest.importorskip("tensorflow")


@pytest.fixture
def dense(tmp_path: Path, cache_root: Path) -> str:
    return save_signed("dense", tmp_path / "model")


def expected(path: str, **inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
    found = fastload.load_predictor(path).signatures["serving_default"](**inputs)
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.mark.parametrize("form", ["npy", "npz", "json"])
def test_inputs_come_from_any_kind_of_file(cli: Cli, dense: str, tmp_path: Path, form: str) -> None:
    inputs, output = tmp_path / f"x.{form}", tmp_path / "y.npz"
    if form == "npy":
        np.save(inputs, X)
    elif form == "npz":
        np.savez(inputs, x=X)
    else:
        inputs.write_text(json.dumps({"x": X.tolist()}), encoding="utf-8")

    result = cli("predict", dense, "--inputs", inputs, "--output", output)

    assert result.exit_code == 0, result.output
    assert "y (2, 2)" in result.output
    wanted = expected(dense, x=X)
    with np.load(output) as found:
        assert sorted(found) == sorted(wanted)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_outputs_are_printed_where_no_file_is_named(cli: Cli, dense: str, tmp_path: Path) -> None:
    inputs = tmp_path / "x.json"
    inputs.write_text(json.dumps(X.tolist()), encoding="utf-8")

    printed = json.loads(cli("predict", dense, "--inputs", inputs).stdout)
    told = document_of(cli("predict", dense, "--inputs", inputs, "--json"))

    wanted = {name: value.tolist() for name, value in expected(dense, x=X).items()}
    assert printed == wanted
    assert told["outputs"] == wanted
    assert told["outcome"] == "hit"


def no_constant(word: str) -> float:
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.parametrize("is_named", [True, False])
def test_numbers_that_json_has_not_are_text(
    cli: Cli, dense: str, tmp_path: Path, is_named: bool
) -> None:
    """In outputs, and in inputs where the model takes floating point."""
    rows = [["NaN", 1.0], ["Infinity", 1.0], ["-Infinity", 1.0], [1.0, 2.0]]
    inputs, output = tmp_path / "x.json", tmp_path / "y.json"
    inputs.write_text(json.dumps({"x": rows} if is_named else rows), encoding="utf-8")
    command = ("predict", dense, "--inputs", inputs)

    texts = [cli(*command).stdout, cli(*command, "--json").stdout]
    assert cli(*command, "--output", output).exit_code == 0
    printed, told, written = (
        json.loads(text, parse_constant=no_constant)
        for text in (*texts, output.read_text(encoding="utf-8"))
    )

    wanted = expected(dense, x=np.array(rows, "float32"))
    assert printed == written == told["outputs"]
    assert any(isinstance(each, str) for row in printed["y"] for each in row)
    for name, value in wanted.items():
        assert np.array_equal(np.array(printed[name], "float32"), value, equal_nan=True)


def test_rows_can_be_run_in_batches(cli: Cli, dense: str, tmp_path: Path) -> None:
    rows = np.repeat(X, 5, axis=0)
    np.save(tmp_path / "x.npy", rows)
    output = tmp_path / "y.json"
    arguments = ("predict", dense, "--inputs", tmp_path / "x.npy", "--output", output)

    assert cli(*arguments, "--batch-size", 3).exit_code == 0

    found = json.loads(output.read_text(encoding="utf-8"))
    assert np.array_equal(np.array(found["y"], "float32"), expected(dense, x=rows)["y"])


def test_text_goes_as_json(cli: Cli, tmp_path: Path, cache_root: Path) -> None:
    """With Base64 for what is no text."""
    path = save_signed("strings", tmp_path / "model")
    inputs, output = tmp_path / "x.json", tmp_path / "y.json"
    inputs.write_text(json.dumps({"text": ["NaN", "ü", {"b64": "/w=="}]}), encoding="utf-8")

    assert cli("predict", path, "--inputs", inputs, "--output", output).exit_code == 0
    refused = cli("predict", path, "--inputs", inputs, "--output", tmp_path / "y.npz")

    found = json.loads(output.read_text(encoding="utf-8"))
    assert found == {"length": [4, 3, 2], "text": ["NaN", "ü", {"b64": "/w=="}]}
    assert refused.exit_code == 2
    assert "only .json can hold" in refused.output


def test_one_file_of_numpy_holds_one_output(cli: Cli, tmp_path: Path, cache_root: Path) -> None:
    path = save_signed("loop", tmp_path / "model")
    np.save(tmp_path / "x.npy", X)

    cli("predict", path, "--inputs", tmp_path / "x.npy", "--output", tmp_path / "y.npy")

    assert np.array_equal(np.load(tmp_path / "y.npy"), expected(path, x=X)["output_0"])


def test_types_that_numpy_has_not_are_stored_without_loss(
    cli: Cli, tmp_path: Path, cache_root: Path
) -> None:
    path = save_signed("brain", tmp_path / "model")
    np.save(tmp_path / "x.npy", X)

    cli("predict", path, "--inputs", tmp_path / "x.npy", "--output", tmp_path / "y.npy")

    found = np.load(tmp_path / "y.npy")
    assert found.dtype == np.float32
    assert np.array_equal(found, expected(path, x=X)["output_0"].astype("float32"))


@pytest.mark.parametrize(
    ("name", "content", "output", "word"),
    [
        ("x.txt", b"1", "y.npy", "neither"),
        ("x.npy", b"no array", "y.npy", "cannot be read"),
        ("x.json", b"{", "y.json", "cannot be read"),
        ("x.json", b"[[1, 2]]", "y.csv", "neither"),
        ("x.json", b"[[1, 2]]", "y.npy", "use .npz"),
    ],
)
def test_files_that_make_no_sense_are_refused(  # noqa: PLR0917 - each a part of the case
    cli: Cli, dense: str, tmp_path: Path, name: str, content: bytes, output: str, word: str
) -> None:
    """Nothing is written, and what was there stays."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / output).write_bytes(b"old")

    result = cli("predict", dense, "--inputs", tmp_path / name, "--output", tmp_path / output)

    assert result.exit_code == 2
    assert word in result.output
    assert (tmp_path / output).read_bytes() == b"old"
    assert not list(tmp_path.glob(".y*"))


def test_wrong_inputs_are_one_line(cli: Cli, dense: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[0])

    result = cli("predict", dense, "--inputs", tmp_path / "x.npy")

    assert result.exit_code == 1
    assert "takes float32 of shape (?, 2); it was given shape (2,)" in result.output


def test_an_unknown_signature_is_one_line(cli: Cli, dense: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)

    result = cli("predict", dense, "--signature", "none", "--inputs", tmp_path / "x.npy")

    assert result.exit_code == 1
    assert "FL403" in result.output
