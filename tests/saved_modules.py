"""Objects as `tf.saved_model.save` takes them, one for each thing that a SavedModel can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

Call = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """An object to save, and what to do with it once it is loaded.

    Attributes:
        make: makes it, given TensorFlow and an empty folder.
        calls: ways of using it.
        signature: the function that is its signature; None leaves it to TensorFlow.
    """

    make: Callable[[Any, Path], Any]
    calls: Sequence[Call] = ()
    signature: str | None = None


X: Final = np.array([[1.0, 2.0]], dtype="float32")


def _calculator(tf: Any, _: Path) -> Any:
    spec = tf.TensorSpec([None, 2], tf.float32, name="x")

    class Calculator(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable([[0.5], [2.0]], name="kernel")
            self.bias = tf.Variable(1.0, trainable=False, name="bias")

        @tf.function(input_signature=[spec])
        def affine(self, x: Any) -> Any:
            return self._product(x) + self.bias

        @tf.function
        def _product(self, x: Any) -> Any:
            return tf.matmul(x, self.kernel)

        @tf.function(input_signature=[spec])
        def with_gradient(self, x: Any) -> Any:
            @tf.custom_gradient
            def tripled(value: Any) -> Any:
                return value * 2.0, lambda upstream: upstream * 3.0

            return tripled(x)

        @tf.function
        def power(self, x: Any, exponent: int = 2, *, negative: bool = False) -> Any:
            result = x**exponent
            return {"result": -result if negative else result, "shape": tf.shape(x)}

    module = Calculator()
    x = tf.constant(X)
    module.power(x)
    module.power(x, 3, negative=True)
    return module


def _nested(tf: Any, _: Path) -> Any:
    module = tf.Module()
    module.inner = tf.Module()
    module.inner.values = [tf.Variable([1, 2], dtype=tf.int64), tf.Variable("text")]
    module.by_name = {"half": tf.Variable(0.5, dtype=tf.float16), "flag": tf.Variable(True)}
    module.again = module.inner
    module.empty = tf.Variable(tf.zeros([0, 3]))
    module.brain = tf.Variable([1.5], dtype=tf.bfloat16)
    module.constant = tf.constant([7.0, 8.0])
    module.inner.parent = module

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)])
    def pick(index: Any) -> Any:
        return module.inner.values[0][index] + tf.cast(module.constant[0], tf.int64)

    module.pick = pick
    return module


def _loops(tf: Any, _: Path) -> Any:
    module = tf.Module()
    module.step = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def climb(limit: Any) -> Any:
        total = tf.constant(0.0)
        while total < limit:
            total += module.step
        return tf.cond(total > 5.0, lambda: total * module.step, lambda: -total)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def count(by: Any) -> Any:
        module.step.assign_add(by)
        return module.step.read_value()

    module.climb, module.count = climb, count
    return module


def _table(tf: Any, folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    words = folder / "words.txt"
    words.write_text("cat\ndog\n", encoding="utf-8")
    module = tf.Module()
    initializer = tf.lookup.TextFileInitializer(
        str(words),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module.table = tf.lookup.StaticHashTable(initializer, -1)
    module.asset = tf.saved_model.Asset(str(words))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def lookup(word: Any) -> Any:
        return module.table.lookup(word)

    module.lookup = lookup
    return module


def _mutable_table(tf: Any, _: Path) -> Any:
    module = tf.Module()
    module.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    module.table.insert(tf.constant(["cat"]), tf.constant([5], tf.int64))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def lookup(word: Any) -> Any:
        return module.table.lookup(word)

    module.lookup = lookup
    return module


def _callable(tf: Any, _: Path) -> Any:
    class Summing(tf.Module):  # type: ignore[misc, name-defined]
        @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
        def __call__(self, ragged: Any) -> Any:
            return {"sums": tf.reduce_sum(ragged, axis=1), "nested": (ragged * 2, [ragged])}

    return Summing()


def _checkpoint(tf: Any, _: Path) -> Any:
    return tf.train.Checkpoint(step=tf.Variable(3), model=tf.train.Checkpoint(v=tf.Variable(1.0)))


MODULES: Final[Mapping[str, Module]] = {
    "calculator": Module(
        make=_calculator,
        calls=(
            lambda m: m.affine(X),
            lambda m: m.affine(x=X),
            lambda m: m.affine([1.0]),
            lambda m: m.with_gradient(X),
            lambda m: m.power(X),
            lambda m: m.power(X, 3, negative=True),
            lambda m: m.power(X, 9),
            lambda m: m.missing,
            lambda m: m(X),
            lambda m: [v.name for v in m.trainable_variables],
        ),
        signature="affine",
    ),
    "nested": Module(
        make=_nested,
        calls=(
            lambda m: m.pick(1),
            lambda m: m.inner.values[0],
            lambda m: dict(m.by_name),
            lambda m: m.again is m.inner,
            lambda m: m.inner.parent is m,
            lambda m: m.constant,
            lambda m: [m.empty, m.brain],
        ),
        signature="pick",
    ),
    "loops": Module(
        make=_loops,
        calls=(
            lambda m: m.climb(5.0),
            lambda m: m.climb(4.0),
            lambda m: [m.count(1.0), m.climb(5.0), m.step],
        ),
        signature="climb",
    ),
    "table": Module(
        make=_table,
        calls=(
            lambda m: m.lookup(["dog", "cow"]),
            lambda m: m.asset.asset_path.numpy().decode().rsplit("/", 1)[-1],
            lambda m: m.table.size(),
        ),
        signature="lookup",
    ),
    "mutable table": Module(
        make=_mutable_table, calls=(lambda m: m.lookup(["cat", "cow"]), lambda m: m.table.size())
    ),
    "callable": Module(
        make=_callable,
        calls=(lambda m: m(_ragged()), lambda m: m.__call__(_ragged()), lambda m: m("no")),
    ),
    "checkpoint": Module(make=_checkpoint, calls=(lambda m: [m.step, m.model.v],)),
}


def _ragged() -> Any:
    import tensorflow as tf

    return tf.ragged.constant([[1, 2], [], [3]])


def save_module(name: str, path: Path) -> str:
    """Save the module called *name* at *path*; TensorFlow 2.8 takes text alone for a path."""
    import tensorflow as tf

    module = MODULES[name].make(tf, path.parent / "assets of it")
    signature = MODULES[name].signature
    tf.saved_model.save(module, str(path), signatures=signature and getattr(module, signature))
    return str(path)
