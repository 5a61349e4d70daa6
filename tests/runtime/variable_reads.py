"""Ways to read a variable, and what is drawn at random: shared by tests of blank variables."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

Arrays = list[Any]


def seed(keras: Any) -> None:
    """Start every generator anew; Keras 3.0 to 3.8 keep the one of `keras.random`."""
    keras.utils.set_random_seed(11)
    if hasattr(keras, "ops"):
        from keras.src.backend.common import global_state

        global_state.set_global_attribute("global_seed_generator", None)


def draws(keras: Any) -> Arrays:
    """Draw from everything that a program may draw from next."""
    dropout = keras.layers.Dropout(0.5)
    dense = keras.layers.Dense(3)
    dense.build((None, 4))
    noise = getattr(keras, "random", tf.random)
    drawn = [
        noise.normal((2,)),
        random.random(),
        np.random.rand(2),  # noqa: NPY002 - the global one is meant
        tf.random.normal((2,)),
        dropout(np.ones((3, 4), "float32"), training=True),
        dense.kernel,
    ]
    return [np.asarray(each).copy() for each in drawn]


def variable_of(weight: Any) -> Any:
    """Return the variable of TensorFlow behind *weight*, which is one in Keras 2."""
    return weight if isinstance(weight, tf.Variable) else weight.value


def through_function(weight: Any) -> Any:
    return tf.function(lambda: tf.identity(weight))()


def through_data(weight: Any) -> Any:
    variable = variable_of(weight)
    rows = tf.data.Dataset.range(2).map(lambda row: tf.gather(variable, row))
    return list(rows.as_numpy_iterator())


def through_gradient(weight: Any) -> Any:
    variable = variable_of(weight)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = tf.reduce_sum(variable**3)
    return tape.gradient(total, variable)


def through_thread(weight: Any) -> Any:
    found: Arrays = []
    thread = threading.Thread(target=lambda: found.append(np.asarray(weight)))
    thread.start()
    thread.join()
    return found[0]


def after_adding(weight: Any) -> Any:
    variable_of(weight).assign_add(tf.ones_like(weight))
    return weight


def after_assigning_wrongly(weight: Any) -> Any:
    with pytest.raises(ValueError, match=r"[Ss]hape"):
        variable_of(weight).assign(tf.ones((9, 9)))
    return weight


def after_scattering(weight: Any) -> Any:
    variable_of(weight).scatter_nd_update([[0, 0]], [5.0])
    return weight


def through_forward_mode(weight: Any) -> Any:
    variable = variable_of(weight)
    with tf.autodiff.ForwardAccumulator(variable, tf.ones_like(variable)) as accumulator:
        total = tf.reduce_sum(variable**2)
    return accumulator.jvp(total)


def through_condition(weight: Any) -> Any:
    variable = variable_of(weight)

    @tf.function
    def function(is_first: Any) -> Any:
        return tf.cond(is_first, lambda: variable * 1.0, lambda: variable * 2.0)

    return function(tf.constant(False))


def through_python(weight: Any) -> Any:
    return tf.function(lambda: tf.py_function(lambda: np.asarray(weight), [], tf.float32))()


def through_constants(weight: Any) -> Any:
    """As converters to other formats do."""
    from tensorflow.python.framework import convert_to_constants as constants

    variable = variable_of(weight)
    concrete = tf.function(lambda: tf.identity(variable)).get_concrete_function()
    return constants.convert_variables_to_constants_v2(concrete)()[0]


def through_handle(weight: Any) -> Any:
    handle = variable_of(weight).handle
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)


def through_dlpack(weight: Any) -> Any:
    capsule = tf.experimental.dlpack.to_dlpack(tf.convert_to_tensor(weight))
    return tf.experimental.dlpack.from_dlpack(capsule)


READS: dict[str, Callable[[Any], Any]] = {
    "numpy": lambda weight: weight.numpy(),
    "array": np.asarray,
    "convert": tf.convert_to_tensor,
    "identity": tf.identity,
    "value": lambda weight: tf.identity(variable_of(weight).value()),
    "read_value": lambda weight: variable_of(weight).read_value(),
    "operation": lambda weight: tf.matmul(variable_of(weight), weight, transpose_b=True),
    "operator": lambda weight: weight * 2.0,
    "index": lambda weight: weight[1:, 0],
    "gather": lambda weight: tf.gather(variable_of(weight), [1, 0]),
    "sparse_read": lambda weight: variable_of(weight).sparse_read([1]),
    "norm": tf.norm,
    "new_variable": lambda weight: tf.Variable(variable_of(weight)),
    "deepcopy": lambda weight: copy.deepcopy(variable_of(weight)),
    "copy": lambda weight: copy.copy(variable_of(weight)),
    "pickle": lambda weight: pickle.loads(pickle.dumps(variable_of(weight))),
    "text": lambda weight: np.array(str(variable_of(weight)).encode()),
    "assign_add": after_adding,
    "assign_wrongly": after_assigning_wrongly,
    "scatter": after_scattering,
    "handle": through_handle,
    "dlpack": through_dlpack,
    "function": through_function,
    "data": through_data,
    "argument": lambda weight: tf.function(lambda given: given * 2.0)(variable_of(weight)),
    "condition": through_condition,
    "constants": through_constants,
    "forward": through_forward_mode,
    "python": through_python,
    "gradient": through_gradient,
    "thread": through_thread,
    "assertion": lambda weight: tf.debugging.assert_near(weight, weight) or weight,
}


KERAS_INITIALIZERS = [
    *("Zeros", "Ones", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"),
    *("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"),
    *("Orthogonal", "Identity", "Constant"),
]

LAYERS: dict[str, Callable[[Any], list[Any]]] = {
    "lstm": lambda layers: [layers.Reshape((2, 2)), layers.LSTM(3), layers.Dropout(0.3)],
    "gru": lambda layers: [
        layers.Reshape((2, 2)),
        layers.Bidirectional(layers.GRU(3, return_sequences=True)),
        layers.SimpleRNN(2),
    ],
    "convolutions": lambda layers: [
        layers.Reshape((2, 2, 1)),
        layers.SeparableConv2D(3, 1),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.GaussianNoise(0.1),
    ],
    "embedding": lambda layers: [layers.ReLU(), layers.Embedding(5, 3), layers.Flatten()],
    "mixed": lambda layers: [layers.Dense(4, dtype="mixed_float16"), layers.Dense(2)],
}
