"""A process that predicts with a predictor, and keeps a ledger of what that takes.

It imports nothing before it is measured that a bare interpreter has not imported already. Loaders
of modules and some functions are wrapped, whatever imports or calls them, so that the ledger shows
the way that a load really goes.
"""

import _imp
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

START = "Python starts"
NUMPY = "numpy"
LINKING = "TensorFlow: waiting for its libraries to be linked"
MODULES = "TensorFlow: Python modules"
STANDARD = "Python: modules of the standard library"
OTHERS = "other packages"
OURS = "fastload: modules"
RUNTIME = "TensorFlow: the runtime starts"
DETECT = "fastload: detect the source"
IDENTIFY = "fastload: identify its content"
TWIN = "fastload: open the twin"
FUNCTION = "fastload: read the function"
REGISTER = "fastload: register the function"
BIND = "fastload: make tensors of weights"
REST = "fastload: the rest of the load"
FIRST = "first prediction"
SECOND = "second prediction"
PROGRAM = "the program itself"

TENSORFLOW_MEMORY = "TensorFlow's libraries"
WRITTEN_MEMORY = "of them written to (relocated)"
LIBRARY_MEMORY = "other libraries, Python"
TWIN_MEMORY = "the twin"
OWN_MEMORY = "the process's own"
PEAK = "most at once"

#: Functions with a row of their own: the module in whose namespace they are looked up, and name.
PROBES = {
    ("fastload.loading.request", "detect"): DETECT,
    ("fastload.loading.plan", "identify"): IDENTIFY,
    ("fastload.loading.answer", "open_plan"): TWIN,
    ("fastload.predictor.functions", "FlatEntry.read"): FUNCTION,
    ("fastload.predictor.functions", "FlatEntry.read_optimized"): FUNCTION,
    ("fastload.predictor.functions", "tensor_over"): BIND,
    ("fastload.runtime.functions.flat_function", "registered"): REGISTER,
    ("tensorflow.python.eager.context", "Context.ensure_initialized"): RUNTIME,
}
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class Ledger:
    """What each row took; what runs inside of another row's work is not counted there.

    Args:
        gauge: returns what is told of: seconds, or bytes in memory.
    """

    def __init__(self, gauge: "Callable[[], float]") -> None:
        self.rows: dict[str, float] = {}
        self._gauge = gauge
        self._open = [PROGRAM]
        self._last = gauge()

    def enter(self, row: str) -> None:
        """What comes is of *row*."""
        self._book()
        self._open.append(row)

    def leave(self) -> None:
        """What comes is of the row before."""
        self._book()
        self._open.pop()

    def run(self, row: str, work: "Callable[[], Any]") -> "Any":
        """Do *work* for *row*."""
        self.enter(row)
        try:
            return work()
        finally:
            self.leave()

    def wrapped(self, row: str, function: "Callable[..., Any]") -> "Callable[..., Any]":
        """Return *function*, counted as *row*."""

        def counted(*positional: "Any", **named: "Any") -> "Any":
            self.enter(row)
            try:
                return function(*positional, **named)
            finally:
                self.leave()

        return counted

    def _book(self) -> None:
        now, row = self._gauge(), self._open[-1]
        self.rows[row] = self.rows.get(row, 0.0) + now - self._last
        self._last = now


def row_of(module: str, *, is_native: bool = False) -> str:
    """Return the row that a module's import belongs to.

    Args:
        module: its full name.
        is_native: its library is linked; else its code is run.
    """
    package = module.partition(".")[0]
    if package == "tensorflow":
        return LINKING if is_native else MODULES
    if package in sys.stdlib_module_names:
        return STANDARD
    return {"numpy": NUMPY, "fastload": OURS}.get(package, OTHERS)


def watch_imports(ledger: Ledger) -> None:
    """Have imports and the functions of `PROBES` counted."""
    # What `importlib.machinery` has, without the import.
    source_loader: Any = sys.modules["_frozen_importlib_external"].SourceFileLoader
    stock = source_loader.exec_module

    def exec_module(loader: "Any", module: "Any") -> None:
        ledger.enter(row_of(module.__name__))
        try:
            stock(loader, module)
        finally:
            ledger.leave()
        _probe(ledger, module)

    source_loader.exec_module = exec_module
    for name in ("create_dynamic", "exec_dynamic"):
        setattr(_imp, name, _native(ledger, getattr(_imp, name)))


def _native(ledger: Ledger, stock: "Callable[..., Any]") -> "Callable[..., Any]":
    def counted(given: "Any", *rest: "Any") -> "Any":
        # A spec to create a module from, or the module to be executed.
        name = given.__name__ if isinstance(given, type(sys)) else given.name
        return ledger.run(row_of(name, is_native=True), lambda: stock(given, *rest))

    return counted


def _probe(ledger: Ledger, module: "Any") -> None:
    for (home, path), row in PROBES.items():
        if module.__name__ == home:
            owner, _, name = path.rpartition(".")
            holder = getattr(module, owner) if owner else module
            setattr(holder, name, ledger.wrapped(row, getattr(holder, name)))


def resident_bytes() -> float:
    """Return how much of this process is in memory."""
    with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 - pathlib is an import
        return float(file.read().split()[1]) * _PAGE_BYTES


def main(started: float, what: str, path: str, shape: "tuple[int, ...]") -> None:
    """Predict twice, and print the ledger and when that was done, as JSON.

    Args:
        started: `time.monotonic()` just before this process was started.
        what: `seconds` or `bytes`.
        path: the model.
        shape: of the batch.
    """
    begun = time.monotonic()
    ledger = Ledger(time.perf_counter if what == "seconds" else resident_bytes)
    first_rows = {START: begun - started if what == "seconds" else resident_bytes()}
    watch_imports(ledger)
    predictor = _predict(ledger, path, shape)
    import json

    told = {"rows": first_rows | ledger.rows, "memory": _memory(), "done": 0.0}
    del predictor  # its weights were in memory
    told["done"] = time.monotonic()
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _predict(ledger: Ledger, path: str, shape: "tuple[int, ...]") -> "Any":
    import numpy as np

    batch = np.linspace(0, 1, int(np.prod(shape)), dtype="float32").reshape(shape)
    import fastload

    predictor = ledger.run(REST, lambda: fastload.load_predictor(path))
    ledger.run(FIRST, lambda: predictor.predict(batch))
    ledger.run(SECOND, lambda: predictor.predict(batch))
    return predictor


def _memory() -> "dict[str, int]":
    """Return bytes in memory by what they are, and the peak."""
    found: dict[str, int] = {}
    kind = OWN_MEMORY
    with open("/proc/self/smaps", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is an import
        for line in file:
            first, *rest = line.split()
            if not first.endswith(":"):
                kind = _kind(" ".join(rest[4:]))
            elif first == "Rss:":
                found[kind] = found.get(kind, 0) + int(rest[0]) * 1024
            elif first == "Private_Dirty:" and kind == TENSORFLOW_MEMORY:
                found[WRITTEN_MEMORY] = found.get(WRITTEN_MEMORY, 0) + int(rest[0]) * 1024
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123 - the same
        lines = dict(line.split(":", 1) for line in file)
    return found | {PEAK: int(lines["VmHWM"].split()[0]) * 1024}


def _kind(path: str) -> str:
    if "/tensorflow/" in path:
        return TENSORFLOW_MEMORY
    if ".so" in path or "/bin/" in path:
        return LIBRARY_MEMORY
    return TWIN_MEMORY if path.endswith(".h5") else OWN_MEMORY
