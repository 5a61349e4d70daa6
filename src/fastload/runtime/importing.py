"""Import modules of TensorFlow and Keras, and check what is used of them.

`requirements` lists that, feature by feature; adapters ask for a part of a feature and get the
module. A name that is missing turns off the one feature that needs it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any, Final, NamedTuple

from fastload.errors import MissingTensorFlowError, UnsupportedRuntimeError
from fastload.flags import LAZY_IMPORT, flag
from fastload.imports import light_import

_MISSING: Final = object()
#: Stands for an instance of the class before it, or for what the function before it changes.
INSTANCE: Final = "()"


class Name(NamedTuple):
    """A name in a module.

    Attributes:
        path: dotted, from the module on. `Class().name` is an attribute that instances have, and
            `function().name` one that a function sets; only `fastload doctor --internals` and
            `Feature.check` look for those.
        parameters: what fastload passes to it by name.
        since: the first version of its package that is known to have it; empty for any.
        before: the first version that is known to lack it; empty for none.
        is_needed: the feature cannot do without it.
    """

    path: str
    parameters: tuple[str, ...] = ()
    since: str = ""
    before: str = ""
    is_needed: bool = True

    @classmethod
    def parsed(cls, text: str) -> Name:
        """Read a name as `requirements` writes it.

        Example:
            >>> Name.parsed("?Loader.load[path,tags]>=2.12")
            Name(path='Loader.load', parameters=('path', 'tags'), since='2.12', before='', \
is_needed=False)
        """
        text, _, before = text.partition("<")
        text, _, since = text.partition(">=")
        path, _, parameters = text.rstrip("]").partition("[")
        taken = tuple(parameters.split(",")) if parameters else ()
        return cls(path.lstrip("?"), taken, since, before, not path.startswith("?"))


class Part(NamedTuple):
    """A module, and what is used of it.

    Attributes:
        modules: where it is, the newest place first. `{keras}` is the package of a Keras 2.
        listed: its names, as `requirements` writes them.
        since: as in `Name`, for the module as a whole.
        before: as in `Name`, for the module as a whole.
    """

    modules: tuple[str, ...]
    listed: str = ""
    since: str = ""
    before: str = ""

    @property
    def names(self) -> list[Name]:
        """Its names."""
        return [Name.parsed(each) for each in self.listed.split()]

    def places(self, package: str) -> list[str]:
        """Return where the module is, the newest place first, for the Keras 2 in *package*."""
        return [module.format(keras=package) for module in self.modules]


class Feature(NamedTuple):
    """Something that fastload does with private names.

    Attributes:
        what: how messages call it: "..., which WHAT needs".
        parts: the modules that it takes, by the names that adapters use.
        backend: the backend of Keras 3 that it is for; empty for any.
    """

    what: str
    parts: dict[str, Part]
    backend: str = ""

    def part(self, name: str, package: str = "") -> Any:
        """Import the part called *name* and return its module.

        Args:
            name: a key of `parts`.
            package: the package of a Keras 2, where the part is of one.

        Raises:
            MissingTensorFlowError: the distribution that holds it is not installed.
            UnsupportedRuntimeError: this version lacks the module, or a name that is needed.
        """
        part = self.parts[name]
        module = self._imported(part, package)
        self._require(module, part)
        return module

    def optional(self, name: str, package: str = "") -> Any:
        """Import the part called *name* and return its module; None if there is none.

        Raises:
            UnsupportedRuntimeError: there is one, and it lacks a name that the feature needs.
        """
        part = self.parts[name]
        module = first_module(*part.places(package))
        if module is not None:
            self._require(module, part)
        return module

    def loaded(self, name: str) -> Any:
        """Return the module of the part called *name*; None if nobody has imported it."""
        found = (sys.modules.get(place) for place in self.parts[name].modules)
        return next((module for module in found if module is not None), None)

    def check(self, holder: object, kind: str) -> None:
        """Check that *holder*, which is a *kind*, has what the feature needs of it.

        Args:
            holder: a class, or an instance.
            kind: how `Name.path` calls it: `Class`, or `Class()` for an instance.

        Raises:
            UnsupportedRuntimeError: it lacks a name.
        """
        label = getattr(holder, "__qualname__", type(holder).__qualname__)
        for part in self.parts.values():
            for each in part.names:
                owner, _, attribute = each.path.rpartition(".")
                if owner == kind and each.is_needed and not hasattr(holder, attribute):
                    raise self._lacking(f"{label} has no {attribute!r}")

    def _imported(self, part: Part, package: str) -> Any:
        places = part.places(package)
        for place in places:
            with suppress(UnsupportedRuntimeError):
                return import_module(place)
        raise self._lacking(f"there is no module {' or '.join(places)}")

    def _require(self, module: ModuleType, part: Part) -> None:
        for name in part.names:
            if not name.is_needed or INSTANCE in name.path:
                continue
            found = look_up(module, name.path)
            if not exists(found):
                raise self._lacking(f"{module.__name__} has no {name.path!r}")
            for parameter in untaken(found, name.parameters):
                raise self._lacking(f"{module.__name__}.{name.path} takes no {parameter!r}")

    def _lacking(self, what: str) -> UnsupportedRuntimeError:
        return UnsupportedRuntimeError(
            f"{what}, which {self.what} needs: this version is not known to fastload"
        )


def look_up(holder: object, path: str) -> Any:
    """Return what the dotted *path* leads to from *holder*, or something that `exists` denies."""
    for attribute in path.split("."):
        holder = getattr(holder, attribute, _MISSING)
    return holder


def exists(found: object) -> bool:
    """Say whether `look_up` found anything."""
    return found is not _MISSING


def untaken(function: Any, parameters: tuple[str, ...]) -> list[str]:
    """Return those of *parameters* that *function* does not take."""
    return [name for name in parameters if name not in _parameters_of(function)]


@functools.cache
def _parameters_of(function: Any) -> frozenset[str]:
    import inspect

    return frozenset(inspect.signature(function).parameters)


def import_module(name: str) -> Any:
    """Import *name*; a missing distribution becomes an error that says which extra brings it.

    Raises:
        MissingTensorFlowError: the distribution that holds *name* is not installed.
        UnsupportedRuntimeError: it is installed, and has no module of this name.
    """
    root = name.partition(".")[0]
    if importlib.util.find_spec(root) is None:
        raise MissingTensorFlowError(root)
    make_lighter()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_of_it = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        if not is_of_it or error.name == root:
            raise
        raise UnsupportedRuntimeError(
            f"{root} has no module {name!r}: this version is not known to fastload"
        ) from error


def make_lighter() -> None:
    """Have TensorFlow, if this load is the first to import it, come in less time."""
    if "tensorflow" not in sys.modules and flag(os.environ, LAZY_IMPORT, unset=True):
        light_import.add()


def first_module(*names: str) -> ModuleType | None:
    """Import and return the first of *names* that exists, or None."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return None
