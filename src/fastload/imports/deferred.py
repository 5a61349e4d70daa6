"""A package whose submodules come first: it runs itself when somebody touches it.

`defer` is for a package that can be used in part. What is in use of it then must not tell that the
rest is missing, so whatever asks for more runs the package: a look at it, or an import of one of
its modules that is not there yet.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, Protocol

from fastload.imports import lazy_module
from fastload.imports.collector import without_collections
from fastload.imports.stand_in_loader import StandInLoader
from fastload.imports.typing_memo import with_memo


class Part(Protocol):
    """What is used of a package before the package has run."""

    def begin(self) -> None:
        """Import it."""

    def give_way(self) -> None:
        """Take back what it did that the package does itself: the package runs now."""

    def come_back(self) -> None:
        """Do it again: running the package has failed."""


def defer(package: str, part: Part) -> bool:
    """Import *part* of *package*, and leave the rest to the first touch.

    Args:
        package: the name of a package that nobody has imported.
        part: what is needed now.

    Returns:
        Whether that worked; where it did not, the package is as if nobody had tried, but for
        modules of it that did import.
    """
    if not lazy_module.SUPPORTED or package in sys.modules:
        return False
    spec = importlib.util.find_spec(package)
    if spec is None or spec.loader is None:
        return False
    rest = _Rest(package, part)
    spec.loader = _FinishingLoader(spec.loader, rest)  # type: ignore[assignment]
    sys.meta_path.insert(0, rest)
    try:
        rest.module = lazy_module.defer_after(spec, lambda: _quickly(part.begin))
    except Exception:  # noqa: BLE001 - not as expected: an ordinary import says what is wrong
        part.give_way()
    rest.is_waiting = rest.module is not None
    return rest.is_waiting


def _quickly(work: Callable[[], None]) -> None:
    without_collections(lambda: with_memo(work))


class _Rest:
    """A finder that finds nothing, but sees who asks for more of the package.

    It stays on `sys.meta_path`: were it taken out, a thread that walks the list at this moment
    would skip the next one.

    Attributes:
        module: the package.
        is_waiting: the package has not run.
    """

    def __init__(self, package: str, part: Part) -> None:
        self._prefix = f"{package}."
        self.part = part
        self.module: ModuleType | None = None
        self.is_waiting = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Run the package, if *name* is in it; that may have imported *name*."""
        del path, target
        if not self.is_waiting or not name.startswith(self._prefix):
            return None
        if self.module is not None:
            lazy_module.run(self.module)
        found = sys.modules.get(name)
        return None if found is None else _spec_of(found)


class _FinishingLoader(StandInLoader):
    """Runs the package, which was waiting."""

    def __init__(self, stock: Any, rest: _Rest) -> None:
        super().__init__(stock)
        self._rest = rest

    def exec_module(self, module: ModuleType) -> None:
        """Run *module* with nothing in its way."""
        spec = self._give_place_back(module)
        rest, rest.is_waiting = self._rest, False
        rest.part.give_way()
        try:
            self._stock.exec_module(module)
        except BaseException:
            rest.part.come_back()
            rest.is_waiting = True
            spec.loader = module.__loader__ = self  # type: ignore[assignment]
            raise


class _ThereAlready(StandInLoader):
    """Gives the module that is there; an import that had begun would run it a second time."""

    def __init__(self, stock: Any, module: ModuleType) -> None:
        super().__init__(stock)
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        self._give_place_back(module)


def _spec_of(module: ModuleType) -> ModuleSpec | None:
    spec: Final = module.__spec__
    if spec is not None:
        spec.loader = _ThereAlready(spec.loader, module)  # type: ignore[assignment]
    return spec
