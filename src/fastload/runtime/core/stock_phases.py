"""Where the time of a stock load goes: its own functions, timed as it runs.

For a process that does nothing else: the functions are wrapped, and unwrapped at the end. A call
within a call counts for the inner one's phase alone, so that the phases add up to the whole.
"""

from __future__ import annotations

import functools
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from types import ModuleType
from typing import Any, Final

from fastload.cache.entry import KERAS2
from fastload.runtime.core.keras import Keras
from fastload.runtime.importing import first_module
from fastload.runtime.requirements import STOCK_PHASES

PARSE: Final = "parse"
FUNCTIONS: Final = "functions"
TRACING: Final = "tracing"
INITIALISATION: Final = "initialisation"
RESTORE: Final = "restore"
COMPILE: Final = "compile"
#: Whatever no wrapped function takes: Python that makes objects, for the most part.
PYTHON: Final = "python"
PHASES: Final = (PARSE, FUNCTIONS, TRACING, INITIALISATION, RESTORE, COMPILE, PYTHON)

#: The phase of each function, by the part of `STOCK_PHASES` that it is in.
_OF_TENSORFLOW: Final = {
    "loader_impl": {"parse_saved_model": PARSE, "parse_saved_model_with_debug_info": PARSE},
    "load": {
        "Loader._recreate_function": FUNCTIONS,
        "Loader._recreate_bare_concrete_function": FUNCTIONS,
        "Loader._setup_function_captures": FUNCTIONS,
        "Loader._setup_remaining_functions": FUNCTIONS,
        "Loader._recreate_variable": INITIALISATION,
        "Loader._restore_checkpoint": RESTORE,
    },
    "load_v1": {
        "_EagerSavedModelLoader.load_graph": FUNCTIONS,
        "_EagerSavedModelLoader.restore_variables": RESTORE,
    },
    "function_deserialization": {"load_function_def_library": FUNCTIONS},
    "func_graph": {"func_graph_from_py_func": TRACING},
}
_COMPILING: Final = {
    "compile_args_from_training_config": COMPILE,
    "try_build_compiled_arguments": COMPILE,
}
_HDF5: Final = {
    "load_weights_from_hdf5_group": RESTORE,
    "load_optimizer_weights_from_hdf5_group": RESTORE,
}
_OF_KERAS2: Final = {
    "base_layer_of_keras2": {
        "Layer._functional_construction_call": TRACING,
        "Layer.add_weight": INITIALISATION,
    },
    "training_of_keras2": {"Model.compile": COMPILE, "Model.compile_from_config": COMPILE},
    "saving_utils_of_keras2": _COMPILING,
    "hdf5_format_of_keras2": _HDF5,
    "saving_lib_of_keras2": {"_load_state": RESTORE},
}
_OF_KERAS3: Final = {
    "operation": {"Operation.symbolic_call": TRACING},
    "layer": {"Layer.symbolic_call": TRACING, "Layer.add_weight": INITIALISATION},
    "trainer": {
        f"{kind}.{name}": COMPILE
        for kind in ("Trainer", "BaseTrainer")  # as it was called, and is
        for name in ("compile", "compile_from_config")
    },
    "saving_utils": _COMPILING,
    "legacy_h5_format": _HDF5,
    "saving_lib": {"_load_state": RESTORE},
}


class _Clock:
    """Seconds by phase; the innermost phase that is running takes the time."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._thread = get_ident()
        self._running = [PYTHON]
        self._since = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the block for the phase *name*; in another thread, for none."""
        if get_ident() != self._thread:
            yield
            return
        self._account()
        self._running.append(name)
        try:
            yield
        finally:
            self._account()
            self._running.pop()

    def stop(self) -> None:
        """Count the time since the last call."""
        self._account()

    def _account(self) -> None:
        now = time.perf_counter()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now


def taken_apart(
    load: Callable[[], Any], keras: Keras | None
) -> tuple[Any, float, dict[str, float]]:
    """Run a stock load with its functions timed.

    Args:
        load: runs the load.
        keras: the Keras that it is of; None for TensorFlow's own.

    Returns:
        What it loads; its seconds; and seconds by phase, which add up to them.
    """
    with ExitStack() as wrapped:
        clock = _Clock()
        for holder, name, phase in _functions(keras):
            wrapped.enter_context(_timed(holder, name, clock, phase))
        clock.start()
        model = load()
        clock.stop()
    return model, sum(clock.seconds.values()), clock.seconds


def _functions(keras: Keras | None) -> Iterator[tuple[Any, str, str]]:
    """Yield what is here of all functions: their holders, their names there, their phases."""
    tables = [("", _OF_TENSORFLOW)] if keras is None or keras.backend == "tensorflow" else []
    if keras is not None:
        of_keras = _OF_KERAS2 if keras.generation == KERAS2 else _OF_KERAS3
        tables.append((keras.package, of_keras))
    for package, table in tables:
        for part, phases in table.items():
            module = first_module(*STOCK_PHASES.parts[part].places(package))
            yield from _in_module(module, phases)
    yield json, "loads", PARSE
    yield zipfile.ZipFile, "__init__", PARSE
    yield zipfile.ZipFile, "read", PARSE
    if (h5py := sys.modules.get("h5py")) is not None:
        yield h5py.File, "__init__", PARSE


def _in_module(module: ModuleType | None, phases: dict[str, str]) -> Iterator[tuple[Any, str, str]]:
    for path, phase in phases.items():
        owner, _, name = path.rpartition(".")
        holder = getattr(module, owner, None) if owner else module
        if holder is not None and name in vars(holder):
            yield holder, name, phase


@contextmanager
def _timed(holder: Any, name: str, clock: _Clock, phase: str) -> Iterator[None]:
    """Have the function *name* of *holder* count for *phase* in the block."""
    stock = vars(holder)[name]

    @functools.wraps(stock)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.phase(phase):
            return stock(*args, **kwargs)

    setattr(holder, name, timed)
    try:
        yield
    finally:
        setattr(holder, name, stock)
