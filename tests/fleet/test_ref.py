"""Models by reference: they open wherever a twin is, and are what they were when referred to."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import ModelChangedError, ModelNotHereError, RestoreError, TwinCorruptError
from fastload.fleet import ref as fleet_ref
from fastload.report import LoadReport
from tests.conftest import SRC, SavedOnce
from tests.small_models import (
    INPUTS,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    Form,
    assert_same_model,
    by_format,
    copy_model,
)

tf = pytest.importorskip("tensorflow")


@pytest.fixture(autouse=True)
def nothing_is_shared() -> Iterator[None]:
    fleet_ref._shared.clear()
    yield
    fleet_ref._shared.clear()


@pytest.fixture(params=[by_format(form) for form in (SAVED_MODEL, KERAS3_ARCHIVE, KERAS2_HDF5)])
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture
def path(form: Form, saved_once: SavedOnce, tmp_path: Path, cache_root: Path) -> Path:
    return copy_model(saved_once(form), tmp_path / f"m{form.suffix}")


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def report() -> LoadReport:
    found = fastload.last_load()
    assert found is not None
    return found


def same_bits(one: Any, other: Any) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_a_reference_is_small_and_comes_back(form: Form, path: Path) -> None:
    """Pickled, as JSON, compared, as a key."""
    ref = fastload.ref(path, keras=form.package, memory_budget="256MiB", weights="lazy")

    assert fastload.Ref.from_json(ref.to_json()) == ref
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert len({ref, fastload.ref(ref, keras=form.package)}) == 2
    assert len(ref.to_json()) < 500
    assert len(pickle.dumps(ref)) < 700
    assert os.fspath(ref) == str(path)
    assert json.loads(fastload.ref(path).to_json()) == {
        "digest": ref.digest,
        "kind": ref.kind,
        "path": str(path),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"digest": "00", "kind": "saved_model", "path": "m"}',
        json.dumps({"digest": "a" * 64, "kind": "pickle", "path": "m"}),
        json.dumps({"digest": "a" * 64, "kind": "saved_model", "path": "m", "keras": "theano"}),
        json.dumps({"digest": "a" * 64, "kind": "saved_model", "path": "m", "run": "rm"}),
        json.dumps({"digest": ["a"], "kind": "saved_model", "path": "m"}),
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this is not a reference"):
        fastload.Ref.from_json(text)


def test_it_opens_without_the_model(form: Form, path: Path) -> None:
    """Everything that the twin serves, with stock's outputs; the model is gone."""
    stock = form.stock.models.load_model(path)
    with fastload.disabled():
        expected = fastload.load_predictor(str(path), keras=form.package).predict(INPUTS)
    fastload.warm(path, keras=form.package)
    ref = fastload.ref(path, keras=form.package)
    remove(path)
    model = ref.load_model(strict=True)

    assert report().outcome.value == "hit"
    assert_same_model(stock, model)
    assert same_bits(ref.load_predictor().predict(INPUTS), expected)
    assert same_bits(ref.load_predictor().keras_model()(INPUTS), model(INPUTS))
    assert_same_model(stock, fastload.load_model(ref, keras=form.package, strict=True))
    if form is SAVED_MODEL:
        serve = ref.load_saved_model()
        assert report().outcome.value == "hit"
        assert set(serve.signatures) == {"serving_default"}


def test_it_opens_in_another_process_from_a_layer(
    form: Form, path: Path, tmp_path: Path, cache_root: Path
) -> None:
    """As JSON, by another process, with a layer and nothing else."""
    fastload.warm(path, keras=form.package, into=tmp_path / "layer")
    ref = fastload.ref(path, keras=form.package)
    expected = ref.load_predictor().predict(INPUTS)
    remove(path)
    shutil.rmtree(cache_root)
    program = (
        "import sys, json, fastload, numpy as np\n"
        "ref = fastload.Ref.from_json(sys.argv[1])\n"
        "found = ref.load_predictor().predict(np.array(json.loads(sys.argv[2]), 'float32'))\n"
        "told = fastload.last_load()\n"
        "found = list(found.values())[0] if isinstance(found, dict) else found\n"
        "print(told.outcome.value, told.layer, np.asarray(found).tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ref.to_json(), json.dumps(INPUTS.tolist())],
        env=os.environ | {"PYTHONPATH": str(SRC), "FASTLOAD_CACHE_PATH": str(tmp_path / "layer")},
        capture_output=True,
        text=True,
        check=True,
    )
    outcome, layer, outputs = done.stdout.split()

    expected = next(iter(expected.values())) if isinstance(expected, dict) else expected
    assert (outcome, layer) == ("hit", str(tmp_path / "layer"))
    assert outputs == np.asarray(expected).tobytes().hex()


def test_it_converts_the_model_where_no_twin_is(form: Form, path: Path) -> None:
    """Once."""
    ref = fastload.ref(path, keras=form.package)
    model = ref.load_model(strict=True)

    assert report().outcome.value == "miss"
    assert_same_model(form.stock.models.load_model(path), model)
    ref.load_model(strict=True)
    assert report().outcome.value == "hit"


@pytest.mark.parametrize("load", ["load_model", "load_predictor"])
def test_without_twin_and_model_the_error_says_so(load: str, form: Form, path: Path) -> None:
    """Stock has nothing to load either."""
    ref = fastload.ref(path, keras=form.package)
    remove(path)

    with pytest.raises(ModelNotHereError, match=f"no cache here has a twin .* {ref.digest[:12]}"):
        getattr(ref, load)()
    with pytest.raises(ValueError, match="FASTLOAD_CACHE_PATH"), fastload.disabled():
        getattr(ref, load)()


@pytest.mark.parametrize("load", ["load_model", "load_predictor"])
def test_another_model_at_its_path_is_not_taken_for_it(
    load: str, form: Form, path: Path, saved_once: SavedOnce, cache_root: Path
) -> None:
    """With a twin, it is what it was; without, it is an error."""
    stock = form.stock.models.load_model(path)
    fastload.warm(path, keras=form.package)
    ref = fastload.ref(path, keras=form.package)
    remove(path)
    copy_model(saved_once(form, "functional", 2), path)

    assert_same_model(stock, ref.load_model(strict=True))
    fleet_ref._shared.clear()
    shutil.rmtree(cache_root)
    with pytest.raises(ModelChangedError, match="has changed since it was referred to"):
        getattr(ref, load)()
    with pytest.raises(ModelChangedError), fastload.disabled():
        getattr(ref, load)()


def test_a_broken_twin_without_the_model_is_the_error(
    form: Form, path: Path, cache_root: Path
) -> None:
    """It says more than that the model is not there."""
    fastload.warm(path, keras=form.package)
    ref = fastload.ref(path, keras=form.package)
    remove(path)
    for twin in cache_root.glob("*.h5"):
        twin.chmod(0o600)
        twin.write_bytes(twin.read_bytes()[:-100])

    with pytest.raises(TwinCorruptError):
        ref.load_predictor()


def test_predictors_are_opened_once_and_closed_by_themselves(
    form: Form, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one of several threads; models are new each time."""
    fastload.warm(path, keras=form.package)
    ref = fastload.ref(path, keras=form.package)
    loads: list[Any] = []
    found: list[Any] = []
    stock = fastload.load_predictor

    def counted(*words: Any, **named: Any) -> Any:
        loads.append(words)
        return stock(*words, **named)

    monkeypatch.setattr(fastload, "load_predictor", counted)
    threads = [threading.Thread(target=lambda: found.append(ref.load_predictor())) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = found[0].predict(INPUTS)
    with found[0]:
        pass

    assert len(loads) == 1
    assert len({id(each) for each in found}) == 4
    with pytest.raises(ValueError, match="closed"):
        found[0].predict(INPUTS)
    assert same_bits(found[1].predict(INPUTS), expected)
    assert ref.load_model() is not ref.load_model()


def test_a_process_keeps_the_last_few_predictors(
    path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are let go of when nobody has them."""
    monkeypatch.setattr(fleet_ref, "MOST_SHARED", 1)
    first = fastload.ref(path, keras=form.package)
    first.load_predictor()
    run = weakref.ref(fleet_ref._shared[first])
    fastload.ref(path, keras=form.package, strict=True).load_predictor()
    gc.collect()

    assert run() is None
    assert first not in fleet_ref._shared


def test_a_pickled_predictor_is_a_reference(form: Form, path: Path) -> None:
    """It opens without the model, once in a process."""
    predict = fastload.load_predictor(path, keras=form.package)
    expected, content = predict.predict(INPUTS), pickle.dumps(predict)
    remove(path)
    one, other = pickle.loads(content), pickle.loads(content)

    assert len(content) < 1000
    assert len(fleet_ref._shared) == 1
    assert same_bits(one.predict(INPUTS), expected)
    assert pickle.dumps(one) == pickle.dumps(other)
    assert one.digest == predict.digest


def test_explain_tells_of_the_model_that_is_referred_to(form: Form, path: Path) -> None:
    ref = fastload.ref(path, keras=form.package)
    before = fastload.explain(ref, keras=form.package).outcome.value
    fastload.warm(path, keras=form.package)
    remove(path)

    assert before == "miss"
    assert fastload.explain(ref, keras=form.package).outcome.value == "hit"


def test_there_is_no_reference_to_what_is_no_model(tmp_path: Path, cache_root: Path) -> None:
    (tmp_path / "text").write_text("no model")
    with pytest.raises(fastload.errors.BypassError):
        fastload.ref(tmp_path / "text")


def test_a_reference_is_made_where_nothing_can_be_remembered(
    form: Form, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = fastload.ref(path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(tmp_path / "file"))

    assert fastload.ref(path) == ref


def save_words(path: Path, words: list[str]) -> None:
    """Save a SavedModel with a table over a file of *words*."""

    class Words(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self, file: Path) -> None:
            lookup = tf.lookup
            index = lookup.TextFileIndex
            places = (tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
            initializer = lookup.TextFileInitializer(str(file), *places)
            self.table = lookup.StaticVocabularyTable(initializer, 1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
        def place(self, words: Any) -> Any:
            return {"place": self.table.lookup(words)}

    file = path.with_name("words.txt")
    file.write_text("\n".join(words) + "\n")
    made = Words(file)
    tf.saved_model.save(made, str(path), signatures=made.place)
    file.unlink()


def test_no_model_gets_the_assets_of_another(tmp_path: Path, cache_root: Path) -> None:
    """A twin has no assets: they come from the model that is meant, or there are none."""
    path, words = tmp_path / "model", tf.constant(["b", "c"])
    save_words(path, ["a", "b", "c"])
    fastload.warm(path)
    ref = fastload.ref(path)

    def places() -> list[int]:
        fleet_ref._shared.clear()
        found: list[int] = ref.load_predictor()(words)["place"].numpy().tolist()
        served = ref.load_saved_model().signatures["serving_default"](words)
        assert served["place"].numpy().tolist() == found
        return found

    assert places() == [1, 2]
    assert report().outcome.value == "hit"
    path.rename(tmp_path / "kept")
    save_words(path, ["c", "b", "a"])
    for _ in range(2):
        with pytest.raises(RestoreError) as refused:
            places()
        assert isinstance(refused.value.__cause__, ModelChangedError)
    shutil.rmtree(path)
    with pytest.raises(RestoreError) as refused:
        places()
    assert isinstance(refused.value.__cause__, ModelNotHereError)
    (tmp_path / "kept").rename(path)
    assert places() == [1, 2]
    assert report().outcome.value == "hit"
