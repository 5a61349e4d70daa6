"""Modules whose signatures use variables in every way in which TensorFlow lets them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A module to save, whose method `serve` is its signature.

    Attributes:
        make: makes it, given TensorFlow.
        inputs: what to call it with, several times in a row.
        reason: a word of the reason why its signature cannot be made flat; None where it can.
    """

    make: Callable[[Any], Any]
    inputs: tuple[Inputs, ...]
    reason: str | None = None


def _module(tf: Any, specs: Mapping[str, Any], serve: Callable[..., Any], **state: Any) -> Any:
    """Return a module with *state* for attributes and `serve(module, ...)` for its signature."""
    module = tf.Module()
    for name, value in state.items():
        setattr(module, name, value)
    arguments = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in specs.items()]

    def run(*tensors: Any) -> Any:
        return serve(module, *tensors)

    module.serve = tf.function(run, input_signature=arguments)
    return module


_ROW: Final = ([None, 2], "float32")
A: Final = np.array([1, 2], "int32")
IDS: Final = np.array([[0, 3], [1, 1]], "int32")
X: Final = np.array([[1.0, 2.0], [-3.0, 0.5]], dtype="float32")


def _dense(tf: Any) -> Any:
    return _module(
        tf,
        {"x": _ROW},
        lambda m, x: {"y": tf.nn.relu(x @ m.kernel) + m.bias, "half": x * tf.constant([0.5])},
        kernel=tf.Variable([[0.5, 1.0], [2.0, -1.0]]),
        bias=tf.Variable([0.25, 0.5]),
    )


def _two_inputs(tf: Any) -> Any:
    return _module(
        tf,
        {"b": ([None, 2], "float32"), "a": ([None], "int32")},
        lambda m, b, a: {"sum": b * m.scale, "count": tf.reduce_sum(a)},
        scale=tf.Variable(3.0),
    )


def _embedding(tf: Any) -> Any:
    def serve(m: Any, ids: Any) -> Any:
        rows = tf.gather(m.table, ids)
        batched = tf.gather(m.batched, ids, batch_dims=1)
        return {"rows": rows, "batched": batched, "size": tf.shape(m.table)}

    table = tf.Variable(np.arange(12, dtype="float32").reshape(4, 3))
    batched = tf.Variable(np.arange(8, dtype="float32").reshape(2, 4))
    return _module(tf, {"ids": ([2, 2], "int32")}, serve, table=table, batched=batched)


def _loop(tf: Any) -> Any:
    def serve(m: Any, x: Any) -> Any:
        def step(index: Any, value: Any) -> Any:
            return index + 1, tf.tanh(value @ m.kernel) + tf.gather(m.steps, index)

        return tf.while_loop(lambda i, _: i < tf.size(m.steps), step, (0, x))[1]

    kernel = tf.Variable([[0.5, 1.0], [2.0, -1.0]])
    return _module(tf, {"x": _ROW}, serve, kernel=kernel, steps=tf.Variable([0.5, 0.25, -1.0]))


def _branches(tf: Any) -> Any:
    def serve(m: Any, x: Any) -> Any:
        chosen = tf.cond(
            tf.reduce_sum(x) > 0,
            lambda: x * m.first,
            lambda: tf.cond(tf.reduce_min(x) < -5, lambda: x + m.second, lambda: x - m.second),
        )
        index = tf.cast(tf.reduce_max(x), tf.int32)
        switched = tf.switch_case(
            index, [lambda: m.first, lambda: m.second * 2.0, lambda: m.first + 1]
        )
        return {"chosen": chosen, "switched": switched}

    return _module(tf, {"x": _ROW}, serve, first=tf.Variable(2.0), second=tf.Variable([1.0, 4.0]))


def _nested_calls(tf: Any) -> Any:
    def serve(m: Any, x: Any) -> Any:
        @tf.function
        def inner(value: Any) -> Any:
            return value * m.scale

        # TensorFlow 2.8 has no such argument, and 2.12 has one that does not take this.
        known = tuple(map(int, tf.__version__.split(".")[:2])) > (2, 12)

        @tf.function(**({"experimental_attributes": {"_noinline": True}} if known else {}))
        def apart(value: Any) -> Any:
            return tf.where(value > 0, inner(value), m.scale)

        @tf.function(jit_compile=False)
        def outer(value: Any) -> Any:
            return apart(inner(value))

        return outer(x)

    return _module(tf, {"x": _ROW}, serve, scale=tf.Variable(3.0))


def _compiled(tf: Any) -> Any:
    """XLA computes it, which rounds in its own places."""

    def serve(m: Any, x: Any) -> Any:
        @tf.function(jit_compile=True)
        def inner(value: Any) -> Any:
            return tf.nn.softmax(tf.tanh(value @ m.kernel) * m.scale) / 3.0

        return inner(x) + m.scale

    kernel = np.random.default_rng(2).random((2, 16), "float32")
    scale = np.random.default_rng(3).random(16, "float32")
    return _module(tf, {"x": _ROW}, serve, kernel=tf.Variable(kernel), scale=tf.Variable(scale))


def _asserting(tf: Any) -> Any:
    def serve(m: Any, x: Any) -> Any:
        tf.debugging.assert_positive(x[0, 0], message="the first must be positive")
        return x * m.scale

    return _module(tf, {"x": _ROW}, serve, scale=tf.Variable(3.0))


def _dtypes(tf: Any) -> Any:
    def serve(m: Any, x: Any) -> Any:
        return {
            "half": tf.cast(x, tf.float16) * m.half,
            "brain": tf.cast(x, tf.bfloat16) * m.brain,
            "flag": m.flag,
            "text": tf.strings.join([m.text, "!"]),
            "empty": m.empty,
            "wide": m.wide + m.complex,
        }

    return _module(
        tf,
        {"x": _ROW},
        serve,
        half=tf.Variable(0.5, dtype=tf.float16),
        brain=tf.Variable([1.5, 2.5], dtype=tf.bfloat16),
        flag=tf.Variable([True, False]),
        text=tf.Variable(["one", "two"]),
        empty=tf.Variable(tf.zeros([0, 3])),
        wide=tf.Variable([2.0], dtype=tf.complex128),
        complex=tf.constant([1.0 + 2.0j], tf.complex128),
    )


def _read_twice(tf: Any) -> Any:
    """A sum that TensorFlow would compute in another way if both weights were one tensor."""
    weight = tf.Variable(np.linspace(0.1, 0.7, 8, dtype="float32").reshape(4, 2))

    def serve(m: Any, x: Any) -> Any:
        first, second = m.weight.read_value(), m.weight.read_value()
        return first * x[:, tf.newaxis, :] + second * tf.sin(x)[:, tf.newaxis, :]

    return _module(tf, {"x": _ROW}, serve, weight=weight)


def _layer_norm(tf: Any) -> Any:
    """What TensorFlow fuses only if it knows the shapes: layer normalization as Keras 2 has it."""

    def serve(m: Any, x: Any) -> Any:
        shape = tf.shape(x)
        rows = shape[0] * shape[1]
        normal, _, _ = tf.compat.v1.nn.fused_batch_norm(
            tf.reshape(x, tf.stack([1, rows, 8, 1])),
            scale=tf.ones([rows]),
            offset=tf.zeros([rows]),
            epsilon=1e-3,
            data_format="NCHW",
        )
        return tf.reshape(normal, shape) * m.scale + m.offset

    ones = np.linspace(0.3, 1.7, 8, dtype="float32")
    specs = {"x": ([None, 4, 8], "float32")}
    return _module(tf, specs, serve, offset=tf.Variable(ones / 3), scale=tf.Variable(ones))


def _tensorflow_version() -> tuple[int, ...]:
    for name in ("tensorflow", "tensorflow-cpu"):
        with suppress(importlib.metadata.PackageNotFoundError):
            return tuple(map(int, importlib.metadata.version(name).split(".")[:2]))
    return ()


def _brain(tf: Any) -> Any:
    scale = tf.Variable([1.5, 3.0], dtype=tf.bfloat16)
    return _module(tf, {"x": _ROW}, lambda m, x: tf.cast(x, tf.bfloat16) * m.scale, scale=scale)


def _no_inputs(tf: Any) -> Any:
    return _module(tf, {}, lambda m: {"value": m.value * 2.0}, value=tf.Variable([1.0, 2.0]))


def _strings(tf: Any) -> Any:
    return _module(
        tf,
        {"text": ([None], "string")},
        lambda m, text: {"length": tf.strings.length(text) + m.more, "text": text},
        more=tf.Variable(1),
    )


def _counter(tf: Any) -> Any:
    return _module(
        tf, {"x": _ROW}, lambda m, x: x * m.count.assign_add(1.0), count=tf.Variable(0.0)
    )


def _random(tf: Any) -> Any:
    return _module(tf, {"x": _ROW}, lambda m, x: x + tf.random.uniform([], seed=1))


def _table(tf: Any) -> Any:
    initializer = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
    table = tf.lookup.StaticHashTable(initializer, -1)
    return _module(tf, {"text": ([None], "string")}, lambda m, t: m.table.lookup(t), table=table)


_WIDE: Final = np.random.default_rng(1).random((5, 4, 8), "float32")
_ROWS: Final = ({"x": X}, {"x": -X}, {"x": X * 7.0}, {"x": X[:0]})
_TEXTS: Final = ({"text": np.array(["a", "ä b"])}, {"text": np.array(["b"])})
SIGNED: Final[Mapping[str, Signed]] = {
    "dense": Signed(make=_dense, inputs=_ROWS),
    "two inputs": Signed(make=_two_inputs, inputs=({"a": A, "b": X}, {"b": X, "a": A[:1]})),
    "embedding": Signed(make=_embedding, inputs=({"ids": IDS}, {"ids": IDS * 3})),
    "loop": Signed(make=_loop, inputs=_ROWS),
    "branches": Signed(make=_branches, inputs=_ROWS[:3]),
    "nested calls": Signed(make=_nested_calls, inputs=_ROWS),
    "compiled": Signed(make=_compiled, inputs=_ROWS[:3]),
    "asserting": Signed(make=_asserting, inputs=_ROWS[:3]),
    "dtypes": Signed(make=_dtypes, inputs=_ROWS),
    "read twice": Signed(make=_read_twice, inputs=_ROWS),
    "layer norm": Signed(
        make=_layer_norm,
        inputs=({"x": _WIDE}, {"x": _WIDE * 3.3}),
        reason="layer normalization" if (2, 9) <= _tensorflow_version() <= (2, 20) else None,
    ),
    "brain": Signed(make=_brain, inputs=_ROWS),
    "no inputs": Signed(make=_no_inputs, inputs=({}, {})),
    "strings": Signed(make=_strings, inputs=_TEXTS),
    "counter": Signed(make=_counter, inputs=_ROWS, reason="AssignAddVariableOp"),
    "random": Signed(make=_random, inputs=_ROWS, reason="RandomUniform"),
    "table": Signed(make=_table, inputs=_TEXTS, reason="table"),
}


def save_signed(name: str, path: Path) -> str:
    """Save the module called *name* at *path*."""
    import tensorflow as tf

    module = SIGNED[name].make(tf)
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return str(path)
