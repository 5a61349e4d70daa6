"""What Keras keeps for the whole process, so that a restore that fails leaves no trace.

A rebuild counts automatic names and draws seeds, as a stock load does. Where it fails, the stock
loader starts over, and must find the counters and the generators as they were.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from fastload.runtime.backends.choice import TENSORFLOW
from fastload.runtime.flavour import KERAS3, Flavour
from fastload.runtime.tensorflow import first_module, import_module

_KERAS3_NAMES: Final = "object_name_uids"


@contextmanager
def undone_on_failure(chosen: Flavour) -> Iterator[None]:
    """Put names and generators back if the block raises."""
    seeds = _SEEDS.get(chosen.backend, _no_seeds)
    undo = [_python_random(), _numpy_random(), seeds(), *_keras(chosen)]
    try:
        yield
    except BaseException:
        for put_back in undo:
            put_back()
        raise


def _python_random() -> Callable[[], None]:
    state = random.getstate()
    return lambda: random.setstate(state)


def _numpy_random() -> Callable[[], None]:
    if "numpy.random" not in sys.modules:  # nobody can have seeded it
        return lambda: None
    state = np.random.get_state()  # noqa: NPY002 - Keras draws from the global one
    return lambda: np.random.set_state(state)  # noqa: NPY002 - see above


def _tensorflow_seeds() -> Callable[[], None]:
    """TensorFlow numbers the operations that draw from the global seed."""
    module = first_module("tensorflow.python.eager.context")
    generator = getattr(module.context() if module else None, "_rng", None)
    if not isinstance(generator, random.Random):
        return lambda: None
    state = generator.getstate()
    return lambda: generator.setstate(state)


def _torch_seeds() -> Callable[[], None]:
    torch = import_module("torch")
    state = torch.get_rng_state()
    return lambda: torch.set_rng_state(state)


def _no_seeds() -> Callable[[], None]:
    """Stand for a backend whose random numbers depend on their arguments alone, as JAX's do."""
    return lambda: None


_SEEDS: Final = {TENSORFLOW: _tensorflow_seeds, "torch": _torch_seeds}


def _keras(chosen: Flavour) -> Iterator[Callable[[], None]]:
    prefixes = [f"{chosen.package}.src.", f"{chosen.package}."]
    if chosen.name == KERAS3:
        module = first_module("keras.src.backend.common.global_state")
        if module is not None:
            yield _keras3_names(module)
        return
    backend = first_module(*(f"{prefix}backend" for prefix in prefixes))
    seeds = getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None)
    if isinstance(seeds, random.Random):
        state = seeds.getstate()
        yield lambda: seeds.setstate(state)
    for live in (getattr(backend, "OBSERVED_NAMES", None), _graph_names(backend)):
        yield _mapping(live)


def _keras3_names(global_state: Any) -> Callable[[], None]:
    # The counters are a value of the thread, and there are none before the first name.
    before = copy.copy(global_state.get_global_attribute(_KERAS3_NAMES, default=None))
    return lambda: global_state.set_global_attribute(_KERAS3_NAMES, before)


def _graph_names(backend: Any) -> Any:
    find = getattr(backend, "get_default_graph_uid_map", None)
    return None if find is None else find()


def _mapping(live: Any) -> Callable[[], None]:
    """Return what empties *live*, a dict or a set, and fills it with what is in it now."""
    if live is None:
        return lambda: None
    before = copy.copy(live)

    def put_back() -> None:
        live.clear()
        live.update(before)

    return put_back
