"""Programs that touch TensorFlow for the first time after a prediction; see `first_touch`."""

from __future__ import annotations

#: What is done with a result, `y`.
WITH_A_RESULT = [
    "print(y + 1, 1 + y, y - X, X - y, X + y, y * 2, 2 / y, y // 2, y % 2, y ** 2, 2 ** y)",
    "print(-y, abs(y), y @ X.T, X @ np.transpose(y), round(y))",
    "print(y < 1, y <= 1, y > 1, y >= y, y == y, y != y, y == X, y is None, y == None)",
    "print(y[0], y[..., 1], y[:, ::2], y[0, 0], y[y > 0])",
    "print([float(each) for row in y for each in row], list(y), len(y), max(y[0]), sum(y))",
    "print((y > 0) & (y < 1), (y > 0) | (y < 1), ~(y > 0), (y > 0) ^ (y < 1))",
    "z = y; z += 1; z *= 2; print(z); a, b = y; print(a, b)",
    "print('a' + y)",
    "print(y + 'a')",
    "print(y + [1, 2, 3])",
    "print(y + None)",
    "print(divmod(y, 2))",
    "print(y << 1)",
    "print(hash(y))",
    "print(bool(y))",
    "print(int(y[0, 0]), float(y[0, 0]), format(y[0, 0]), f'{y} {y[0]!r:>40}', bool(y[0, 0] > 0))",
    "print(repr(y), str(y), y.shape, y.dtype, y.device, y.shape == (2, 4), y.dtype == 'float32')",
    "print(np.asarray(y), np.array(y), np.sum(y), np.concatenate([y, y]), memoryview(y).shape)",
    "import copy; print(copy.copy(y), copy.deepcopy(y) + 1)",
    "import pickle; print(pickle.loads(pickle.dumps(y)), pickle.loads(pickle.dumps(y)) + 1)",
    "print({y.ref(): 1}, y.ref() == y.ref(), y.ref().deref() + y)",
    "print(y in [y], y in [1])",
    "print(y.T)",
    "print(y.absent)",
    "print(y.op)",
    "print(y.name)",
    "print(hasattr(y, 'reshape'), hasattr(y, '__add__'), hasattr(y, '__round__'), y.ndim)",
    "print(type(y).__mro__, type(y).__add__ is not None, isinstance(y, type(y).__mro__[2]))",
    "import operator; print(operator.add(y, 1), operator.getitem(y, 0), operator.index(y[0]))",
    (
        "class Other:\n    def __radd__(self, left): return 'mine'\n"
        "    def __rmatmul__(self, left): return 'mine too'\n"
        "print(y + Other(), y @ Other())"
    ),
    "import collections.abc as a; print([isinstance(y, getattr(a, n)) for n in a.__all__])",
    "import tensorflow as tf; print(isinstance(y, tf.Tensor), tf.is_tensor(y), tf.reduce_sum(y))",
    (
        "import tensorflow as tf\nwith tf.GradientTape() as tape:\n    tape.watch(y)\n"
        "    z = y * y\nprint(tape.gradient(z, y), y + 1)"
    ),
    "from multiprocessing import get_context as c\nprint(c('spawn').Pool(1).apply(len, [y]))",
    "from multiprocessing import get_context as c\nprint(c('fork').Pool(1).apply(len, [y]), y + 1)",
]

#: What is imported, or done with the package.
WITH_THE_PACKAGE = [
    "import tensorflow as tf; print(tf.__version__, tf.version.VERSION, sorted(dir(tf)))",
    "import tensorflow as tf; print(tf, tf.__path__, tf.__spec__, type(tf.__loader__), type(tf))",
    "import tensorflow as tf; print(tf.__name__, tf.__file__, tf.__package__, tf.__doc__)",
    "import tensorflow as tf; print(sorted(tf.__dict__))",
    "import tensorflow as tf; print(tf.absent)",
    "import tensorflow.absent",
    "import tensorflow.python.absent",
    "from tensorflow import absent",
    "from tensorflow import *; sys.stdout.write(f'{sorted(globals())} {constant(1) + y}')",
    "from tensorflow import keras, data; print(keras.layers.Dense, data.Dataset)",
    "import tensorflow as tf; print(tf.keras, tf.keras.layers.Dense(3)(y).shape)",
    "import tensorflow.keras as k; print(k, k.Model, k.__name__)",
    "import tensorflow.keras.layers; print(tensorflow.keras.layers.Dense)",
    "import keras, tensorflow; print(keras, keras.Model is tensorflow.keras.Model)",
    "from keras.src.backend import Variable; print(Variable, Variable([1.0]))",
    "from importlib.util import find_spec; print(find_spec('keras'), find_spec('keras.src'))",
    "from importlib.util import find_spec; print(find_spec('tensorflow.python.ops.array_ops'))",
    "from importlib.util import find_spec; print(find_spec('tensorflow.keras'), find_spec('no'))",
    "import tf_keras, tensorflow; print(tf_keras, tf_keras.Model, tensorflow.keras.Model)",
    "import tensorflow.lite; print(tensorflow.lite, sys.modules['tensorflow.lite'])",
    "import tensorflow.lite.python.lite as l; print(l, l.TFLiteConverterV2)",
    "import tensorflow.compat.v1 as tf; tf.disable_v2_behavior(); print(tf.executing_eagerly())",
    "import tensorflow.compat.v1 as tf; tf.disable_eager_execution(); print(tf.constant(1))",
    "import tensorflow as tf; tf.compat.v1.disable_eager_execution(); print(predict(X))",
    "import tensorflow.compat.v2 as tf; print(tf, tf.nn.relu(y))",
    "import importlib as i; m = i.import_module('tensorflow.python.ops.math_ops'); print(m, m.add)",
    "from tensorflow.python.ops import array_ops; print(array_ops, array_ops.concat([y, y], 0))",
    "from tensorflow.python.framework import ops; print(ops.convert_to_tensor([1, 2]) + 1)",
    "from tensorflow.python.eager import def_function as d; print(d.function(lambda: y + 1)())",
    "import tensorflow.python.ops.nn_ops; print(tensorflow.nn, tensorflow.nn.relu(y))",
    "from tensorflow.core.protobuf import saved_model_pb2 as s; print(s.SavedModel())",
    "import importlib, tensorflow as tf; print(importlib.reload(tf) is tf, tf.constant(1) + 1)",
    "import tensorflow as tf; print(tf.data.Dataset.range(3).map(lambda n: n + 1).batch(3))",
    "import tensorflow as tf; print(tf.function(lambda t: tf.tanh(t) + y)(y))",
    "import tensorflow as tf; print(tf.random.set_seed(1), tf.random.uniform([2]))",
    "import tensorflow as tf; print(tf.config.set_visible_devices([], 'CPU'))",
    "import tensorflow as tf; print(tf.config.threading.set_inter_op_parallelism_threads(1))",
    "import tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads())",
    "from tensorflow import config as c; print(c.get_visible_devices(), c.list_logical_devices())",
    "import tensorflow as tf; tf.config.run_functions_eagerly(True); print(predict(X))",
    "import tensorflow as tf; tf.config.optimizer.set_jit(True); print(predict(X))",
    "import tensorflow as tf; print(tf.config.experimental.enable_op_determinism(), predict(X))",
    "import tensorflow as tf; print(tf.config.set_logical_device_configuration('x', []))",
    "import tensorflow as tf; tf.debugging.enable_check_numerics(); print(y / 0)",
    (
        "from tensorflow.experimental.numpy import experimental_enable_numpy_behavior as enable\n"
        "enable(); print(y.T)"
    ),
    "import tensorflow as tf; print(tf.saved_model.load(path).signatures['serving_default'](x=X))",
    "from tensorflow import get_logger as g; print(g(), g().handlers, g().level, g().filters)",
    "import logging, tensorflow as tf; print(tf.get_logger(), logging.root.handlers, logging.root)",
    "import absl.logging as a; print(a.get_verbosity(), a.get_absl_handler().__class__)",
    "import logging as a; a.basicConfig(); from absl import logging; y + 1; print(a.root.handlers)",
    "import tensorflow as tf; t = tf.test.TestCase(); t.setUp(); t.assertAllEqual(y, y); print(1)",
    "import inspect, tensorflow as tf; print(inspect.getmodule(type(y)), inspect.getmodule(tf))",
    "import inspect as i, tensorflow as tf; print(i.getsourcefile(tf), i.getmembers(tf)[:9])",
    (
        "import pkgutil, tensorflow as tf\n"
        "print([m.name for m in pkgutil.iter_modules(tf.__path__, 'tensorflow.')])"
    ),
    (
        "[getattr(m, 'absent', None) for m in list(sys.modules.values())]\n"
        "print(sorted(n for n in sys.modules if n.startswith('tensorflow.python')))"
    ),
    "import warnings; warnings.simplefilter('error'); import tensorflow as tf; print(tf.range(1))",
    "import warnings, tensorflow; tensorflow.constant; print(warnings.filters)",
    "import random; random.seed(1); y + 1; print(random.random())",
    "import os, tensorflow; tensorflow.constant; print(sorted(os.environ), sys.path)",
    "import pickle, tensorflow as tf; print(pickle.loads(pickle.dumps(tf.reduce_sum))(y))",
    "import tensorflow as tf; tf.added = 1; print(sys.modules['tensorflow'].added, tf.constant(1))",
    "import tensorflow as tf; del tf.constant; print(hasattr(tf, 'constant'), tf.add(1, 1))",
    (
        "from unittest import mock\n"
        "with mock.patch('tensorflow.range', 5) as m: import tensorflow as tf; print(tf.range)\n"
        "print(tf.range)"
    ),
    (
        "import unittest, warnings\n"
        "with unittest.TestCase().assertWarns(UserWarning): warnings.warn('w')\nprint(y + 1)"
    ),
    (
        "try: import tensorflow_probability as p; print(p.distributions.Normal(0., 1.).mean())\n"
        "except ModuleNotFoundError: print(None)"
    ),
    "del sys.modules['tensorflow']; import tensorflow as tf; print(tf.constant(1) + y)",
    "import numpy; numpy.seterr(all='raise'); import tensorflow as tf; print(tf.constant(1) + 1)",
]

#: One of each kind, for a run that takes no minutes.
QUICK = [
    *WITH_A_RESULT[:2],
    "import keras, tensorflow; print(keras, keras.Model is tensorflow.keras.Model, y + 1)",
    "import tensorflow.lite; print(tensorflow.lite, sys.modules['tensorflow.lite'])",
    "from tensorflow.python.ops import array_ops; print(array_ops, array_ops.concat([y, y], 0))",
    "import tensorflow as tf; print(tf.config.set_visible_devices([], 'CPU'))",
    "import tensorflow as tf; print(tf.function(lambda t: tf.tanh(t) + y)(y), sorted(dir(tf)))",
    "import tensorflow.absent",
]
