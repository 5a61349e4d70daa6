"""A loader that stands in for the stock loader until a module is run."""

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class StandInLoader:
    """Looks like the stock loader, and puts it back in its place before the module is run."""

    def __init__(self, stock: "Any") -> None:
        self._stock = stock

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._stock, name)

    def __repr__(self) -> str:
        return repr(self._stock)

    @property  # type: ignore[misc]
    def __class__(self) -> "type[Any]":
        """The class of the stock loader, for programs that call `isinstance`."""
        return type(self._stock)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Create what the stock loader creates."""
        created: ModuleType | None = self._stock.create_module(spec)
        return created

    def exec_module(self, module: "ModuleType") -> None:
        """Run *module* as the stock loader does."""
        self._give_place_back(module)
        self._stock.exec_module(module)

    def _give_place_back(self, module: "ModuleType") -> "ModuleSpec":
        spec = module.__spec__
        assert spec is not None  # noqa: S101 - for mypy: the import system has set it
        spec.loader = module.__loader__ = self._stock
        return spec
