"""What a load says of itself: reports, explanations, log, and the arguments that decide."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import BypassError, UnsupportedRequestError, UnsupportedSourceError
from fastload.report import LoadReport, PhaseClock
from tests.conftest import RunPython, SavedOnce
from tests.small_models import KERAS2_ARCHIVE, SavedModel, assert_same_model

pytest.importorskip("tensorflow")


FOR_STOCK = "options= asks for what only the stock loader does"


def report() -> LoadReport:
    """Return the latest report, which there must be."""
    found = fastload.last_load()
    assert found is not None
    return found


def load(model: SavedModel, **arguments: Any) -> Any:
    return fastload.load_model(model.path, keras=model.form.package, **arguments)


def by_name() -> Any:
    """Return options that only the stock loader serves."""
    tf = pytest.importorskip("tensorflow")
    return tf.saved_model.LoadOptions(experimental_io_device="/CPU:0")


def test_a_miss_is_followed_by_hits_that_are_the_same_model(
    model: SavedModel, cache_root: Path
) -> None:
    """The first load writes the twin, the second maps it, and both are what stock gives."""
    stock = model.load_stock()
    for outcome in ("miss", "hit", "hit"):
        loaded = load(model, strict=True)

        assert_same_model(stock, loaded)
        assert report().outcome.value == outcome


def test_a_report_of_a_hit_is_complete(model: SavedModel, cache_root: Path) -> None:
    """Path as given, twin, bytes, and where the time went."""
    loaded = [load(model) for _ in range(2)][-1]
    found = report()

    assert found.path == str(model.path)
    assert (found.reason, found.code) == (None, None)
    assert found.twin is not None
    assert found.twin.parent == cache_root
    assert found.size_bytes >= sum(weight.nbytes for weight in loaded.get_weights())
    assert list(found.phases) == ["detect", "import", "identify", "twin", "restore"]
    assert sum(found.phases.values()) <= found.seconds + found.import_seconds


def test_a_phase_within_another_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import in the midst of a conversion is no part of it, nor of the load."""
    now = iter([0.0, 1.0, 3.0, 7.0, 8.0, 9.0, 10.0, 12.0, 20.0, 30.0])
    monkeypatch.setattr("fastload.report.time.perf_counter", lambda: next(now))
    clock = PhaseClock()
    with clock.phase("twin"):  # from 1 to 20
        with clock.phase("import"):  # from 3 to 7
            pass
        with clock.phase("import"), clock.phase("other"):  # from 8 to 12, and from 9 to 10
            pass

    assert clock.phases == {"import": 4 + 3, "other": 1, "twin": 19 - 4 - 4}
    assert clock.seconds == 30 - 7


def test_a_report_of_a_bypass_says_why(saved_model: SavedModel, cache_root: Path) -> None:
    """An argument that only stock honours is reason enough."""
    load(saved_model, options=by_name())
    found = report()

    assert (found.outcome.value, found.code) == ("bypass", "FL206")
    assert found.reason == FOR_STOCK
    assert (found.twin, found.size_bytes) == (None, 0)
    assert list(found.phases) == ["stock"]


def test_a_failed_load_is_reported_too(tmp_path: Path, cache_root: Path) -> None:
    """Stock's error passes, and the report says what was tried."""
    with pytest.raises((OSError, ValueError)):
        fastload.load_model(tmp_path / "nothing.h5")

    assert report().code == "FL201"
    assert "nothing.h5" in report().path


def test_eager_weights_are_the_same(model: SavedModel, cache_root: Path) -> None:
    """Whichever way they are read."""
    stock = model.load_stock()
    load(model)
    for weights in ("eager", "mapped", "auto"):
        assert_same_model(stock, load(model, weights=weights, strict=True))


def test_without_compile_nothing_is_compiled(model: SavedModel, cache_root: Path) -> None:
    """As in stock, on a miss and on a hit."""
    stock = model.load_stock(compile=False)
    for _ in range(2):
        loaded = load(model, compile=False, strict=True)

        assert_same_model(stock, loaded)


def test_disabled_leaves_every_load_to_stock(
    model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a load is strict: the user turned fastload off. No cache is made."""
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    monkeypatch.setenv("FASTLOAD_STRICT", "1")
    loaded = load(model)

    assert_same_model(model.load_stock(), loaded)
    assert (report().outcome.value, report().reason) == ("bypass", "FASTLOAD_DISABLE is set")
    assert fastload.explain(model.path).code == "FL206"
    assert not cache_root.exists()


def test_strict_raises_the_reason(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By argument and by environment; the argument decides where both speak."""
    with pytest.raises(
        UnsupportedRequestError,
        match=rf"^\[FL206\] {FOR_STOCK}$",
    ):
        load(saved_model, options=by_name(), strict=True)
    monkeypatch.setenv("FASTLOAD_STRICT", "yes")
    with pytest.raises(UnsupportedRequestError):
        load(saved_model, options=by_name())

    load(saved_model, options=by_name(), strict=False)
    assert report().outcome.value == "bypass"


def test_an_unknown_argument_is_stocks_type_error(model: SavedModel, cache_root: Path) -> None:
    """Message and all."""
    with pytest.raises((TypeError, ValueError)) as expected:
        model.load_stock(no_such_argument=1)
    with pytest.raises(type(expected.value)) as actual:
        load(model, no_such_argument=1)

    assert str(actual.value) == str(expected.value)


def test_an_unknown_keras_is_a_value_error(saved_model: SavedModel, cache_root: Path) -> None:
    """It is a mistake in the call, which no other loader mends; every function says so."""
    message = "keras='jax' is not understood: use 'auto', 'keras' or 'tf_keras'"
    for function in (fastload.load_model, fastload.warm, fastload.explain):
        with pytest.raises(ValueError, match=message):
            function(saved_model.path, keras="jax")  # type: ignore[operator]


def test_a_bad_setting_is_a_value_error(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variable."""
    monkeypatch.setenv("FASTLOAD_WEIGHTS", "lasy")
    with pytest.raises(ValueError, match="FASTLOAD_WEIGHTS='lasy' is not understood"):
        load(saved_model)


def test_a_bad_weights_argument_is_a_value_error(saved_model: SavedModel, cache_root: Path) -> None:
    """A misspelled mode must not be taken for another."""
    with pytest.raises(ValueError, match="weights='lasy' is not understood"):
        load(saved_model, weights="lasy")


def test_warm_makes_the_first_load_a_hit(model: SavedModel, cache_root: Path) -> None:
    """And warming again changes nothing."""
    first = fastload.warm(model.path, keras=model.form.package)
    second = fastload.warm(model.path, keras=model.form.package)
    load(model, strict=True)

    assert (first.outcome.value, second.outcome.value) == ("miss", "hit")
    assert first.twin == second.twin == report().twin
    assert report().outcome.value == "hit"


def test_warm_raises_what_a_load_would_pass_over(tmp_path: Path, cache_root: Path) -> None:
    """Who asks for a twin is told why there is none."""
    (tmp_path / "text.h5").write_text("no model")
    with pytest.raises(UnsupportedSourceError, match="is neither HDF5 nor zip"):
        fastload.warm(tmp_path / "text.h5")


def test_explain_follows_the_life_of_a_model(model: SavedModel, cache_root: Path) -> None:
    """No twin, then one."""
    before = fastload.explain(model.path, keras=model.form.package)
    load(model)
    after = fastload.explain(model.path, keras=model.form.package)

    assert (before.outcome.value, after.outcome.value) == ("miss", "hit")
    assert before.reason == "it has no twin yet; the first load writes it"
    assert after.reason == "its twin is there"
    assert before.twin == after.twin == report().twin
    assert after.kind in {"saved_model", "keras_archive", "keras_hdf5"}


def test_a_class_of_either_keras_has_not_to_be_declared(
    saved_once: SavedOnce, cache_root: Path
) -> None:
    """tf_keras writes its own name into its archives."""
    path = saved_once(KERAS2_ARCHIVE)
    explained = fastload.explain(path, keras=KERAS2_ARCHIVE.package)

    assert "register" not in str(explained.reason)


EXPLAIN = """
import sys, fastload
print(fastload.explain(sys.argv[1], keras=sys.argv[2]).outcome.value)
print(sorted({"tensorflow", "keras", "tf_keras", "h5py"} & set(sys.modules)))
"""


def test_explain_needs_no_tensorflow(
    model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    """Nor HDF5, where there is a twin; the conversion of a file is tried without writing."""
    package = model.form.package if model.form.package == "tf_keras" else "auto"
    before = run_python(EXPLAIN, model.path, package)
    load(model)
    after = run_python(EXPLAIN, model.path, package)

    reads = "[]" if model.path.is_dir() else "['h5py']"
    assert before.splitlines() == ["miss", reads]
    assert after.splitlines() == ["hit", "[]"]


def test_explain_says_that_a_saved_model_is_migrated(
    saved_model: SavedModel, cache_root: Path
) -> None:
    """Stock Keras 3 opens none, and fastload makes a Keras 3 model of it."""
    found = fastload.explain(saved_model.path, keras="keras")
    if saved_model.form.package == "keras":
        pytest.skip("keras is Keras 2 here")

    assert (found.outcome.value, found.code, found.kind) == ("miss", None, "saved_model")


def test_a_bypass_that_is_as_it_should_be_is_no_warning(
    saved_model: SavedModel, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged for those who ask."""
    with caplog.at_level(logging.INFO, logger="fastload"):
        load(saved_model, options=by_name())
    ours = [record for record in caplog.records if record.name.startswith("fastload")]

    assert [record.levelname for record in ours] == ["INFO"]
    assert re.search(rf": bypass in [\d.]+ s: {FOR_STOCK} \[FL206\]$", caplog.messages[0])


def test_the_log_can_be_turned_on_by_the_environment(
    saved_model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    """For programs that set up no logging."""
    program = "import sys, fastload\nsys.stderr = sys.stdout\nfastload.load_predictor(sys.argv[1])"
    fastload.load_predictor(saved_model.path)
    printed = run_python(program, saved_model.path, FASTLOAD_LOG="info")

    assert f"fastload: {saved_model.path}: hit in " in printed


def test_a_program_that_logs_by_itself_gets_each_line_once(
    saved_model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    """In its own format."""
    program = (
        "import sys, fastload, logging\n"
        "logging.basicConfig(stream=sys.stdout, format='own: %(message)s')\n"
        "sys.stderr = sys.stdout\n"
        "fastload.load_predictor(sys.argv[1])"
    )
    fastload.load_predictor(saved_model.path)
    printed = run_python(program, saved_model.path, FASTLOAD_LOG="info")

    assert [line[:5] for line in printed.splitlines() if ": hit in " in line] == ["own: "]


def test_a_graph_is_left_to_stock(model: SavedModel, cache_root: Path) -> None:
    """Variables made there are of another kind."""
    import tensorflow as tf

    with tf.Graph().as_default(), pytest.raises(BypassError, match="eager execution is off"):
        load(model, strict=True)
