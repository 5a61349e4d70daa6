"""A light import of the real TensorFlow differs from the stock one in time only."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from fastload.imports import light_import
from tests.imports.light_and_stock import (
    ADD,
    Outputs,
    Snapshot,
    lost,
    missing,
    printed,
    snapshot,
)
from tests.imports.registrations import label


@pytest.fixture(scope="module")
def stock() -> Snapshot:
    if version() not in light_import.DEFERRED:
        pytest.skip("nothing is deferred in this TensorFlow, and its registries have other names")
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


def test_what_is_listed_for_this_version_is_deferred(light: Snapshot) -> None:
    """A list that no longer matches TensorFlow must fail here."""
    assert sorted(light["deferred"]) == sorted(listed())


def test_the_order_of_addresses_is_no_difference() -> None:
    """TensorFlow's dispatcher keeps the types of a union in that order, which no two runs share."""
    assert label((int, str)) == label((str, int)) != label((str, bytes))
    assert label((1, 2)) != label((2, 1))


def test_nothing_is_registered_by_a_stock_import_alone(stock: Snapshot, light: Snapshot) -> None:
    """Gradients, conversions, dispatchers, codecs, revived types and whatever else there is."""
    differences = dict(lost(stock, light))
    assert differences == {}


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


@pytest.fixture(scope="module")
def outputs(run_python: Callable[..., str]) -> Outputs:
    return printed(run_python, PROGRAMS)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_prints_the_same(outputs: Outputs, program: str) -> None:
    assert outputs["light"][program] != ""
    assert outputs["light"][program] == outputs["stock"][program]


#: Everything that can be seen of each module of the list, once it is touched.
SEEN = """
import inspect, json, sys, types
import tensorflow as tf
import keras  # which imports matplotlib
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf-keras is not installed")
def test_tf_keras_as_the_keras_of_tensorflow(run_python: Callable[..., str]) -> None:
    """It touches the `compat` packages while TensorFlow is being imported."""
    program = (
        "import tensorflow as tf\n"
        "print(tf.keras.__name__, tf.keras.layers.Dense, tf.compat.v1.layers.__class__, tf.lite)"
    )
    outputs = [run_python(text, TF_USE_LEGACY_KERAS="1") for text in (program, ADD + program)]
    assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
