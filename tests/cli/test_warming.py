"""`warm` on real models: the twin is there afterwards, and it is compared with stock on request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.api.against_stock import verify_against_stock
from fastload.errors import StockLoadError
from tests.conftest import SRC
from tests.installed import is_before
from tests.needs import NEEDS_ARCHIVES
from tests.small_models import KERAS2_ARCHIVE, KERAS3_ARCHIVE, SAVED_MODEL, Form

from .conftest import Cli, document_of

SavedOnce = Callable[..., Path]
posix_only = pytest.mark.skipif(os.name != "posix", reason="the signals are those of POSIX")


@pytest.fixture(params=[SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


def test_warm_writes_the_twin_and_compares_it_with_stock(
    cli: Cli, saved_once: SavedOnce, form: Form
) -> None:
    """Weights, optimizer and outputs, to the bit."""
    path = saved_once(form)
    (told,) = document_of(cli("warm", path, "--keras", form.package, "--verify", "--json"))[
        "models"
    ]
    compared = told["verification"]

    assert (told["outcome"], told["error"]) == ("miss", None)
    assert Path(told["twin"]).exists()
    assert (compared["equal"], compared["verified"], compared["skipped"]) == (True, True, None)
    # Of three layers, and of the optimizer, which had none before its first step until Keras 2.11.
    assert compared["weight_count"] > (5 if is_before("2.11") else 6)
    assert compared["outputs_compared"] == 1
    assert compared["compiled"] is True


def test_warm_in_words_says_that_they_are_equal(cli: Cli, saved_once: SavedOnce) -> None:
    """And what it cannot open does not keep it from the next path."""
    path = saved_once(KERAS3_ARCHIVE)
    result = cli("warm", "nowhere", path, "--keras", KERAS3_ARCHIVE.package, "--verify")

    assert result.exit_code == 1
    assert "nowhere: [FL201] 'nowhere' cannot be read: No such file or directory" in result.stdout
    assert f"{path}: twin written (" in result.stdout
    assert "equal to stock's, bit for bit\n" in result.stdout
    assert "1 output equal to stock's on seeded inputs\n" in result.stdout


def test_a_second_warming_finds_the_twin(cli: Cli, saved_once: SavedOnce, form: Form) -> None:
    """Other verbs find it by the path of the model."""
    path = saved_once(form)
    words = ("warm", path, "--keras", form.package)
    first, second = cli(*words).stdout, cli(*words).stdout
    (told,) = document_of(cli("info", path, "--json"))["entries"]

    assert f"{path}: twin written" in first
    assert f"{path}: twin was there" in second
    assert told["models"] == [str(path)]
    assert cli("verify", path).stdout.endswith(": intact\n")


def test_the_time_of_stock_lets_later_loads_say_what_they_saved(
    cli: Cli, saved_once: SavedOnce
) -> None:
    """It is noted beside the twin, and added up by `stats`."""
    path, package = saved_once(SAVED_MODEL), SAVED_MODEL.package
    compared = verify_against_stock(path, keras=package)
    cli("stats", "-z")
    fastload.load_model(path, keras=package)
    report = fastload.last_load()
    saved = document_of(cli("stats", "--json"))["seconds_saved"]

    assert report is not None
    assert report.stock_seconds == pytest.approx(compared.stock_seconds, abs=1e-5)
    assert saved == pytest.approx(report.stock_seconds - report.seconds, abs=1e-5)


def test_a_load_that_was_never_compared_does_not_guess(
    cache_root: Path, saved_once: SavedOnce
) -> None:
    """Nothing is known of stock then."""
    fastload.load_model(saved_once(KERAS3_ARCHIVE), keras=KERAS3_ARCHIVE.package)
    report = fastload.last_load()

    assert report is not None
    assert report.stock_seconds is None


def test_a_twin_with_other_values_is_told_from_stock(
    cli: Cli, saved_once: SavedOnce, cache_root: Path
) -> None:
    """A bit that flipped on the disk shows in the weights and in the outputs."""
    path, package = saved_once(KERAS3_ARCHIVE), KERAS3_ARCHIVE.package
    twin = fastload.warm(path, keras=package).twin
    assert twin is not None
    kernel = KERAS3_ARCHIVE.stock.models.load_model(path).get_layer("b").get_weights()[0]
    content = bytearray(twin.read_bytes())
    content[content.index(kernel.tobytes()) + 3] ^= 0x80  # the sign of the first value
    twin.chmod(0o600)
    twin.write_bytes(content)
    result = cli("warm", path, "--keras", package, "--verify", "--json")
    compared = document_of(result)["models"][0]["verification"]

    assert result.exit_code == 1
    assert (compared["equal"], compared["verified"]) == (False, False)
    assert compared["weight_differences"] == ["kernel: its values differ"]
    assert compared["output_differences"] == ["output 0: its values differ"]
    assert (
        "DIFFERS: kernel: its values differ"
        in cli("warm", path, "--keras", package, "--verify").stdout
    )


def test_what_stock_cannot_open_is_not_called_verified(
    cache_root: Path, saved_once: SavedOnce, tmp_path: Path
) -> None:
    """The message carries stock's own."""
    keras = KERAS3_ARCHIVE.stock
    network = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    network.save(tmp_path / "lambda.keras")
    with pytest.raises(StockLoadError) as caught:
        verify_against_stock(tmp_path / "lambda.keras", keras=KERAS3_ARCHIVE.package)

    assert caught.value.code == "FL402"
    assert "so nothing was compared: " in str(caught.value)


def test_a_model_that_takes_unknown_inputs_is_compared_without_outputs(
    cache_root: Path, tmp_path: Path
) -> None:
    """The reason is given instead of a claim."""
    keras = KERAS3_ARCHIVE.stock
    inputs = keras.Input((4,), sparse=True, name="s")
    network = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    network.save(tmp_path / "sparse.keras")
    found = verify_against_stock(tmp_path / "sparse.keras", keras=KERAS3_ARCHIVE.package)

    assert found.skipped == "inputs cannot be made: 's' is sparse or ragged"
    assert (found.is_equal, found.is_verified) == (True, False)
    assert found.weight_count == 2


def test_inputs_go_by_name_where_the_model_was_made_so(cache_root: Path, tmp_path: Path) -> None:
    """Their order in the model is not that of its inputs."""
    keras = KERAS3_ARCHIVE.stock
    inputs = {"b": keras.Input((3,), name="b"), "a": keras.Input((4,), name="a")}
    outputs = {"sum": keras.layers.Concatenate()([inputs["a"], inputs["b"]])}
    keras.Model(inputs, outputs).save(tmp_path / "named.keras")
    found = verify_against_stock(tmp_path / "named.keras", keras=KERAS3_ARCHIVE.package)

    assert (found.is_verified, found.outputs_compared) == (True, 1)


@NEEDS_ARCHIVES
@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_model_without_weights_yet_is_compared_without_them(
    cache_root: Path, tmp_path: Path
) -> None:
    """Nothing is claimed of outputs either."""
    keras = KERAS2_ARCHIVE.stock
    keras.Sequential([keras.layers.Dense(2)]).save(tmp_path / "unbuilt.keras")
    found = verify_against_stock(tmp_path / "unbuilt.keras", keras=KERAS2_ARCHIVE.package)

    assert (found.weight_count, found.is_equal, found.is_verified) == (0, True, False)
    assert found.skipped == "inputs cannot be made: the model does not say what it takes"


@pytest.mark.slow
def test_the_json_of_warm_is_alone_on_standard_output(
    run_python: Callable[..., str], saved_once: SavedOnce, cache_root: Path
) -> None:
    """Whatever Keras and TensorFlow print goes elsewhere."""
    path = saved_once(KERAS3_ARCHIVE)
    program = "import sys; from fastload.cli.main import main; main(sys.argv[1:])"
    out = run_python(program, "warm", path, "--keras", KERAS3_ARCHIVE.package, "--json")
    document: dict[str, Any] = json.loads(out)

    assert document["models"][0]["outcome"] == "miss"


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each process for one model begin to write its layer, and be killed."""
    program = tmp_path / "dying"
    begun = "CacheDir(root=Path(sys.argv[sys.argv.index('--into') + 1]).absolute()).ensure()"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(SRC)!r})\n"
        "from fastload.cache.directory import CacheDir\n"
        f"{begun}\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@posix_only
@pytest.mark.usefixtures("dying")
def test_a_process_that_is_killed_keeps_no_other_model_from_its_twin(
    cli: Cli, tmp_path: Path
) -> None:
    """It is an error of its model; what it left in the layer is sealed, and refuses nobody."""
    layer = tmp_path / "layer"
    result = cli("warm", "a", "b", "--into", layer, "--json")
    told = document_of(result)["models"]

    assert result.exit_code == 1
    assert [each["path"] for each in told] == ["a", "b"]
    assert {each["error"]["message"] for each in told} == {
        "the process that warmed it told nothing: it was killed by SIGKILL"
    }
    assert [path.name for path in layer.iterdir() if path.is_dir()] == []


def test_a_path_may_begin_with_a_dash(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each of several models is warmed in a process of its own."""
    monkeypatch.chdir(tmp_path)
    result = cli("warm", "--into", tmp_path / "layer", "--json", "--", "-x.keras", "nowhere")
    told = document_of(result)["models"]

    assert [(each["path"], each["error"]["code"]) for each in told] == [
        ("-x.keras", "FL201"),
        ("nowhere", "FL201"),
    ]


_SLOW_TO_END = """
import signal, sys, time
from pathlib import Path

def end(*_):
    time.sleep(1)  # longer than `subprocess.run` would wait
    Path(sys.argv[-1]).write_text("ended in order")
    sys.exit(1)

signal.signal(signal.SIGINT, end)
Path(sys.argv[-1]).write_text("begun")
time.sleep(60)
"""


@posix_only
def test_an_interrupt_leaves_the_process_for_a_model_the_time_to_end(tmp_path: Path) -> None:
    """It seals the layer; if it were killed, it would leave locks and memos there."""
    program, told = tmp_path / "slow", tmp_path / "told"
    program.write_text(f"#!{sys.executable}{_SLOW_TO_END}")
    program.chmod(0o755)
    words = ["warm", "--into", str(tmp_path / "layer"), str(told), str(tmp_path / "other")]
    warming = f"import sys; sys.executable = {str(program)!r}; from fastload.cli.main import main"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{warming}; main({words!r})"],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        start_new_session=True,
    )
    while process.poll() is None and not told.exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)

    assert process.wait() == 130
    assert told.read_text() == "ended in order"
    assert not (tmp_path / "other").exists()
