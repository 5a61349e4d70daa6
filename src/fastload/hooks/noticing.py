"""A loader that has the hooks installed just before TensorFlow or Keras runs.

Imported when one of them is looked for, which may be all: it imports nothing that installs them.
"""

from fastload.imports.frames import as_importlib
from fastload.imports.lazy_module import StandInLoader

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class NoticingLoader(StandInLoader):
    """Stands in for a stock loader until the module is run, and tells of that."""

    def __init__(self, stock: "Any", notice: "Callable[[ModuleSpec], None]") -> None:
        super().__init__(stock)
        self._notice = notice

    @as_importlib
    def exec_module(self, module: "ModuleType") -> None:
        """Run *module* by the loader that its spec has after the notice."""
        spec: Any = self._give_place_back(module)
        self._notice(spec)
        module.__loader__ = spec.loader
        spec.loader.exec_module(module)
