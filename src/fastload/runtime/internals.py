"""Whether this installation has what `requirements` lists: each row, found or missing."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import CodeType, ModuleType
from typing import Any

from fastload.imports import light_import, linking
from fastload.runtime.importing import (
    INSTANCE,
    Feature,
    Name,
    Part,
    exists,
    first_module,
    look_up,
    untaken,
)
from fastload.runtime.requirements import FEATURES


class State(Enum):
    """What came of a look."""

    FOUND = "found"
    MISSING = "missing"
    #: It is missing, and should be: of another version, or of something that is not installed.
    ELSEWHERE = "of another version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A name that a feature needs; its module, where the name is empty.

    Attributes:
        feature: the feature.
        part: the module.
        name: the name in the module.
    """

    feature: Feature
    part: Part
    name: Name

    @property
    def module(self) -> str:
        """Where the module is here; where it is not, its newest place."""
        module = _module_of(self)
        return self.part.places("tf_keras")[0] if module is None else str(module.__name__)

    @property
    def versions(self) -> str:
        """Which versions of its package have it, as text."""
        since, before = self._bounds()
        bounds = (f">={since}" if since else "", f"<{before}" if before else "")
        return ",".join(filter(None, bounds))

    def is_expected_in(self, version: str) -> bool:
        """Say whether *version* of its package should have it."""
        since, before = self._bounds()
        is_old_enough = not before or _numbers(version) < _numbers(before)
        return is_old_enough and (not since or _numbers(since) <= _numbers(version))

    def _bounds(self) -> tuple[str, str]:
        return self.name.since or self.part.since, self.name.before or self.part.before


def rows() -> Iterator[Row]:
    """Yield all rows: of each part, its module and its names."""
    for feature in (*FEATURES, *_tables_of_imports()):
        for part in feature.parts.values():
            for name in (Name(""), *part.names):
                yield Row(feature=feature, part=part, name=name)


def _tables_of_imports() -> Iterator[Feature]:
    """Yield what `imports` lists by itself: modules of TensorFlow, by version."""
    for version, deferred in light_import.DEFERRED.items():
        names = (*deferred, *(name for names in deferred.values() for name in names))
        yield _listed(f"a lighter import of TensorFlow {version}", names, version)
    for version, names in linking.MEANWHILE.items():
        yield _listed(f"linking TensorFlow {version} in a thread", names, version)


def _listed(what: str, names: Iterable[str], version: str) -> Feature:
    major, minor = _numbers(version)
    parts = {
        name: Part((name,), "", version, f"{major}.{minor + 1}")
        for name in names
        if name.startswith("tensorflow.")
    }
    return Feature(what, parts)


def examine(row: Row) -> State:
    """Look for *row* here; imports its module."""
    package = _package_of(row)
    version = _version(package) if package else None
    module = _module_of(row)
    if version is None:
        return State.ELSEWHERE
    if module is not None and (not row.name.path or _has(module, row.name)):
        return State.FOUND
    return State.MISSING if row.is_expected_in(version) else State.ELSEWHERE


def _package_of(row: Row) -> str:
    """Return the package that *row* is of; empty where that is of another generation."""
    root = row.part.places("tf_keras")[0].partition(".")[0]
    if root == "tf_keras":
        packages = ("tf_keras", "keras")
        return next((each for each in packages if _generation(each) == "2"), "")
    if root == "keras" and (_generation(root) != "3" or not _runs_on(row.feature.backend)):
        return ""
    return root if not row.feature.backend or _runs_on(row.feature.backend) else ""


def _generation(package: str) -> str:
    version = _version(package)
    return "" if version is None else "3" if _numbers(version) >= (3,) else "2"


def _runs_on(backend: str) -> bool:
    if not backend:
        return True
    return _generation("keras") == "3" and importlib.import_module("keras").backend.backend() == (
        backend
    )


@functools.cache
def _version(package: str) -> str | None:
    try:
        version: str = importlib.import_module(package).__version__
    except ModuleNotFoundError:
        return None
    return version


def _numbers(version: str) -> tuple[int, ...]:
    """Return major and minor version.

    Example:
        >>> _numbers("2.22.0-dev20260101")
        (2, 22)
    """
    return tuple(int(number) for number in version.split(".")[:2])


def _module_of(row: Row) -> ModuleType | None:
    package = _package_of(row)
    return first_module(*row.part.places(package)) if package else None


def _has(module: Any, name: Name) -> bool:
    kind, is_of_instance, attribute = name.path.partition(f"{INSTANCE}.")
    found = look_up(module, kind)
    if not exists(found):
        return False
    if is_of_instance:
        return any(attribute in _names_of(each) for each in getattr(found, "__mro__", [found]))
    return not untaken(found, name.parameters)


def _names_of(holder: Any) -> set[str]:
    """Return the attributes of a class or function, and what its code names: it may set them."""
    found = {*vars(holder), *getattr(holder, "__annotations__", {})}
    for value in (holder, *vars(holder).values()):
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        found |= set() if code is None else _names_in(code)
    return found


def _names_in(code: CodeType) -> set[str]:
    found = {*code.co_names, *(each for each in code.co_consts if isinstance(each, str))}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= _names_in(inner)
    return found
