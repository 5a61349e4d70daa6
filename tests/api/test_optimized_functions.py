"""Functions as TensorFlow's optimizers leave them: the same bits, and only where they hold."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.listing import orphans, remove
from fastload.errors import UnsupportedRuntimeError
from fastload.predictor import functions as flat_entries
from fastload.predictor.functions import read_flat
from fastload.runtime.functions import optimizing
from fastload.runtime.functions.flat_function import FlatFunction, NotFlatError
from tests.cache_files import file_at
from tests.signature_modules import SIGNED, X, save_signed

tf = pytest.importorskip("tensorflow")

_FLAT = [name for name, signed in SIGNED.items() if signed.reason is None]

#: Loads a predictor, and calls it before and after what its arguments say; prints each time its
#: results, and whether it uses optimized functions alone.
_PROGRAM = """
import sys, fastload, numpy as np, tensorflow as tf
from tensorflow.python.eager import context
exec(sys.argv[2])
ours = fastload.load_predictor(sys.argv[1], strict=True)
for _ in range(2):
    found = np.asarray(ours(np.array([[1.0, 2.0], [-3.0, 0.5]], "float32"))["y"]).tobytes().hex()
    names = [str(name) for name in context.context().list_function_names()]
    ours_only = [name for name in names if "fastload" in name]
    print(found, all("_optimized" in name for name in ours_only))
    exec(sys.argv[3])
"""


def kept_of(cache_root: Path) -> list[FlatFunction]:
    """Return the optimized functions that are kept."""
    found = []
    for path in cache_root.glob("*.flat"):
        try:
            found.append(read_flat(file_at(path))[0])
        except NotFlatError:
            continue
    return [flat for flat in found if flat.is_optimized]


def bits(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: (
            np.asarray(value).tolist() if value.dtype == tf.string else np.asarray(value).tobytes()
        )
        for name, value in results.items()
    }


def more_of(name: str) -> list[dict[str, Any]]:
    """Return inputs of several sizes for a module."""
    first = SIGNED[name].inputs[0]
    sizes = (1, 2, 7, 32) if name not in {"two inputs", "embedding"} else (1,)
    return [{key: np.concatenate([value] * size) for key, value in first.items()} for size in sizes]


@pytest.mark.parametrize("name", _FLAT)
def test_an_optimized_function_computes_what_stock_computes(
    name: str, tmp_path: Path, cache_root: Path
) -> None:
    """So does the plain one, which runs where a device is named."""
    path = save_signed(name, tmp_path / "model")
    stock = tf.saved_model.load(path).signatures["serving_default"]
    made = fastload.load_predictor(path, strict=True).signatures["serving_default"]
    kept = fastload.load_predictor(path, strict=True).signatures["serving_default"]
    plain = fastload.load_predictor(path, strict=True, device="CPU:0").signatures["serving_default"]

    assert len(kept_of(cache_root)) == 1
    for inputs in (*more_of(name), *SIGNED[name].inputs):
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        try:
            expected = bits(stock(**tensors))
        except tf.errors.InvalidArgumentError:
            for ours in (made, kept, plain):
                with pytest.raises(tf.errors.InvalidArgumentError):
                    ours(**inputs)
            continue
        assert bits(made(**inputs)) == bits(kept(**inputs)) == bits(plain(**inputs)) == expected


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(
            "tf.config.optimizer.set_experimental_options({'remapping': False})",
            marks=pytest.mark.slow,
        ),
        pytest.param("tf.config.optimizer.set_jit(True)", marks=pytest.mark.full),
        pytest.param("tf.config.experimental.enable_op_determinism()", marks=pytest.mark.full),
    ],
)
def test_a_program_that_asks_for_other_optimizers_gets_them(
    asked: str, dense: str, cache_root: Path, run_python: Callable[..., str]
) -> None:
    """Before a load, that is another function to keep; after it, the plain one is run."""
    fastload.load_predictor(dense, strict=True)
    expected, *after = run_python(_PROGRAM, dense, "", asked).split()
    assert len(kept_of(cache_root)) == 1
    before = run_python(_PROGRAM, dense, asked, "").split()

    assert after == ["True", expected, "False"]
    assert {before[0], before[2]} == {expected}
    assert len(list(cache_root.glob("*.flat"))) == 3


@pytest.mark.slow
def test_what_was_optimized_under_other_conditions_is_not_used(
    dense: str, cache_root: Path, run_python: Callable[..., str]
) -> None:
    expected = run_python(_PROGRAM, dense, "", "")
    found = [
        run_python(_PROGRAM, dense, "", "", TF_ENABLE_ONEDNN_OPTS="0"),
        run_python(
            _PROGRAM,
            dense,
            "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
            "",
        ),
        run_python(_PROGRAM, dense, "", "", TF_CONFIG="{}"),
    ]

    assert found == [expected] * 3
    assert len(kept_of(cache_root)) in {2, 3}  # one processor may be all that there is


def test_files_are_read_when_the_function_is_called(tmp_path: Path, cache_root: Path) -> None:
    """To TensorFlow that is no state, so its optimizers would put the content into the graph."""
    text = tmp_path / "text"
    text.write_text("one", encoding="utf-8")
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"text": tf.io.read_file(str(text)), "x": x},
        input_signature=[tf.TensorSpec([None], "float32", "x")],
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    first = fastload.load_predictor(str(tmp_path / "model"))
    assert first(X[0])["text"].numpy() == b"one"
    text.write_text("two", encoding="utf-8")
    del first  # TensorFlow keeps what it made of a function for as long as that is registered
    gc.collect()

    found = fastload.load_predictor(str(tmp_path / "model"))(X[0])

    assert found["text"].numpy() == b"two"
    assert kept_of(cache_root) == []


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        (NotFlatError("no"), True),
        (RuntimeError("no"), True),
        (UnsupportedRuntimeError("no"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_load_fails_for_what_only_makes_it_faster(
    error: Exception, is_kept: bool, dense: str, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found out is found out once; where TensorFlow is not as expected, it may be later."""
    calls = []

    def failing(*_: Any) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr(optimizing, "optimized", failing)
    results = [fastload.load_predictor(dense, strict=True)(X) for _ in range(3)]

    assert len(calls) == (1 if is_kept else 3)
    assert bits(results[0]) == bits(results[2])


def test_a_cache_that_takes_no_more_is_not_asked_to(
    dense: str, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be in vain each time."""
    fastload.load_predictor(dense)
    for path in cache_root.glob("*.flat"):
        path.unlink()
    monkeypatch.setattr(optimizing, "optimized", lambda *_: pytest.fail("it was tried"))

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_, **__: False)
        assert fastload.load_predictor(dense, strict=True)(X)
    monkeypatch.setattr(flat_entries, "_MOST_KEPT", 1)
    assert fastload.load_predictor(dense, strict=True)(X)


def test_a_damaged_optimized_function_is_made_again(
    dense: str, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = bits(fastload.load_predictor(dense)(X))
    (damaged,) = (
        path for path in cache_root.glob("*.flat") if read_flat(file_at(path))[0].is_optimized
    )
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-100])

    with caplog.at_level(logging.WARNING):
        found = bits(fastload.load_predictor(dense, strict=True)(X))

    assert found == expected
    assert "made again" in caplog.text
    assert len(kept_of(cache_root)) == 1


def test_removal_of_a_twin_takes_its_optimized_functions(dense: str, cache_root: Path) -> None:
    fastload.load_predictor(dense)
    loaded = fastload.last_load()
    assert loaded is not None
    assert loaded.twin is not None
    entry = CacheEntry(cache=CacheDir(root=cache_root), name=loaded.twin.stem)
    files = {path: path.read_bytes() for path in cache_root.glob("*.flat")}

    remove(entry)

    assert len(files) == 2
    assert list(cache_root.glob("*.flat")) == []
    for path, content in files.items():
        path.write_bytes(content)
    assert set(files) <= set(orphans(entry.cache))
