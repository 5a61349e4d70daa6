"""A process that only predicts leaves TensorFlow to its first touch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fastload
from tests.deferral import needs_deferral, tf

pytestmark = needs_deferral
RunPython = Callable[..., str]

START = """
import sys
import numpy as np
import fastload
X = np.linspace(-1, 1, 6, dtype="float32").reshape(3, 2)
path = sys.argv[1]
def waits(): return type(sys.modules["tensorflow"]).__name__ == "LazyModule"
predict = fastload.load_predictor(path, strict=True)
assert fastload.last_load().outcome.value == "hit"
y = next(iter(predict(X).values()))
"""
WAITS = "\nprint(waits())"


@pytest.fixture
def model(dense: str) -> str:
    """A SavedModel that is in the cache."""
    fastload.load_predictor(dense, strict=True)
    return dense


@pytest.mark.parametrize(
    "use",
    [
        "predict.predict(np.ones((70, 2)), batch_size=32); predict.predict(X)",
        "predict(dict.fromkeys(predict.input_specs, X)); predict([[1, 2]])",
        "fastload.load_predictor(path, device='CPU:0')(X)",
        "predict.input_specs; predict.output_specs; repr(predict); str(fastload.last_load())",
        "import pickle; pickle.loads(pickle.dumps(predict))(X)",
        "from concurrent.futures import ThreadPoolExecutor as T\nlist(T(8).map(predict, [X] * 99))",
        "repr(y); str(y); len(y); y.shape; y.dtype; y.device; np.asarray(y); y.numpy(); np.sum(y)",
        "import copy, pickle; copy.copy(y); copy.deepcopy(y); pickle.loads(pickle.dumps(y))",
        "predict.close(); del predict, y",
        "import tensorflow",
    ],
)
def test_tensorflow_waits_while_a_process_predicts(
    use: str, model: str, run_python: RunPython
) -> None:
    assert run_python(START + use + WAITS, model) == "True"


def test_it_waits_where_the_first_load_names_a_device(model: str, run_python: RunPython) -> None:
    program = START.replace("strict=True", "strict=True, device='CPU:0'")
    assert run_python(program + WAITS, model) == "True"


def test_it_waits_after_inputs_that_are_refused(model: str, run_python: RunPython) -> None:
    program = START + (
        "for wrong in np.ones(3), 'text', None, object(), np.ones((2, 3)):\n"
        "    try: predict(wrong)\n"
        "    except (TypeError, ValueError): pass\n"
        "    else: raise AssertionError(wrong)"
    )
    assert run_python(program + WAITS, model) == "True"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int64", "bool", "string"])
def test_it_waits_with_any_dtype(
    dtype: str, tmp_path: Path, cache_root: Path, run_python: RunPython
) -> None:
    path = str(tmp_path / "model")
    spec = tf.TensorSpec([None], dtype, name="x")
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])
    tf.saved_model.save(module, path, signatures=module.f)
    fastload.load_predictor(path, strict=True)
    program = START.partition("y = next")[0] + (
        "values = {'string': np.array(['a', b'b'], object), 'bool': X[0] > 0}\n"
        f"given = values.get({dtype!r}, X[0].round())\n"
        f"if {dtype!r} == 'int64': given = given.astype('int64')\n"
        "found = next(iter(predict(x=given).values())); print(found.dtype.name, end=' ')\n"
        "predict.predict(given); np.asarray(found)"
    )
    assert run_python(program + WAITS, path) == f"{dtype} True"


@pytest.mark.parametrize(
    ("variables", "expected"), [({"FASTLOAD_DEFER": "0"}, "False"), ({}, "True")]
)
def test_a_variable_turns_it_off(
    variables: dict[str, str], expected: str, model: str, run_python: RunPython
) -> None:
    assert run_python(START + WAITS, model, **variables) == expected


#: First touches of threads; each must do what it does alone.
TOUCHES = [
    "y + 1",
    "y[0]",
    "-y",
    "y == y",
    "y @ np.ones((y.shape[1], 1), 'float32')",
    "[predict(X) for _ in range(500)]",
    "import tensorflow as tf; tf.constant(1) + 1",
    "from tensorflow.python.ops import array_ops; array_ops.concat",
    "import tensorflow.python.saved_model.load as m; m.load",
    "from tensorflow.python.data.ops import dataset_ops as m; m.DatasetV2",
    "import keras; keras.layers.Dense",
    "from tensorflow import keras; keras.Model",
    "import tensorflow.compat.v1 as m; m.Session",
    "from importlib import import_module; import_module('tensorflow.python.ops.math_ops').add",
    "import fastload; fastload.load_predictor(path)(X)",
]


@pytest.mark.parametrize("apart_s", [0, 0.5])
def test_threads_touch_at_once_while_others_predict(
    apart_s: float, model: str, run_python: RunPython
) -> None:
    program = (
        START
        + f"""
import os, random, threading, time
def touch(text):
    barrier.wait()
    time.sleep(random.random() * {apart_s})
    try: exec(text, dict(globals()))
    except BaseException as error: errors.append((text, repr(error)))
errors, texts = [], {TOUCHES}
barrier = threading.Barrier(len(texts) + 1)
threads = [threading.Thread(target=touch, args=[text], daemon=True) for text in texts]
[thread.start() for thread in threads]
barrier.wait()
expected = np.asarray(y)
end = time.monotonic() + 120
while any(thread.is_alive() for thread in threads) and time.monotonic() < end:
    assert np.array_equal(np.asarray(next(iter(predict(X).values()))), expected)
print(errors, [thread.is_alive() for thread in threads].count(True), waits())
sys.stdout.flush()
os._exit(0)
"""
    )
    assert run_python(program, model) == "[] 0 False"
