"""A deferred package: a part of its submodules is imported first, the package itself on demand.

`defer` is for a package of which a part can be used alone. Nobody must notice that the rest is
missing, so the package runs on its first access, and when one of its modules is imported that has
not been imported yet.
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
from fastload.imports.lazy_module import StandInLoader
from fastload.imports.light_import import with_memo


class Part(Protocol):
    """The part of a package that is used before the package has run."""

    def begin(self) -> None:
        """Import the part."""

    def end(self) -> None:
        """Remove what stood in for the package, which has run now."""


def defer(package: str, part: Part, companions: Collection[str] = ()) -> bool:
    """Import *part* of *package*, and defer the rest until the first access.

    If importing *part* fails, the whole package is imported.

    Args:
        package: the name of a package.
        part: what is needed now.
        companions: packages that the package imports and that import it. The package runs before
            they are imported: otherwise a thread that imports one of them and a thread that runs
            the package could wait for each other.

    Returns:
        Whether the package is deferred now.

    Raises:
        Exception: what importing the whole package raises.
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
    """A finder that runs the package when another of its modules is imported; it finds nothing.

    It stays on `sys.meta_path`: if it were removed, a thread that iterates over the list could skip
    the next finder.
    """

    def __init__(self, package: str, companions: Collection[str]) -> None:
        self._package, self._prefix = package, f"{package}."
        self._companions = companions

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Run the package before *name* is imported; that may import *name* as well."""
        del path
        if not name.startswith(self._prefix) and name not in self._companions:
            return None
        package = sys.modules.get(self._package)
        if package is not None and not lazy_module.is_running_here(package):
            # Not if another thread has imported *name* meanwhile, as a module of the part.
            lazy_module.run(package, unless=lambda: name in sys.modules)
        is_import = target is None and lazy_module.is_importing_here(name)
        return _spec_of(name) if is_import and name in sys.modules else None


class _FinishingLoader(StandInLoader):
    """Runs the deferred package."""

    def __init__(self, stock: Any, part: Part) -> None:
        super().__init__(stock)
        self._part = part

    def exec_module(self, module: ModuleType) -> None:
        """Run *module*; if that fails, stay its loader, for the next attempt."""
        spec = self._give_place_back(module)
        try:
            _with_random_numbers_kept(lambda: self._stock.exec_module(module))
        except BaseException:
            spec.loader = module.__loader__ = self  # type: ignore[assignment]
            raise
        self._part.end()


def _with_random_numbers_kept(work: Callable[[], None]) -> None:
    """Call *work*, and restore the state of `random`: *work* draws numbers, which must not show.

    If other threads could draw meanwhile, the state is not restored: they would draw numbers twice.
    """
    state = random.getstate() if threading.active_count() == 1 else None
    try:
        work()
    finally:
        if state is not None:
            random.setstate(state)


class _ThereAlready(StandInLoader):
    """Returns the existing module, for an import that had begun and would run it a second time."""

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
    """Return the spec of *name*, which was imported while the import system looked for it."""
    spec = sys.modules[name].__spec__
    if spec is not None:
        spec.loader = _ThereAlready(spec.loader, name)  # type: ignore[assignment]
    return spec


def _ignore_binding(package: ModuleType, child: str) -> None:
    """Have *package* keep its value of *child* when the import system binds the module to it."""
    kind = type(package)

    def set_but_once(self: ModuleType, name: str, value: Any) -> None:
        if name == child:
            name, value = "__class__", kind
        kind.__setattr__(self, name, value)

    package.__class__ = type(kind.__name__, (kind,), {"__setattr__": set_but_once})
