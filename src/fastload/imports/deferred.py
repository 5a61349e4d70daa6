"""A package whose submodules come first: it runs itself when somebody touches it.

`defer` is for a package that can be used in part. What is in use of it then must not tell that the
rest is missing, so whatever asks for more runs the package: a look at it, or an import of one of
its modules that is not there yet.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol

from fastload.imports import lazy_module
from fastload.imports.collector import paused_collector
from fastload.imports.stand_in_loader import StandInLoader
from fastload.imports.typing_memo import with_memo


class Part(Protocol):
    """What is used of a package before the package has run."""

    def begin(self) -> None:
        """Import it."""

    def end(self) -> None:
        """Take back what stood in for the package: that has run."""


def defer(package: str, part: Part, companions: Collection[str] = ()) -> bool:
    """Import *part* of *package*, and leave the rest to the first touch.

    Where importing *part* fails, the package is imported as a whole.

    Args:
        package: the name of a package.
        part: what is needed now.
        companions: packages that the package imports and that import it. They come after it, as if
            it had been imported: a thread that is importing one of them would wait for the thread
            that runs the package, and that for the first.

    Returns:
        Whether the package waits now.

    Raises:
        Exception: what importing the package as a whole raises.
    """
    spec = importlib.util.find_spec(package) if lazy_module.SUPPORTED else None
    if package in sys.modules or spec is None or spec.loader is None:
        return False
    spec.loader = _FinishingLoader(spec.loader, part)  # type: ignore[assignment]
    sys.meta_path.insert(0, _Rest(package, companions))
    module = lazy_module.defer_after(spec, lambda: _quickly(part.begin))
    return type(module) is lazy_module.LazyModule


def _quickly(work: Callable[[], None]) -> None:
    with paused_collector(makes_old=True):
        with_memo(work)


class _Rest:
    """A finder that finds nothing, but sees who asks for more of the package.

    It stays on `sys.meta_path`: were it taken out, a thread that walks the list at this moment
    would skip the next one.
    """

    def __init__(self, package: str, companions: Collection[str]) -> None:
        self._package, self._prefix = package, f"{package}."
        self._companions = companions

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Have the package run before *name* is imported; that may have imported *name*."""
        del path
        if not name.startswith(self._prefix) and name not in self._companions:
            return None
        package = sys.modules.get(self._package)
        if package is not None and not lazy_module.is_running_here(package):
            # Not for what is there by now, once another thread has imported the part.
            lazy_module.run(package, unless=lambda: name in sys.modules)
        is_import = target is None and lazy_module.is_importing_here(name)
        return _spec_of(name) if is_import and name in sys.modules else None


class _FinishingLoader(StandInLoader):
    """Runs the package, which was waiting."""

    def __init__(self, stock: Any, part: Part) -> None:
        super().__init__(stock)
        self._part = part

    def exec_module(self, module: ModuleType) -> None:
        """Run *module*, in the place of its own loader if it fails."""
        spec = self._give_place_back(module)
        try:
            _with_random_numbers_kept(lambda: self._stock.exec_module(module))
        except BaseException:
            spec.loader = module.__loader__ = self  # type: ignore[assignment]
            raise
        self._part.end()


def _with_random_numbers_kept(work: Callable[[], None]) -> None:
    """Do *work*; who seeded `random` before the first touch sees none of the numbers drawn by it.

    Where other threads could draw too, the state is left alone: they must not see numbers twice.
    """
    state = random.getstate() if threading.active_count() == 1 else None
    try:
        work()
    finally:
        if state is not None:
            random.setstate(state)


class _ThereAlready(StandInLoader):
    """Gives the module that is there; an import that had begun would run it a second time."""

    def __init__(self, stock: Any, name: str) -> None:
        super().__init__(stock)
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        return sys.modules[self._name]

    def exec_module(self, module: ModuleType) -> None:
        self._give_place_back(module)
        parent, _, child = self._name.rpartition(".")
        if parent and vars(sys.modules[parent]).get(child) is not module:
            _ignore_binding(sys.modules[parent], child)


def _spec_of(name: str) -> ModuleSpec | None:
    """Return the spec that the import system takes, where it sees that *name* came meanwhile."""
    spec = sys.modules[name].__spec__
    if spec is not None:
        spec.loader = _ThereAlready(spec.loader, name)  # type: ignore[assignment]
    return spec


def _ignore_binding(package: ModuleType, child: str) -> None:
    """Have *package* keep what it has bound to *child* when the import of that ends."""
    kind = type(package)

    def set_but_once(self: ModuleType, name: str, value: Any) -> None:
        if name == child:
            name, value = "__class__", kind
        kind.__setattr__(self, name, value)

    package.__class__ = type(kind.__name__, (kind,), {"__setattr__": set_but_once})
