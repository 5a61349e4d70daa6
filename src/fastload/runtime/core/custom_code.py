"""The program's own classes and functions as a number: what they compute, as far as code says it.

It covers their methods, with defaults, closures and constants, and what these read of the modules
around them, the program's own functions and classes and so on. What TensorFlow, Keras, numpy and
the standard library do is not part of it.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from fastload.runtime.core.code_facts import PLAIN, SKIPPED, Facts, module_of, name_of
from fastload.runtime.core.code_places import codes_in, held_by, names_in, parts_of

_LIBRARIES: Final = frozenset(
    {"fastload", "jax", "keras", "numpy", "tensorflow", "tf_keras", "torch"}
)

_CONTAINERS: Final = frozenset({tuple, list, dict, property, staticmethod, classmethod})


def number_of(objects: Iterable[Any]) -> int:
    """Return a number that other code does not have.

    Args:
        objects: custom classes and functions.
    """
    facts = Facts(frozenset())
    waiting: list[tuple[str, Any]] = [("", each) for each in objects]
    seen, found = set[int](), set[str]()
    for label, each in waiting:  # which grows
        found.add(f"{label} {facts.of(each)}")
        if id(each) not in seen:
            seen.add(id(each))
            waiting += (item for item in _read_by(each) if _counts(item[1]))
    return zlib.crc32("\n".join(sorted(found)).encode())


def _read_by(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what belongs to *value*, or is read by its code, each with its name."""
    name = getattr(value, "__qualname__", "")
    if issubclass(type(value), type):
        spaces = [vars(kind) for kind in value.__mro__ if not _is_of_library(module_of(kind))]
        for key in (key for space in spaces for key in space.keys() - SKIPPED):
            yield f"{name}.{key}", next(space[key] for space in spaces if key in space)
    elif type(value) is FunctionType:
        yield from ((name, each) for each in held_by(value))
        for code in codes_in(value.__code__):
            yield from _named(code, value.__globals__)
    else:
        yield from ((name, each) for each in parts_of(value))


def _named(code: CodeType, space: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for holder in (space, *_modules_in(space, code)):
        yield from ((name, holder[name]) for name in names_in([code]) if name in holder)


def _counts(value: Any) -> bool:
    kind = type(value)
    if issubclass(kind, type):
        return not _is_of_library(module_of(value))
    if kind is FunctionType:
        return not _is_of_library(str(value.__module__))
    return kind in PLAIN or kind in _CONTAINERS


def _modules_in(space: dict[str, Any], code: CodeType) -> Iterator[dict[str, Any]]:
    """Yield the namespaces of the program's modules that *code* names."""
    for name in code.co_names:
        value = space.get(name)
        if type(value) is ModuleType and not _is_of_library(str(name_of(value))):
            yield vars(value)


def _is_of_library(module: str) -> bool:
    root = module.partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names
