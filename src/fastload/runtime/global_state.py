"""What Keras keeps for the whole process, so that a restore that fails leaves no trace.

A rebuild counts automatic names and draws seeds, as a stock load does. Where it fails, the stock
loader starts over, and must find the counters and the generators as they were.
"""

from __future__ import annotations

import copy
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.runtime.backends.choice import TENSORFLOW, TORCH
from fastload.runtime.flavour import KERAS3, Flavour
from fastload.runtime.tensorflow import first_module, import_module

_KERAS3_NAMES: Final = "object_name_uids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A part of that state, of this thread where Keras keeps it by thread.

    Attributes:
        name: what it is: `python`, `numpy`, `tensorflow` and `keras` draw numbers, `observed` are
            names in use, and `names` counts names.
        read: returns its value, which equals any other of the same state; None if it has none.
        write: gives it a value; None changes nothing.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], None]


@contextmanager
def undone_on_failure(chosen: Flavour) -> Iterator[None]:
    """Put names and generators back if the block raises."""
    before = _now(chosen)
    try:
        yield
    except BaseException:
        _put_back(before)
        raise


@contextmanager
def undone(chosen: Flavour) -> Iterator[None]:
    """Put names and generators back after the block: what it makes is not the caller's."""
    before = _now(chosen)
    try:
        yield
    finally:
        _put_back(before)


def _now(chosen: Flavour) -> list[tuple[Live, Any]]:
    return [(part, part.read()) for part in live_state(chosen)]


def _put_back(before: list[tuple[Live, Any]]) -> None:
    for part, value in before:
        part.write(value)


@contextmanager
def seeded_tensorflow() -> Iterator[None]:
    """Run the block with a global seed, so that operations draw theirs from a generator."""
    module: Any = first_module("tensorflow.python.eager.context")
    context = module.context()
    if getattr(context, "_seed", 0) is not None or not hasattr(context, "_set_global_seed"):
        yield
        return
    generator = getattr(context, "_rng", None)
    context._set_global_seed(1)
    try:
        yield
    finally:
        context._seed, context._rng = None, generator


def live_state(chosen: Flavour) -> list[Live]:
    """Return all parts of that state."""
    seeds = _SEEDS.get(chosen.backend)
    found = [_python_random(), _numpy_random(), *([] if seeds is None else [seeds()])]
    if chosen.name == KERAS3:
        module = first_module("keras.src.backend.common.global_state")
        return found if module is None else [*found, _keras3_names(module)]
    backend = first_module(f"{chosen.package}.src.backend", f"{chosen.package}.backend")
    return [*found, _keras2_seeds(backend), *_keras2_names(backend)]


def _python_random() -> Live:
    return Live(name="python", read=random.getstate, write=_unless_none(random.setstate))


def _numpy_random() -> Live:
    def read() -> Any:
        if "numpy.random" not in sys.modules:  # nobody can have seeded it
            return None
        state = np.random.get_state()  # noqa: NPY002 - Keras draws from the global one
        return pickle.dumps(state)  # which can be compared

    def write(state: Any) -> None:
        np.random.set_state(pickle.loads(state))  # noqa: NPY002, S301 - our own pickle

    return Live(name="numpy", read=read, write=_unless_none(write))


def _tensorflow_seeds() -> Live:
    """TensorFlow numbers the operations that draw from the global seed."""
    module = first_module("tensorflow.python.eager.context")

    def generator() -> Any:
        return getattr(module.context() if module else None, "_rng", None)

    return _generator("tensorflow", generator)


def _torch_seeds() -> Live:
    torch = import_module("torch")

    def read() -> bytes:
        return bytes(torch.get_rng_state().numpy())  # which can be compared

    def write(state: bytes) -> None:
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))

    return Live(name=TORCH, read=read, write=write)


#: By backend; the random numbers of JAX depend on their arguments alone.
_SEEDS: Final = {TENSORFLOW: _tensorflow_seeds, TORCH: _torch_seeds}


def _keras2_seeds(backend: Any) -> Live:
    # Keras has one for each thread that was seeded.
    seeds = getattr(backend, "_SEED_GENERATOR", None)

    def generator(*, wanted: bool = False) -> Any:
        if wanted and seeds is not None and not hasattr(seeds, "generator"):
            seeds.generator = random.Random()  # noqa: S311 - Keras's choice
        return getattr(seeds, "generator", None)

    return _generator("keras", generator, lambda: generator(wanted=True))


def _generator(
    name: str, generator: Callable[[], Any], wanted: Callable[[], Any] | None = None
) -> Live:
    """Return what draws from a generator that may be there or not.

    Args:
        name: of the part.
        generator: returns it.
        wanted: returns it, and makes it if it is not there; None where that is not ours to do.
    """

    def read() -> Any:
        found = generator()
        return found.getstate() if isinstance(found, random.Random) else None

    def write(state: Any) -> None:
        found = (wanted or generator)()
        if isinstance(found, random.Random):
            found.setstate(state)

    return Live(name=name, read=read, write=_unless_none(write))


def _unless_none(write: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda value: None if value is None else write(value)


def _keras3_names(global_state: Any) -> Live:
    # The counters are a value of the thread, and there are none before the first name.
    def read() -> Any:
        return copy.copy(global_state.get_global_attribute(_KERAS3_NAMES, default=None))

    def write(counters: Any) -> None:
        global_state.set_global_attribute(_KERAS3_NAMES, copy.copy(counters))

    return Live(name="names", read=read, write=write)


def _keras2_names(backend: Any) -> Iterator[Live]:
    observed = getattr(backend, "OBSERVED_NAMES", None)
    if observed is not None:
        yield _collection("observed", lambda: observed)
    find = getattr(backend, "get_default_graph_uid_map", None)
    if find is not None:
        yield _collection("names", find)


def _collection(name: str, live: Callable[[], Any]) -> Live:
    """Return a dict or a set that is emptied and filled with what was in it."""

    def write(value: Any) -> None:
        found = live()
        found.clear()
        found.update(value)

    return Live(name=name, read=lambda: copy.copy(live()), write=write)
