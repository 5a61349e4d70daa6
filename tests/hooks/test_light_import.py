"""A light import of the real TensorFlow differs from the stock one in time only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fastload.hooks import light_import

HERE = Path(__file__).parent
ADD = "from fastload.hooks import light_import; light_import.add()\n"
#: What deferring may leave out, by the path of the container: names that only `tf.lite` defines,
#: and what matplotlib's own modules note about themselves as they are imported.
MAY_LACK = {
    "tensorflow.python.util.tf_export:_NAME_TO_SYMBOL_MAPPING": ("'lite.", "'compat.v1.lite."),
    "tensorflow.python.util.all_util:_HIDDEN_ATTRIBUTES": ("'tensorflow.lite.",),
    "logging:Logger.manager.loggerDict": ("'matplotlib", "'fontTools"),
    "typing:_overload_registry": ("'matplotlib.",),
}
#: Caches, the time of day, the processor's load, and the module that walks.
DIFFER_IN_ANY_CASE = (
    "sys:",
    "re:",
    "threading:",
    "psutil",
    "linecache:",
    "zipimport",
)
#: matplotlib's registries are its own, and asking for them loads what fills them.
OF_MATPLOTLIB = ("matplotlib", "pyparsing", "PIL")
Snapshot = dict[str, Any]


def snapshot(mode: str) -> Snapshot:
    command = [sys.executable, str(HERE / "registrations.py"), mode]
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    # TensorFlow keeps a list that it makes of a set.
    environment["PYTHONHASHSEED"] = "0"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: Snapshot = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def stock() -> Snapshot:
    return snapshot("stock")


@pytest.fixture(scope="module")
def light() -> Snapshot:
    return snapshot("light")


def version() -> str:
    import tensorflow as tf

    return ".".join(tf.__version__.split(".")[:2])


def listed() -> list[str]:
    names = light_import.DEFERRED.get(version(), {})
    return [name for name in names if find_spec(name.partition(".")[0]) is not None]


def missing(stock: Snapshot, light: Snapshot) -> set[str]:
    """The modules that only the stock import ran."""
    return set(stock["modules"]) - set(light["modules"]) | set(light["deferred"])


def test_what_is_listed_for_this_version_is_deferred(light: Snapshot) -> None:
    """A list that no longer matches TensorFlow must fail here."""
    assert sorted(light["deferred"]) == sorted(listed())


def test_nothing_is_registered_by_a_stock_import_alone(stock: Snapshot, light: Snapshot) -> None:
    """Gradients, conversions, dispatchers, codecs, revived types and whatever else there is."""
    differences = dict(lost(stock, light))
    assert differences == {}


def lost(stock: Snapshot, light: Snapshot) -> Any:
    """Yield each container with what the light import left out of it, or has too much."""
    skipped = missing(stock, light)
    for path, expected in stock["containers"].items():
        module = path.split(":")[0]
        if module in skipped or path.startswith(DIFFER_IN_ANY_CASE + OF_MATPLOTLIB):
            continue
        allowed = next((v for k, v in MAY_LACK.items() if path.startswith(k)), None)
        found = light["containers"].get(path)
        if found == expected or (found is None and allowed):
            continue
        less = Counter(expected) - Counter(found or ())
        more = Counter(found or ()) - Counter(expected)
        less = Counter({k: n for k, n in less.items() if not k.startswith(allowed or ("\0",))})
        if less or more or found is None or not allowed:
            yield path, (dict(less), dict(more), found is None)


def test_the_registries_that_are_known_were_among_those_compared(stock: Snapshot) -> None:
    """The walk finds registries by itself; these are the ones whose loss would hurt most."""
    sizes = {path: len(content) for path, content in stock["containers"].items()}
    framework = "tensorflow.python.framework"
    saved_model = "tensorflow.python.saved_model"
    assert sizes[f"{framework}.ops:gradient_registry._registry"] > 300
    assert sizes[f"{framework}.ops:_stats_registry._registry"] > 40
    assert sizes[f"{framework}.type_spec_registry:_NAME_TO_TYPE_SPEC"] > 5
    assert any("_tensor_conversion_func_registry" in path for path in sizes)
    assert any(path.startswith(f"{saved_model}.revived_types:_REVIVED_TYPE") for path in sizes)
    assert any(path.startswith(f"{saved_model}.nested_structure_coder:_codecs") for path in sizes)
    assert any(path.startswith("tensorflow.python.util.dispatch:") for path in sizes)
    assert len(stock["operations"]) > 1000


def test_operations_are_the_same(stock: Snapshot, light: Snapshot) -> None:
    assert light["operations"] == stock["operations"]


def test_the_process_is_left_the_same(stock: Snapshot, light: Snapshot) -> None:
    assert light["process"] == stock["process"]


def test_the_public_names_are_the_same(stock: Snapshot, light: Snapshot) -> None:
    assert light["all"] == stock["all"]
    assert light["tensorflow"] == stock["tensorflow"]


def test_only_what_was_meant_to_wait_is_missing(stock: Snapshot, light: Snapshot) -> None:
    """A protocol buffer is found by its name; `tensorflow.python` and Keras register."""
    kept = [
        name
        for name in missing(stock, light)
        if name.endswith("_pb2") or name.startswith(("tensorflow.python", "keras", "tf_keras"))
    ]
    assert kept == []


#: Each runs in a process of its own, forked when TensorFlow is imported, so each is a first touch.
PROGRAMS = [
    "import tensorflow.compat.v1 as tf1; print(tf1.nn, type(tf1), type(tf1.nn))",
    "v1 = tf.compat.v1; print(type(v1), type(tf.compat), sys.modules[v1.__name__] is v1)",
    "tf.compat.v1.added = 1; print(sys.modules['tensorflow._api.v2.compat.v1'].added)",
    (
        "import tensorflow.compat.v1 as tf1; g = tf1.Graph(); g.as_default().__enter__(); "
        "print(tf1.Session().run(tf1.placeholder_with_default(3, ())))"
    ),
    "import tensorflow.compat.v2 as tf2; print(tf2.nn, tf2.lite, tf2.__path__)",
    "from tensorflow.compat import v1, v2; print(v1, v2, v1.lite, v2.lite)",
    "from tensorflow.compat.v1 import nn, train; print(nn, train, type(nn))",
    "from tensorflow import lite, compat; print(lite, compat, lite.TFLiteConverter)",
    "import tensorflow.lite; print(tensorflow.lite, tensorflow.lite.Interpreter)",
    "import tensorflow.lite as lite; print(lite, lite.experimental)",
    "from tensorflow.lite.python import lite; print(lite, tf.lite)",
    "from tensorflow.lite import TFLiteConverter; print(TFLiteConverter)",
    "import tensorflow._api.v2.compat.v1.nn as nn; print(nn, nn.rnn_cell.__class__)",
    "print(tf.compat.v1.layers.__class__, tf.compat.v1.app.flags, tf.compat.v1.__path__)",
    "print(tf.compat.v1.lite, tf.compat.v2.lite, tf.compat.v1.compat.v2.lite)",
    "print(tf.compat.v1.get_default_graph().__class__, tf.compat.v2.constant(1).shape)",
    (
        "print(tf.lite.TFLiteConverter.from_concrete_functions([tf.function("
        "lambda x: x + 1, input_signature=[tf.TensorSpec([2])]).get_concrete_function()])"
        ".convert()[4:8])"
    ),
    "print(tf.compat.v1.absent)",
    "import tensorflow.compat.v1.absent",
    "from tensorflow.lite import absent",
    (
        "import pickle; pickle.dumps(tf.compat.v1.nn.relu); print(pickle.loads(pickle.dumps("
        "tf.lite.Optimize.DEFAULT)))"
    ),
    (
        "import inspect; print(inspect.getmodule(tf.lite.TFLiteConverter),"
        " inspect.getmodule(tf.lite), inspect.getsourcefile(tf.lite), inspect.ismodule(tf.lite))"
    ),
    "import importlib; print(importlib.reload(tf.lite), tf.lite.Interpreter)",
    "import doctest; print(len(doctest.DocTestFinder(recurse=False).find(tf.lite)))",
    (
        "from unittest import mock\n"
        "with mock.patch('tensorflow.lite.Interpreter', 5): print(tf.lite.Interpreter)\n"
        "print(tf.lite.Interpreter)"
    ),
    "tf.lite.added = 1; print(sorted(n for n in dir(tf.lite) if n[0] != '_'))",
    "import pkgutil; print([m.name for m in pkgutil.iter_modules(tf.lite.__path__)])",
    "print(sorted(tf.lite.__dict__), tf.lite.__doc__, tf.lite.__spec__.submodule_search_locations)",
    (
        "import threading; seen = []\n"
        "touch = lambda: seen.append(tf.compat.v1.Session)\n"
        "threads = [threading.Thread(target=touch) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print(len(seen), set(seen))"
    ),
    (
        "import unittest, warnings\n"
        "with unittest.TestCase().assertWarns(UserWarning): warnings.warn('w')\nprint('warned')"
    ),
    "print(tf.keras.Model, tf.keras.optimizers.Adam, tf.losses, tf.initializers)",
    "print(tf.__version__, tf.version.VERSION, sorted(dir(tf)))",
    (
        "import matplotlib; matplotlib.use('svg'); import matplotlib.pyplot as plt; "
        "print(plt.get_backend(), plt.figure(), plt.rcParams['figure.figsize'])"
    ),
    "from matplotlib import patches, pyplot; print(patches.Patch, dir(patches), dir(pyplot))",
    (
        "import keras; "
        "print(keras.visualization.plot_image_gallery.__globals__['plt'].figure.__qualname__)"
    ),
]
#: Prints what each program prints, and its error.
FORK = """
import json, os, sys, traceback
os.environ['MPLBACKEND'] = 'agg'
import tensorflow as tf
results = []
for program in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        out = sys.stdout = os.fdopen(write, 'w')
        try: exec(program, {'tf': tf, 'sys': sys})
        except BaseException as error: print(type(error), error)
        out.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file: results.append(file.read())
    os.wait()
print(json.dumps(results))
"""
Outputs = dict[str, str]


@pytest.fixture(scope="module")
def outputs(run_python: Callable[..., str]) -> dict[str, Outputs]:
    """What each program prints after a stock and after a light import."""
    programs = json.dumps(PROGRAMS)
    runs = {"stock": run_python(FORK, programs), "light": run_python(ADD + FORK, programs)}
    return {
        mode: dict(zip(PROGRAMS, json.loads(out.splitlines()[-1]), strict=True))
        for mode, out in runs.items()
    }


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_prints_the_same(outputs: dict[str, Outputs], program: str) -> None:
    assert outputs["light"][program] != ""
    assert outputs["light"][program] == outputs["stock"][program]


#: Everything that can be seen of each module of the list, once it is touched.
SEEN = """
import inspect, json, sys, types
import tensorflow as tf
FIELDS = 'name origin submodule_search_locations cached parent has_location loader_state'.split()
def kind(value):
    return [type(value).__name__, getattr(value, '__module__', '') or '',
            getattr(value, '__qualname__', '') if callable(value) else '']
seen = {}
for name in sys.argv[1:]:
    module = sys.modules[name]
    seen[name] = [
        isinstance(module, types.ModuleType), sorted(dir(module)), type(module).__name__,
        sorted(getattr(module, '__all__', ())), repr(module),
        [str(getattr(module.__spec__, field)) for field in FIELDS], str(type(module.__loader__)),
        repr(inspect.getmodule(module)), str(getattr(module, '__path__', '')), module.__doc__,
        {key: kind(value) for key, value in vars(module).items() if key != '__warningregistry__'},
        getattr(sys.modules[name.rpartition('.')[0]], name.rpartition('.')[2]) is module,
        sorted(other for other in sys.modules if other.startswith(name + '.')),
    ]
print(json.dumps(seen))
"""


def test_each_module_of_the_list_is_what_it_is_in_stock(run_python: Callable[..., str]) -> None:
    everything = light_import.DEFERRED["2.21"]
    names = [name for name in everything if name.startswith("tensorflow.")] + [
        name for name in listed() if not name.startswith("tensorflow.")
    ]
    light = json.loads(run_python(ADD + SEEN, *names).splitlines()[-1])
    stock = json.loads(run_python(SEEN, *names).splitlines()[-1])
    assert light.keys() == stock.keys()
    for name in names:
        for of_light, of_stock in zip(light[name], stock[name], strict=True):
            assert of_light == of_stock


@pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf-keras is not installed")
def test_tf_keras_as_the_keras_of_tensorflow(run_python: Callable[..., str]) -> None:
    """It touches the `compat` packages while TensorFlow is being imported."""
    program = (
        "import tensorflow as tf\n"
        "print(tf.keras.__name__, tf.keras.layers.Dense, tf.compat.v1.layers.__class__, tf.lite)"
    )
    outputs = [run_python(text, TF_USE_LEGACY_KERAS="1") for text in (program, ADD + program)]
    assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
