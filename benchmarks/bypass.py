"""`python -m benchmarks.bypass --page docs/performance.md`: what a load costs that stock must do.

Each load is in a process of its own, with TensorFlow and Keras imported before. What fastload adds
is the time of the call without that of the stock loader in it: its own modules, the look at the
source and at the cache, the report. Loads through the hooks are those of `FASTLOAD=1`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import machine
from benchmarks.measure import WORK, BenchmarkError, check_byte_code
from benchmarks.own_process import told_by
from benchmarks.page import Markers, table

MARKERS: Final = Markers("bypass", "benchmarks.bypass")
HEADINGS: Final = ("why stock loads it", "code", "n", "stock s", "added ms", "by hooks, added ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of bypass.

    Attributes:
        why: what the table calls it.
        code: of the reason that is reported.
        model: which of the models, see `make`.
        keras: the Keras that opens it.
        before: what is done to the cache folder first.
    """

    why: str
    code: str
    model: str
    keras: str = "tf_keras"
    before: Callable[[Path], None] | None = None


def _take_place(cache: Path) -> None:
    """Have a file be where the cache folder should."""
    cache.touch()


KINDS: Final = (
    Kind(why="no cache folder can be made", code="FL101", model="plain", before=_take_place),
    Kind(why="Keras fails over the twin", code="FL105", model="failing.keras", keras="keras"),
    Kind(why="a SavedModel in text form, with assets", code="FL201", model="text"),
    Kind(why="a SavedModel with debugging information", code="FL203", model="debug"),
    Kind(why="an argument for stock", code="FL206", model="plain"),
)


def make(folder: Path) -> None:
    """Save the models in *folder*: a small network of 40 layers, and variants of it."""
    import keras
    import tf_keras

    _network(tf_keras).save(folder / "plain", save_format="tf")
    shutil.copytree(folder / "plain", folder / "debug")
    (folder / "debug" / "debug").mkdir()
    (folder / "debug" / "debug" / "saved_model_debug_info.pb").touch()
    _network(keras).save(folder / "failing.keras")
    shutil.copytree(folder / "plain", folder / "text")
    _put_in_text(folder / "text")


def _put_in_text(folder: Path) -> None:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    binary = folder / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(message))
    binary.unlink()
    (folder / "assets" / "notes").touch()


def _network(keras: Any) -> Any:
    layers = [keras.layers.Dense(8, activation="relu") for _ in range(40)]
    return keras.Sequential([keras.layers.Input((8,)), *layers])


def load(kind: Kind, path: Path, *, by_hooks: bool) -> dict[str, Any]:
    """Load the model of *kind* in this process; return the seconds and the report's code."""
    import fastload

    keras = importlib.import_module(kind.keras)
    if kind.code == "FL105":
        _make_restores_fail()
    if by_hooks:
        fastload.install()
        function, more = keras.models.load_model, {}
    else:
        function, more = fastload.load_model, {"keras": kind.keras}
    if kind.code == "FL206":
        more["options"] = _by_name()
    started = time.perf_counter()
    function(path, **more)
    seconds = time.perf_counter() - started
    report = fastload.last_load()
    if report is None:
        raise BenchmarkError(f"{kind.why}: fastload left no report")
    return {"s": seconds, "stock_s": report.phases.get("stock", 0.0), "code": report.code}


def _by_name() -> Any:
    """Return options that no twin serves."""
    tf = importlib.import_module("tensorflow")
    return tf.saved_model.LoadOptions(experimental_io_device="/CPU:0")


def _make_restores_fail() -> None:
    """Have Keras raise what it raises where a version changed something."""
    from fastload.runtime import restore_keras

    def fail(*_: Any) -> Any:
        raise TypeError("unexpected keyword")

    vars(restore_keras)["_restored"] = fail


def row(kind: Kind, folder: Path, rounds: int) -> tuple[str, ...]:
    """Measure *kind*, directly and by the hooks in turn, and return its row."""
    cache = folder / f"cache-{kind.code}"
    if kind.before is not None:
        kind.before(cache)
    arguments = ["--one", kind.why, str(folder)]
    told: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for number in range(-1, rounds):
        for by_hooks, found in told.items():
            more = ["--by-hooks"] if by_hooks else []
            one = _in_own_process([*arguments, *more], kind, cache)
            if number >= 0:  # the first load finds out, and remembers
                found.append(one)
    stock = median(one["stock_s"] for found in told.values() for one in found)
    added = [median(one["s"] - one["stock_s"] for one in found) for found in told.values()]
    shown = (f"{1000 * seconds:.1f}" for seconds in added)
    return (kind.why, kind.code, str(rounds), f"{stock:.3f}", *shown)


def _in_own_process(arguments: Sequence[str], kind: Kind, cache: Path) -> dict[str, Any]:
    told = told_by("benchmarks.bypass", arguments, cache)
    if told["code"] != kind.code:
        raise BenchmarkError(f"{kind.why}: {told['code']} was reported, not {kind.code}")
    return told


def main() -> None:
    """Measure every kind, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    parser.add_argument("--one", help="measure one load of this kind in this process")
    parser.add_argument("--by-hooks", action="store_true")
    asked = parser.parse_args()
    if asked.one:
        [kind] = [each for each in KINDS if each.why == asked.one]
        told = load(kind, asked.folder / kind.model, by_hooks=asked.by_hooks)
        sys.stdout.write(json.dumps(told) + "\n")
        return
    check_byte_code()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        rows = [row(kind, Path(folder), asked.rounds) for kind in KINDS]
    MARKERS.tell(machine.describe(WORK), table(HEADINGS, rows), asked.page)


if __name__ == "__main__":
    main()
