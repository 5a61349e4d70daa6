"""Whether a stand-in predicts to the bits of its model, found by predicting with both.

What Keras runs for `predict` is traced for the first batch that it sees: for its very number of
rows, or for any number, depending on the batches before. TensorFlow's optimizers may make other
operations of a graph whose sizes are known, and other operations round in other places. A stored
function is for any number of rows; it stands in only where all of these give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from fastload.runtime.tensorflow import tensorflow
from fastload.signature import Signature, TensorSpec

#: Rows and batch size, one after the other with the same predict function: one row; whole batches
#: of a known size, and then batches of several.
_CASES: Final = (((1, 32),), ((4, 2), (3, 2)))
#: Of few numbers none may show another rounding: so many are compared, or as many turns taken.
_ENOUGH_VALUES: Final = 512
_MOST_TURNS: Final = 16
#: What open dimensions are tried with; small inputs are too small for some networks.
_SIZES: Final = (8, 64)
_SEED: Final = 20


def predicts_alike(signature: Signature, takes: str, stand_in: Any, model: Any) -> bool:
    """Say whether *stand_in* predicts what *model* predicts; both are changed by it.

    Args:
        signature: what they take.
        takes: the form of their inputs.
        stand_in: see `stand_in_model`.
        model: the model.

    Raises:
        Exception: whatever the model raises for the inputs that were tried.
    """
    return all(_alike(signature, takes, stand_in, model, size) for size in _tried(signature))


def _tried(signature: Signature) -> tuple[int, ...]:
    is_open = any(None in (spec.shape or ())[1:] for spec in signature.inputs.values())
    return _SIZES if is_open else _SIZES[:1]


def _alike(signature: Signature, takes: str, stand_in: Any, model: Any, size: int) -> bool:
    for case in _CASES:
        model.make_predict_function(force=True)
        for rows, batch_size in case:
            compared = 0
            for turn in range(_MOST_TURNS):
                inputs = _inputs(signature, takes, rows, size, turn)
                expected = model.predict(inputs, batch_size=batch_size, verbose=0)
                found = stand_in.predict(inputs, batch_size=batch_size, verbose=0)
                if _bits(expected) != _bits(found):
                    return False
                compared += _count(expected)
                if compared >= _ENOUGH_VALUES:
                    break
    return True


def _count(results: Any) -> int:
    return sum(np.asarray(each).size for each in tensorflow().nest.flatten(results))


def _inputs(signature: Signature, takes: str, rows: int, size: int, turn: int) -> Any:
    random = np.random.default_rng([_SEED, rows, turn])
    names = signature.order or ()
    named = {name: _array(signature.inputs[name], rows, size, random) for name in names}
    if takes == "dict":
        return named
    return next(iter(named.values())) if takes == "one" else list(named.values())


def _array(spec: TensorSpec, rows: int, size: int, random: np.random.Generator) -> Any:
    inner = (size if each is None else each for each in (spec.shape or ())[1:])
    shape = (rows, *inner)
    if spec.dtype == "string":
        return np.full(shape, "", dtype=object)
    if spec.dtype == "bool" or "int" in spec.dtype:  # what any table of words has
        return random.integers(0, 2, shape).astype(spec.dtype)
    dtype = tensorflow().as_dtype(spec.dtype).as_numpy_dtype
    return random.normal(size=shape).astype(dtype)


def _bits(results: Any) -> list[Any]:
    return list(_told(results))


def _told(results: Any) -> Iterator[Any]:
    """Yield all that can be told of a structure of arrays."""
    if isinstance(results, dict):
        for name, value in results.items():
            yield name
            yield from _told(value)
    elif isinstance(results, (list, tuple)):
        yield type(results).__name__, len(results)
        for value in results:
            yield from _told(value)
    else:
        array = np.asarray(results)
        yield array.dtype.name, array.shape, array.tobytes()
