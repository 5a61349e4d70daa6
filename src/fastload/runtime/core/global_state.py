"""Keras's process-wide state, restored where a load fails.

A rebuild counts automatic names and draws seeds, as a stock load does. Where it fails, the stock
loader starts over, and must find counters and generators as they were.
"""

from __future__ import annotations

import copy
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from fastload.cache.entry import KERAS3
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.keras import TENSORFLOW, TORCH, Keras
from fastload.runtime.importing import import_module
from fastload.runtime.requirements import STATE

#: By which Keras 3 keeps its counters of automatic names.
KERAS3_NAMES: Final = "object_name_uids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A part of that state; of this thread, where Keras keeps it per thread.

    Attributes:
        read: returns its value, which compares equal for equal states; None if there is none.
        write: sets it; None changes nothing.
    """

    read: Callable[[], Any]
    write: Callable[[Any], None]


class undone_on_failure:  # noqa: N801 - a context manager, named as one that a function makes
    """Reset name counters and generators if the block raises.

    It is no generator: one that is interrupted as it begins would end when it is collected.

    Args:
        keras: whose counters and generators.
    """

    def __init__(self, keras: Keras) -> None:
        self._keras = keras

    def __enter__(self) -> None:
        self._before = _snapshot(self._keras)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            _put_back(self._before)


@contextmanager
def undone(keras: Keras) -> Iterator[None]:
    """Reset name counters and generators after the block, whose objects the caller never sees."""
    before = _snapshot(keras)
    try:
        yield
    finally:
        _put_back(before)


def _snapshot(keras: Keras) -> list[tuple[Live, Any]]:
    return [(part, part.read()) for part in _live_state(keras)]


def _put_back(before: list[tuple[Live, Any]]) -> None:
    for part, value in before:
        part.write(value)


def _live_state(keras: Keras) -> list[Live]:
    """Return all parts of that state."""
    seeds = _SEEDS.get(keras.backend)
    found = [_python_random(), _numpy_random(), *([] if seeds is None else [seeds()])]
    if keras.generation == KERAS3:
        module = STATE.optional("keras3")
        return found if module is None else [*found, _keras3_names(module)]
    backend = STATE.optional("keras2", keras.package)
    return [*found, _keras2_seeds(backend), *_keras2_names(backend)]


def _python_random() -> Live:
    return Live(read=random.getstate, write=_unless_none(random.setstate))


def _numpy_random() -> Live:
    def read() -> Any:
        if "numpy.random" not in sys.modules:  # so it was never seeded
            return None
        state = np.random.get_state()  # noqa: NPY002 - Keras draws from the global one
        return pickle.dumps(state)  # which can be compared

    def write(state: Any) -> None:
        np.random.set_state(pickle.loads(state))  # noqa: NPY002, S301 - our own pickle

    return Live(read=read, write=_unless_none(write))


def _tensorflow_seeds() -> Live:
    """TensorFlow draws seeds of operations from a generator of its context."""
    module = STATE.optional("context")

    def generator() -> Any:
        return getattr(module.context() if module else None, "_rng", None)

    return _generator(generator)


def _torch_seeds() -> Live:
    torch = import_module("torch")

    def read() -> bytes:
        return bytes(torch.get_rng_state().numpy())  # which can be compared

    def write(state: bytes) -> None:
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))

    return Live(read=read, write=write)


#: By backend; random numbers of JAX depend on their arguments alone.
_SEEDS: Final = {TENSORFLOW: _tensorflow_seeds, TORCH: _torch_seeds}


def _keras2_seeds(backend: Any) -> Live:
    # Keras has one for each thread that was seeded.
    seeds = getattr(backend, "_SEED_GENERATOR", None)

    return _generator(lambda: getattr(seeds, "generator", None))


def _generator(generator: Callable[[], Any]) -> Live:
    """Return the state of the `random.Random` that *generator* returns, if it returns one."""

    def read() -> Any:
        found = generator()
        return found.getstate() if isinstance(found, random.Random) else None

    def write(state: Any) -> None:
        found = generator()
        if isinstance(found, random.Random):
            found.setstate(state)

    return Live(read=read, write=_unless_none(write))


def _unless_none(write: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda value: None if value is None else write(value)


def _keras3_names(global_state: Any) -> Live:
    # The counters are thread-local, and do not exist before the first name.
    def read() -> Any:
        return copy.copy(global_state.get_global_attribute(KERAS3_NAMES, default=None))

    def write(counters: Any) -> None:
        global_state.set_global_attribute(KERAS3_NAMES, copy.copy(counters))

    return Live(read=read, write=write)


def _keras2_names(backend: Any) -> Iterator[Live]:
    observed = getattr(backend, "OBSERVED_NAMES", None)
    if observed is not None:
        yield _collection(lambda: observed)
    find = getattr(backend, "get_default_graph_uid_map", None)
    if find is not None:
        yield _collection(find)


def _collection(live: Callable[[], Any]) -> Live:
    """Return the state of a dict or set that is refilled in place."""

    def write(value: Any) -> None:
        found = live()
        found.clear()
        found.update(value)

    return Live(read=lambda: copy.copy(live()), write=write)
