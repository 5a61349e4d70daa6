"""Give a predictor wrong inputs: `python predictor_fuzz.py SAVEDMODEL COUNT SEED`.

Prints as JSON how many inputs were refused and taken, and every exception that is neither a
ValueError nor a TypeError. A crash is told by the exit status.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import numpy as np
import tensorflow as tf

import fastload

DTYPES = ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint64", "bool"]
DTYPES += ["complex64", "datetime64[s]", "U3", "S2", "object", "V4", "timedelta64[s]"]


class Broken:
    """Raises whatever it is asked."""

    shape = (None, "x")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise KeyError("no array")

    def __len__(self) -> int:
        raise OSError("no length")


def array(random: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return an array of any dtype and any small shape, empty ones included."""
    shape = tuple(random.integers(0, 5, random.integers(0, 6)))
    dtype = random.choice(DTYPES)
    if dtype == "object":
        found = np.empty(shape, object)
        found.fill(random.choice([None, 1.5, "a", b"b"]))
        return found
    numbers = random.integers(-3, 300, shape)
    return numbers.astype("i8").astype(dtype) if dtype != "V4" else np.zeros(shape, "V4")


def nest(random: np.random.Generator, depth: int = 0) -> Any:
    """Return nested lists, often ragged, with odd leaves."""
    if depth > 4 or random.random() < 0.3:
        leaves = [1, 2.5, -1, 2**70, float("nan"), "text", b"bytes", None, True, 1j, Broken(), ()]
        return leaves[random.integers(len(leaves))]
    return [nest(random, depth + 1) for _ in range(random.integers(0, 4))]


def odd(random: np.random.Generator) -> Any:
    """Return a thing that is no tensor at all, or one of another kind."""
    things: list[Callable[[], Any]] = [
        lambda: None,
        object,
        Broken,
        lambda: {1, 2},
        lambda: (n for n in range(3)),
        lambda: "text",
        lambda: b"bytes",
        lambda: memoryview(b"abcd"),
        lambda: datetime.now(timezone.utc),
        lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]),
        lambda: tf.sparse.from_dense([[1.0, 0.0]]),
        lambda: tf.TensorSpec([1, 2], tf.float32),
        lambda: tf.data.Dataset.range(3),
        lambda: tf.Variable([[1.0]]),
        lambda: tf.constant([[1, 2]]),
        lambda: np.ma.masked_array([1.0, 2.0], mask=[True, False]),
        lambda: np.zeros((2, 6, 6, 3), "f4")[..., ::-1],
        lambda: np.zeros((0, 6, 6, 3), "f4"),
        lambda: [np.zeros((6, 6, 3), "f4"), np.zeros((5, 6, 3), "f4")],
        lambda: type("float32", (), {}),
    ]
    return things[random.integers(len(things))]()


def value(random: np.random.Generator) -> Any:
    """Return one value of any kind."""
    kinds = (array, nest, odd, near, lambda r: tf.constant(array_for_tensor(r)))
    return kinds[random.integers(len(kinds))](random)


def array_for_tensor(random: np.random.Generator) -> Any:
    shape = tuple(random.integers(0, 5, random.integers(0, 6)))
    dtype = random.choice(["float32", "float64", "int32", "bool", "uint8"])
    return random.integers(0, 2, shape).astype(dtype)


def near(random: np.random.Generator) -> Any:
    """Return what is right but for a size, the rank or the dtype, or all right."""
    shape = [int(random.integers(1, 4)), 6, 6, 3] if random.random() < 0.5 else [2]
    way = random.integers(5)
    if way == 0:
        shape[random.integers(len(shape))] += int(random.integers(-1, 2))
    elif way == 1:
        shape = shape[:-1] if random.random() < 0.5 else [*shape, 1]
    dtype = random.choice(["float32", "float64", "int32", "complex64"]) if way == 2 else "float32"
    found = np.ones(shape, dtype)
    return (found, tf.constant(found), found.tolist())[random.integers(3)]


def attempt(predict: Any, random: np.random.Generator) -> Any:
    """Call the predictor in one of the ways in which people call it, mostly wrongly."""
    names = ["image", "scale", "imagE", "", "x", "inputs", 3]
    way = random.integers(6)
    if way == 0:
        return predict(value(random))
    if way == 1:
        return predict.predict(value(random), batch_size=int(random.integers(1, 4)))
    if way == 2:
        return predict([value(random) for _ in range(random.integers(0, 4))])
    given = {
        names[random.integers(len(names))]: value(random) for _ in range(random.integers(0, 4))
    }
    if random.random() < 0.7:
        given = {"image": value(random), "scale": value(random)}
    if way == 3:
        return predict(given)
    if way == 4:
        return predict.predict(given)
    return predict.signatures["serving_default"](**{str(k): v for k, v in given.items()})


def main(path: str, count: int, seed: int) -> None:
    """Fuzz, and tell what came of it."""
    random = np.random.default_rng(seed)
    predict = fastload.load_predictor(path, strict=True)
    told: dict[str, Any] = {"refused": 0, "taken": 0, "others": []}
    while told["refused"] < count and len(told["others"]) < 5:
        try:
            attempt(predict, random)
        except (ValueError, TypeError) as error:
            told["refused"] += bool(str(error))
        except Exception:
            told["others"].append(traceback.format_exc())
        else:
            told["taken"] += 1
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
