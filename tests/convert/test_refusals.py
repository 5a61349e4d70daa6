"""What is not converted, why, and that a load of it does what stock does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastload
from fastload.errors import BypassError, UnconvertibleModelError
from tests.conftest import SavedOnce
from tests.session_models import save_session_model
from tests.small_models import (
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    KERAS3_HDF5,
    SAVED_MODEL,
    Form,
    SavedModel,
    assert_same_weights,
    copy_model,
)

tf = pytest.importorskip("tensorflow")


def outcome_of(load: Callable[[], Any]) -> tuple[str, str] | Any:
    """Return what *load* returns, or type and message of what it raises."""
    try:
        return load()
    except Exception as error:
        return type(error).__name__, re.sub("0x[0-9a-f]+", "0x0", str(error))


def refusal_of(path: Path, form: Form) -> str:
    """Return why the model at *path* cannot be converted."""
    with pytest.raises(BypassError) as caught:
        fastload.load_model(path, keras=form.package, strict=True)
    return str(caught.value)


def save_tensorflow_1(path: Path) -> None:
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, (None, 2))
        outputs = inputs * v1.get_variable("weight", (2,))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        signature = v1.saved_model.predict_signature_def({"x": inputs}, {"y": outputs})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def test_warm_serves_the_loader_that_it_can(tmp_path: Path, cache_root: Path) -> None:
    """What TensorFlow 1 wrote has a twin for predictors alone, and the report says so."""
    save_tensorflow_1(tmp_path / "m")

    report = fastload.warm(tmp_path / "m", keras=SAVED_MODEL.package)
    explanation = fastload.explain(tmp_path / "m", keras=SAVED_MODEL.package)
    fastload.load_predictor(tmp_path / "m", strict=True)
    load = fastload.last_load()

    assert (report.outcome.value, report.code) == ("miss", "FL203")
    assert "does not serve load_model" in str(report.reason)
    assert (explanation.outcome.value, explanation.code) == ("bypass", "FL203")
    assert load is not None
    assert (load.outcome.value, load.twin) == ("hit", report.twin)


def test_warm_fails_where_no_loader_can_be_served(tmp_path: Path, cache_root: Path) -> None:
    """TensorFlow 1 wrote it, and it keeps debugging information."""
    save_session_model("dense", tmp_path / "m")
    (tmp_path / "m" / "debug").mkdir()
    (tmp_path / "m" / "debug" / "saved_model_debug_info.pb").write_bytes(b"")

    with pytest.raises(UnconvertibleModelError, match="not written by TensorFlow 2"):
        fastload.warm(tmp_path / "m", keras=SAVED_MODEL.package)


def test_a_saved_model_of_tensorflow_1_goes_to_stock(tmp_path: Path, cache_root: Path) -> None:
    """The refusal says why, is remembered, and the load gives what stock gives."""
    package, path = SAVED_MODEL.package, tmp_path / "m"
    save_tensorflow_1(path)
    with pytest.raises(UnconvertibleModelError, match="not written by TensorFlow 2"):
        fastload.load_model(path, keras=package, strict=True)
    expected = outcome_of(lambda: SAVED_MODEL.stock.models.load_model(path))
    actual = outcome_of(lambda: fastload.load_model(path, keras=package))
    report = fastload.last_load()

    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", "FL203")
    assert fastload.explain(path, keras="tf_keras").code == "FL203"
    assert type(actual).__name__ == type(expected).__name__


@pytest.mark.parametrize("form", [KERAS2_HDF5, KERAS3_HDF5], ids=lambda form: form.id)
def test_weights_without_a_model_go_to_stock(
    form: Form, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Stock says what is wrong with them."""
    path = tmp_path / "m.weights.h5"
    form.stock.models.load_model(saved_once(form)).save_weights(path)
    reason = refusal_of(path, form)
    expected = outcome_of(lambda: form.stock.models.load_model(path))

    assert reason.startswith("[FL203] the HDF5 file holds no model, only weights or other data; ")
    assert "fastload.load_weights" in reason
    assert isinstance(expected, tuple)
    assert outcome_of(lambda: fastload.load_model(path, keras=form.package)) == expected


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def test_damaged_weights_are_found_and_stock_says_so(
    saved_model: SavedModel, cache_root: Path
) -> None:
    """A flipped bit in the checkpoint does not get into a twin."""
    (data,) = (saved_model.path / "variables").glob("*.data-*")
    flip(data, data.stat().st_size // 2)
    reason = refusal_of(saved_model.path, saved_model.form)
    expected = outcome_of(saved_model.load_stock)
    actual = outcome_of(
        lambda: fastload.load_model(saved_model.path, keras=saved_model.form.package)
    )

    assert "cannot be read" in reason
    assert isinstance(expected, tuple)
    assert actual[0] == expected[0]
    assert not list(cache_root.glob("*.h5"))


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_a_missing_part_of_the_checkpoint_goes_to_stock(
    saved_model: SavedModel, cache_root: Path, name: str
) -> None:
    """Nothing is converted from half of a model."""
    (saved_model.path / "variables" / name).unlink()
    reason = refusal_of(saved_model.path, saved_model.form)
    expected = outcome_of(saved_model.load_stock)
    actual = outcome_of(
        lambda: fastload.load_model(saved_model.path, keras=saved_model.form.package)
    )

    assert "cannot be read" in reason
    assert isinstance(expected, tuple)
    assert actual[0] == expected[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("name", ["saved_model.pb", "keras_metadata.pb"])
def test_a_truncated_or_changed_document_never_breaks_a_load(
    name: str, data: st.DataObject, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Wherever the file is cut or changed: converted, or refused with a reason, nothing else."""
    path = tmp_path / f"m{random.Random().getrandbits(64):x}"
    copy_model(saved_once(SAVED_MODEL), path)
    whole = (path / name).read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    changed = (
        whole[:place] if cut else whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
    )
    (path / name).write_bytes(changed)
    try:
        fastload.warm(path, keras=SAVED_MODEL.package)
    except BypassError as error:
        assert str(error).startswith("[FL2")  # noqa: PT017 (that nothing else is raised is the test)


@pytest.mark.parametrize("form", [KERAS3_ARCHIVE, KERAS3_HDF5, KERAS2_HDF5], ids=lambda f: f.id)
def test_a_truncated_file_never_breaks_a_load(
    form: Form, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """What stock raises is what the caller sees."""
    whole = saved_once(form).read_bytes()
    for part in (0.05, 0.5, 0.9, 0.99):
        path = tmp_path / f"m{part}{form.suffix}"
        path.write_bytes(whole[: int(len(whole) * part)])
        expected = outcome_of(lambda path=path: form.stock.models.load_model(path))
        actual = outcome_of(lambda path=path: fastload.load_model(path, keras=form.package))

        assert isinstance(expected, tuple)
        assert isinstance(actual, tuple)
        assert actual[0] == expected[0]


def test_a_refusal_is_forgotten_when_the_model_is_mended(
    saved_model: SavedModel, saved_once: SavedOnce, cache_root: Path
) -> None:
    """Only the same content is refused again."""
    whole = (saved_model.path / "saved_model.pb").read_bytes()
    (saved_model.path / "saved_model.pb").write_bytes(whole[:1000])
    refusal_of(saved_model.path, saved_model.form)
    (saved_model.path / "saved_model.pb").write_bytes(whole)
    loaded = fastload.load_model(saved_model.path, keras=saved_model.form.package, strict=True)

    assert_same_weights(saved_model.load_stock(), loaded)
