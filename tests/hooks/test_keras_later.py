"""Keras 3 waits for its first use, and is then what `import tensorflow` would have made of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from fastload.hooks import keras_later, light_import
from tests.hooks.conftest import RunOpted
from tests.hooks.light_and_stock import ADD, Outputs, Snapshot, lost, printed, snapshot

RunPython = Callable[..., str]
#: What belongs to packages that only Keras imports, and caches of others that these fill.
OF_KERAS = ("typing:", "logging:Logger.manager.loggerDict", "numpy:iinfo._m")


def tensorflow_version() -> str:
    from tensorflow.python.framework import versions

    return ".".join(versions.__version__.split(".")[:2])


@pytest.fixture(scope="module", autouse=True)
def keras_can_wait() -> None:
    if tensorflow_version() not in light_import._KERAS_LATER:
        pytest.skip("Keras is as eager as in stock here")


@pytest.fixture(scope="module")
def stock() -> Snapshot:
    return snapshot("stock")


def test_nothing_but_keras_and_what_it_imports_is_missing_before(stock: Snapshot) -> None:
    """TensorFlow's registries, its names and the process: Keras 3 leaves nothing there."""
    light = snapshot("light")
    assert not [name for name in light["modules"] if name.partition(".")[0] == "keras"]
    assert dict(lost(stock, light, but=OF_KERAS)) == {}
    for key in ("operations", "tensorflow", "all"):
        assert light[key] == stock[key]
    del stock["process"]["exit functions"], light["process"]["exit functions"]
    assert light["process"] == stock["process"]
    gone = set(stock["modules"]) - set(light["modules"])
    deferred = ("tensorflow._api.v2.compat", "tensorflow.compat", "tensorflow.lite")
    kept = [name for name in gone if name.startswith(("tensorflow.python", "google", "h5py"))]
    assert kept == []
    assert [name for name in gone if name.endswith("_pb2") and not name.startswith(deferred)] == []


@pytest.mark.parametrize(
    "first_use",
    [
        "with tf.Graph().as_default(), tf.device('cpu:0'), tf.name_scope('n'): import keras",
        "tf.function(lambda: __import__('keras') and 1)()",
        "with tf.distribute.OneDeviceStrategy('cpu:0').scope(): import keras.layers",
        (
            "import threading as t; a = t.Thread(target=__import__, args=['keras.src.losses'])\n"
            "a.start(); a.join(); del a"
        ),
    ],
)
def test_everything_is_the_same_wherever_the_first_use_is(first_use: str) -> None:
    stock, light = (snapshot(mode, first_use) for mode in ("stock", "light"))
    assert dict(lost(stock, light)) == {}
    for key in ("operations", "tensorflow", "all", "process"):
        assert light[key] == stock[key]


SHOW = "print(warnings.filters); "
#: Each prints what can be seen of a first use, in a process forked after `import tensorflow`.
PROGRAMS = [
    "import keras; print(keras.Model, keras.__version__)",
    "print(tf.keras.Model, tf.keras, tf.losses.Loss, tf.optimizers, tf.metrics, tf.initializers)",
    "print(tf.losses.MeanSquaredError, tf.losses)",
    "print(tf.optimizers.Adam, tf.metrics.Mean, tf.initializers.Zeros)",
    "from tensorflow.keras import layers; print(layers, layers.Dense)",
    "import tensorflow.keras as k; print(k, k.layers, tf.keras is k)",
    "from tensorflow.keras.layers import Dense; import keras; print(Dense is keras.layers.Dense)",
    "from tensorflow import keras; print(keras.layers, keras)",
    "import importlib; print(importlib.import_module('keras.src.optimizers'))",
    r"import pickle; print(pickle.loads(b'ckeras.src.layers.core.dense\nDense\n.'))",
    (
        "from importlib import machinery, util; s = util.find_spec('keras')\n"
        "print(s.name, s.origin, s.submodule_search_locations, s.cached, s.parent)\n"
        "print(isinstance(s.loader, machinery.SourceFileLoader), s.loader.is_package('keras'))"
    ),
    "import keras; print(keras.__spec__.origin, type(keras.__loader__), keras.__loader__.name)",
    "import keras, importlib; print(importlib.reload(keras).Model)",
    (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'; os.environ['KERAS_MAX_EPOCHS'] = '3'\n"
        "import keras; print(keras.backend.backend(), keras.config.max_epochs(), "
        "sorted(i for i in os.environ.items() if 'KERAS' in i[0]))"
    ),
    (
        "import os; os.environ['KERAS_HOME'] = os.environ['HOME'] = '/nowhere'\n"
        "from keras.src.backend.config import keras_home; print(keras_home() == '/nowhere/.keras', "
        "keras_home() == '/nowhere', os.environ['KERAS_HOME'], os.environ['HOME'])"
    ),
    (
        "import os; os.environ['TF_FORCE_GPU_ALLOW_GROWTH'] = 'false'; import keras\n"
        "print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"
    ),
    "import warnings; import keras; " + SHOW,
    "import warnings; warnings.simplefilter('error'); import keras; " + SHOW,
    (
        "import warnings\nwarnings.filterwarnings('ignore', 'one'); "
        "warnings.simplefilter('default', append=True)\nimport keras; " + SHOW
    ),
    "import warnings; warnings.resetwarnings(); import keras; " + SHOW,
    (
        "import warnings\nwith warnings.catch_warnings():\n"
        "    warnings.simplefilter('error'); import keras; " + SHOW + "\n" + SHOW
    ),
    (
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always'); import keras; print(seen)"
    ),
    (
        "import random, numpy as np; random.seed(1); np.random.seed(1); tf.random.set_seed(1)\n"
        "import keras; print(random.random(), np.random.rand(), tf.random.uniform([]).numpy())"
    ),
    (
        "tf.keras.utils.set_random_seed(1); import keras; m = keras.Sequential("
        "[keras.Input([3]), keras.layers.Dense(2)]); print(m(tf.ones([1, 3])).numpy(), m.name)"
    ),
    (
        "with tf.Graph().as_default() as g:\n"
        "    import keras; print(g.get_operations(), keras.ops.ones(2))\n"
        "print(keras.ops.ones(2))"
    ),
    (
        "@tf.function\ndef f(x):\n    return tf.keras.activations.relu(x) + 1\n"
        "print(f(tf.constant([-1., 1.])).numpy(), [o.name for o in "
        "f.get_concrete_function(tf.TensorSpec([2])).graph.get_operations()])"
    ),
    (
        "import threading; seen = []\n"
        "use = lambda: seen.append((tf.keras.Model, __import__('keras.src.losses')))\n"
        "threads = [threading.Thread(target=use) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print(len(seen), set(seen))"
    ),
    "import keras, gc; print(gc.isenabled(), keras.config.floatx(), keras.config.is_nnx_enabled())",
    "import keras.absent",
    "from keras import absent",
    "print(tf.keras.absent)",
    "print(tf.experimental, tf.experimental.numpy.ones(1).shape)",
    (
        "import tempfile, keras; m = keras.Sequential([keras.Input([3]), keras.layers.Dense(2)]); "
        "m.compile('adam', 'mse'); p = tempfile.mkdtemp() + '/m.keras'; m.save(p); "
        "print(type(tf.keras.models.load_model(p).optimizer))"
    ),
    (
        "import tempfile\nclass M(tf.Module):\n"
        "    @tf.function(input_signature=[tf.TensorSpec([])])\n    def f(self, x): return x + 1\n"
        "p = tempfile.mkdtemp(); tf.saved_model.save(M(), p)\n"
        "print(tf.saved_model.load(p).f(tf.constant(1.)).numpy())"
    ),
    "import pickle; print(pickle.dumps(tf.constant(1).dtype), tf.nest.flatten({'a': [1, 2]}))",
]


@pytest.fixture(scope="module")
def outputs(run_python: RunPython) -> Outputs:
    return printed(run_python, PROGRAMS)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_prints_the_same(outputs: Outputs, program: str) -> None:
    assert outputs["light"][program] != ""
    assert outputs["light"][program] == outputs["stock"][program]


def test_looking_for_keras_does_not_import_it(run_python: RunPython) -> None:
    program = (
        "import sys, importlib.util, pkgutil, tensorflow as tf\n"
        "importlib.util.find_spec('keras'); repr(tf.keras)\n"
        "pkgutil.resolve_name('tensorflow:Module'); [m.name for m in pkgutil.iter_modules()]\n"
        "print([name for name in sys.modules if name.startswith('keras')])"
    )
    assert run_python(ADD + program) == "[]"


def test_numbers_drawn_after_a_seed_are_the_same(run_python: RunPython) -> None:
    """A package that Keras imports draws one when it is imported."""
    program = "import random; random.seed(5)\nimport tensorflow as tf\nprint(random.random())"
    assert run_python(ADD + program) == run_python(program)


def test_an_error_is_the_programs_to_see_and_the_next_try_works(run_python: RunPython) -> None:
    program = """
import os, sys, warnings, tensorflow as tf
class Breaks:
    def find_spec(self, name, path=None, target=None):
        if name == "keras.src.layers": raise ValueError("broken")
breaks = Breaks()
sys.meta_path.insert(0, breaks)
os.environ["KERAS_BACKEND"] = "jax"
warnings.simplefilter("always")
filters = list(warnings.filters)
for use in "import keras", "tf.losses.Loss", "tf.losses.Loss", "import keras.src.losses":
    try: exec(use)
    except ValueError as error: print(error, "keras" in sys.modules, os.environ["KERAS_BACKEND"])
print(warnings.filters == filters)
sys.meta_path.remove(breaks)
import keras
print(keras.backend.backend(), os.environ["KERAS_BACKEND"], tf.keras.Model is keras.Model,
      tf.losses.Loss is keras.losses.Loss)
from tensorflow.python.util import lazy_loader
print(lazy_loader.KerasLazyLoader._initialize.__module__ == lazy_loader.__name__)
"""
    expected = ["broken False jax"] * 4 + ["True", "tensorflow jax True True", "True"]
    assert run_python(ADD + program).splitlines() == expected


def test_keras_that_cannot_be_imported_is_told_by_tensorflow(run_python: RunPython) -> None:
    program = """
import sys, tensorflow as tf
class Breaks:
    def find_spec(self, name, path=None, target=None):
        if name == "keras.src.layers": raise ImportError("broken")
sys.meta_path.insert(0, Breaks())
for _ in range(2):
    try: tf.keras.Model
    except ImportError as error: print(error)
del sys.meta_path[0]
print(tf.keras.Model)
"""
    told = ["Keras cannot be imported. Check that it is installed."] * 2
    expected = [*told, "<class 'keras.src.models.model.Model'>"]
    assert run_python(ADD + program).splitlines() == expected


def test_keras_that_was_imported_before_is_left_alone(run_python: RunPython) -> None:
    program = (
        "import sys, keras, tensorflow\n"
        "print(light_import._finder.before_keras, keras.backend.backend(), tensorflow.keras.Model)"
    )
    told = run_python("from fastload.hooks import light_import; light_import.add()\n" + program)
    assert told == "None tensorflow <class 'keras.src.models.model.Model'>"


@pytest.mark.parametrize(
    "environment",
    [
        {"TF_USE_LEGACY_KERAS": "1"},
        {"KERAS_BACKEND": "numpy"},
        {"KERAS_MAX_EPOCHS": "2"},
        {"KERAS_NNX_ENABLED": "0"},
    ],
)
def test_unusual_settings_leave_keras_eager(
    environment: dict[str, str], run_python: RunPython
) -> None:
    program = "import tensorflow; print(light_import._finder.before_keras)"
    assert run_python(ADD + program, **environment).splitlines()[-1] == "None"


def test_keras_asked_for_from_elsewhere_comes_at_once(run_python: RunPython) -> None:
    """What else imports Keras during TensorFlow's import gets it."""
    program = """
import sys
class Asks:
    def find_spec(self, name, path=None, target=None):
        if name == "keras.src" or name != "keras" or "keras" in asked: return None
        asked.append(name)
        import keras.src.optimizers
asked = []
import tensorflow.python.framework.versions
"""
    program = """
import sys
class Asks:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow.experimental" and not asked:
            asked.append(name)
            import keras.src.optimizers
asked = []
sys.meta_path.insert(0, Asks())
import tensorflow
print(asked, "keras" in sys.modules, tensorflow.keras.Model)
"""
    model = "<class 'keras.src.models.model.Model'>"
    assert run_python(ADD + program) == f"['tensorflow.experimental'] True {model}"


def test_the_start_file_makes_keras_wait_too(run_opted: RunOpted) -> None:
    program = (
        "import sys, tensorflow as tf\n"
        "print('keras' in sys.modules, type(sys.modules['tensorflow._api.v2.lite']).__name__)\n"
        "from keras.models import load_model; print(type(load_model).__name__)\n"
        "print(tf.keras.models.load_model is load_model)"
    )
    assert run_opted(program).splitlines() == ["False LazyModule", "StandIn", "True"]


def test_uninstalling_leaves_what_waits_waiting(run_python: RunPython) -> None:
    program = (
        "import fastload; fastload.install()\nimport os, sys, tensorflow as tf\n"
        "fastload.uninstall(); os.environ['KERAS_BACKEND'] = 'jax'\n"
        "print('keras' in sys.modules, tf.keras.backend.backend())"
    )
    assert run_python(program) == "False tensorflow"


VERSIONS = {
    '__version__ = "3.15.1"\n': True,
    '__version__ = "30.0"\n': False,
    '__version__ = "2.15.0"\n': False,
    "__version__ = read()\n": False,
}


def keras_spec(folder: Path, version: str = '__version__ = "3.1"') -> ModuleSpec:
    (folder / "keras" / "src").mkdir(parents=True, exist_ok=True)
    (folder / "keras" / "src" / "version.py").write_text(version)
    return ModuleSpec("keras", None, origin=str(folder / "keras" / "__init__.py"))


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("KERAS_", "TF_USE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("version", VERSIONS)
def test_only_keras_3_waits(version: str, keras_home: Path) -> None:
    assert keras_later.may_wait(keras_spec(keras_home, version)) is VERSIONS[version]


def test_a_keras_that_is_nowhere_does_not_wait(keras_home: Path) -> None:
    assert not keras_later.may_wait(ModuleSpec("keras", None, origin=str(keras_home / "x.py")))


@pytest.mark.parametrize(
    ("text", "may_wait"),
    [
        (json.dumps({"floatx": "float16", "epsilon": 1e-6, "backend": "tensorflow"}), True),
        (json.dumps({"image_data_format": "channels_first"}), True),
        (json.dumps({"backend": "jax"}), False),
        (json.dumps({"floatx": "float8"}), False),
        (json.dumps({"epsilon": "small"}), False),
        (json.dumps({"nnx_enabled": True}), False),
        ("[]", False),
        ("{", False),
    ],
)
def test_a_settings_file_with_anything_unusual_leaves_keras_eager(
    text: str, may_wait: bool, keras_home: Path
) -> None:
    (keras_home / "keras.json").write_text(text)
    assert keras_later.may_wait(keras_spec(keras_home)) is may_wait
