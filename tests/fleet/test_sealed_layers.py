"""`warm --into`, `export` and `import` on real models: the layer has all that a hit needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import BypassError
from fastload.imports.linking import expected as expected_libraries
from fastload.report import LoadReport
from tests.cli.conftest import Cli, cli, document_of
from tests.conftest import RunPython, SavedOnce
from tests.layers.conftest import listing, open_folder
from tests.layers.other_user import NOBODY, run_as_nobody, why_not
from tests.small_models import INPUTS, KERAS3_ARCHIVE, SAVED_MODEL, Form, copy_model

__all__ = ["cli", "open_folder"]

pytest.importorskip("tensorflow")
LOAD = """
import json, os, sys
import fastload
import numpy as np

path, keras, inputs = sys.argv[1:]
predict = fastload.load_predictor(path, keras=keras)
told = fastload.last_load()
outputs = predict.predict(np.array(json.loads(inputs), "float32"))
outputs = [*outputs.values()] if isinstance(outputs, dict) else [outputs]
print(json.dumps({
    "uid": os.getuid(), "outcome": told.outcome.value, "layer": str(told.layer),
    "keras": any(name in sys.modules for name in ("keras", "tf_keras")),
    "outputs": [np.asarray(each).tobytes().hex() for each in outputs],
}))
"""


@pytest.fixture(
    params=[SAVED_MODEL, pytest.param(KERAS3_ARCHIVE, marks=pytest.mark.slow)],
    ids=lambda form: form.id,
)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


def report() -> LoadReport:
    found = fastload.last_load()
    assert found is not None
    return found


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), path.stat().st_mode & 0o7777) for path in (folder, *folder.rglob("*"))}


def test_warm_into_a_folder_makes_a_layer(
    form: Form, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Readable by all, with nothing of this machine; the cache is not touched."""
    told = fastload.warm(saved_once(form), keras=form.package, into=tmp_path / "layer")
    again = fastload.warm(saved_once(form), keras=form.package, into=tmp_path / "layer")

    assert (told.outcome.value, again.outcome.value) == ("miss", "hit")
    assert told.twin is not None
    assert told.twin.parent == tmp_path / "layer"
    assert modes(tmp_path / "layer") == {(True, 0o755), (False, 0o444)}
    kinds = {path.suffix for path in (tmp_path / "layer").iterdir()}
    assert {".TAG", ".flat", ".h5"} <= kinds <= {".TAG", ".flat", ".h5", ".json"}
    assert not cache_root.exists()


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_what_root_warmed_serves_another_user(
    form: Form, saved_once: SavedOnce, open_folder: Path, cli: Cli, run_python: RunPython
) -> None:
    """After it went through an archive; a predictor does not even import Keras."""
    model = copy_model(saved_once(form), open_folder / f"m{form.suffix}")
    warmed = cli("warm", model, model, "--into", open_folder / "first", "--keras", form.package)
    os.environ["FASTLOAD_CACHE_PATH"] = str(open_folder / "first")
    exported = cli("export", model, "-o", open_folder / "twins.tar")
    del os.environ["FASTLOAD_CACHE_PATH"]
    imported = cli("import", open_folder / "twins.tar", "--into", open_folder / "second")
    layer, call = open_folder / "second", (LOAD, model, form.package, json.dumps(INPUTS.tolist()))
    before = listing(layer)
    expected = json.loads(run_python(*call, FASTLOAD_DISABLE="1").splitlines()[-1])
    told = run_as_nobody(*call, FASTLOAD_CACHE_PATH=str(layer), CUDA_VISIBLE_DEVICES="")
    actual = json.loads(told.splitlines()[-1])

    assert [each.exit_code for each in (warmed, exported, imported)] == [0, 0, 0]
    assert (actual["uid"], actual["outcome"], actual["layer"]) == (NOBODY, "hit", str(layer))
    assert actual["outputs"] == expected["outputs"]
    if expected_libraries():  # elsewhere, TensorFlow is imported as a whole
        assert not actual["keras"]
    assert listing(layer) == before


def test_a_layer_says_what_cannot_be_converted(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By content: nobody tries again."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"\n")
    for _ in range(2):
        with pytest.raises(BypassError) as refused:
            fastload.warm(model, into=tmp_path / "layer")
    monkeypatch.setenv("FASTLOAD_CACHE_PATH", str(tmp_path / "layer"))
    monkeypatch.setattr("fastload.loading.build.convert", _fail)
    before = listing(tmp_path / "layer")
    for _ in range(2):
        with pytest.raises(BypassError) as told:
            fastload.load_model(model, strict=True)
        assert str(told.value) == str(refused.value)

    assert {path.name[32:] for path in (tmp_path / "layer").iterdir()} >= {".refused.json"}
    assert listing(tmp_path / "layer") == before


def test_models_go_into_a_layer_in_turn(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """One that cannot be converted keeps none of the others out."""
    bad, layer = tmp_path / "model", tmp_path / "layer"
    bad.mkdir()
    (bad / "saved_model.pb").write_bytes(b"\n")
    for _ in range(2):
        with pytest.raises(BypassError):
            fastload.warm(bad, into=layer)
        fastload.warm(saved_once(SAVED_MODEL), keras=SAVED_MODEL.package, into=layer)

    assert modes(layer) == {(True, 0o755), (False, 0o444)}
    assert all(path.is_file() for path in layer.iterdir())
    assert not cache_root.exists()


def _fail(*_: object) -> None:
    raise AssertionError


def test_info_says_where_what_is_kept_is_used(
    form: Form, saved_once: SavedOnce, cache_root: Path, cli: Cli
) -> None:
    """Functions are of a version of TensorFlow; those that were optimized, of a processor."""
    import tensorflow as tf

    fastload.warm(saved_once(form), keras=form.package)
    path = saved_once(form)
    (kept,) = (
        each["kept_beside"]
        for each in document_of(cli("info", path, "--json"))["entries"]
        if any("function" in beside["what"] for beside in each["kept_beside"])
    )
    conditions: dict[str, Any] = {each["what"]: each["for"] for each in kept}
    text = " ".join(cli("info", path).stdout.split())

    assert conditions["function of predictors"] == {"TensorFlow": tf.__version__}
    assert set(conditions["optimized function of predictors"]) == {"TensorFlow", "processor"}
    assert f"1 function of predictors, for TensorFlow {tf.__version__} only" in text


def test_a_layer_of_another_processor_or_version_is_a_hit(
    form: Form,
    saved_once: SavedOnce,
    tmp_path: Path,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Functions are made anew, for the cache; those of the layer are not used."""
    fastload.warm(saved_once(form), keras=form.package, into=tmp_path / "layer")
    monkeypatch.setenv("FASTLOAD_CACHE_PATH", str(tmp_path / "layer"))
    monkeypatch.setattr("fastload.runtime.core.eager._processor", lambda: "another one")
    before = listing(tmp_path / "layer")
    fastload.load_predictor(saved_once(form), keras=form.package, strict=True)

    assert (report().outcome.value, report().layer) == ("hit", tmp_path / "layer")
    assert len(list(cache_root.glob("*.flat"))) == 1  # the one that was optimized for that one
    monkeypatch.setattr("fastload.predictor.functions.FLAT_VERSION", 1000)
    fastload.load_predictor(saved_once(form), keras=form.package, strict=True)
    assert len(list(cache_root.glob("*.flat"))) == 3
    assert listing(tmp_path / "layer") == before


def test_variables_of_other_programs_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that builds images has those of Terraform, which begin as TensorFlow's do."""
    from fastload.runtime.core.eager import environment

    before = environment()
    for name in ("TF_CLI_CONFIG_FILE", "TF_VAR_region", "TF_IN_AUTOMATION"):
        monkeypatch.setenv(name, "1")
    assert environment() == before
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert environment() != before


def test_times_that_an_image_cut_to_the_second_are_the_same() -> None:
    """Layers of images have no fractions; any other time is another file."""
    from fastload.runtime.core.installed_code import _is_same

    then = (100, 1_700_000_000_123_456_789)
    assert _is_same(then, then)
    assert _is_same(then, (100, 1_700_000_000_000_000_000))
    assert not _is_same(then, (100, 1_700_000_000_123_456_788))
    assert not _is_same(then, (100, 1_700_000_001_000_000_000))
    assert not _is_same(then, (101, 1_700_000_000_000_000_000))
