"""What modules, classes and functions are made of, as numbers to compare across processes.

Equal numbers stand for equal code, defaults, closures and constants, and for functions and classes
of the same names. An object that is nothing of the kind stands for its class and, if that is
TensorFlow's or Keras's, for what it holds by the names that were asked for.
"""

from __future__ import annotations

import functools
import marshal
import sys
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

import numpy as np

#: Whose objects count by what they hold, besides arrays.
_PACKAGES: Final = frozenset({"keras", "tensorflow", "tf_keras"})
#: Our own patches stand for what they wrap.
_OURS: Final = str(Path(__file__).parents[2])
#: What `marshal` writes alike in every process.
PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
_OF_IMPORTS: Final = (
    "abstractmethods all annotations builtins cached class_getitem dict doc file loader module "
    "name orig_bases package parameters path qualname spec weakref"
)
#: Written by the import system, and read by no function that computes.
SKIPPED: Final = frozenset(f"__{name}__" for name in _OF_IMPORTS.split())
#: How deep values are looked into.
DEEPEST: Final = 3
_LONGEST: Final = 200
_VERSION: Final = 2  # of `marshal`: the last that writes no references, which come by chance


class Facts:
    """Describes values.

    Args:
        names: the names by which the code in question reads attributes.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._found: dict[int, Any] = {}
        self._kinds: dict[type, _Kind] = {}
        #: How deep what was described in part was found; found less deep, more of it counts.
        self._cut: dict[int, int] = {}
        self._is_cut = False
        #: Keeps ids from being reused.
        self._kept: list[Any] = []

    def of_holder(self, holder: Any, names: Iterable[str]) -> int:
        """Return the number of what stands under *names* in a module or class.

        Args:
            holder: the module or class.
            names: those that count; how many others there are counts as well.
        """
        space: Mapping[str, Any] = vars(holder)
        there = self._names.intersection(space)  # in this order: it goes through the smaller one
        count = len(there)
        if "__path__" in space:
            # Submodules may be imported or not.
            count -= sum(_is_submodule(space[name], f"{holder.__name__}.{name}") for name in there)
        values = [space.get(name) for name in names]
        facts = [each if type(each) in PLAIN else self.of(each) for each in values]
        if _is_of_keras(holder):
            facts = list(map(_in_any_order, values, facts))
        return _number((count, facts))

    def of_objects(self, objects: Iterable[Any]) -> int:
        """Return the number of what *objects* hold, by their places where they hold each other."""
        given = list(objects)
        self._kept += given
        self._found |= {id(each): f"object {place}" for place, each in enumerate(given)}
        return _number([self._object(each, 0) for each in given])

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the fact that *value* stands for: something plain."""
        kind = type(value)
        if kind in PLAIN:
            return value
        found, key = self._found, id(value)
        if key in found and not self._would_be_longer(key, depth):
            return found[key]
        found[key] = kind.__qualname__  # for what holds itself
        self._kept.append(value)
        is_outer_cut, self._is_cut = self._is_cut, False
        describe = _BY_KIND.get(kind)
        fact = (
            self._other(value, kind, depth)
            if describe is None
            else describe(self, value, depth + 1)
        )
        found[key] = fact
        if self._is_cut:
            self._cut[key] = depth
        self._is_cut |= is_outer_cut
        return fact

    def _would_be_longer(self, key: int, depth: int) -> bool:
        """Say whether a fact is of a value that was found deeper, and described in part."""
        was_at = self._cut.get(key)
        if was_at is None:
            return False
        if was_at > depth:
            del self._cut[key]
            return True
        self._is_cut = True
        return False

    def _short(self, value: Any, depth: int) -> str | None:
        """Return what a container stands for that is too deep or too long; None for others."""
        self._is_cut |= depth > DEEPEST
        return type(value).__qualname__ if depth > DEEPEST or len(value) > _LONGEST else None

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        known = self._kinds.get(kind) or self._kind(kind)
        if known.is_class:
            return f"class {module_of(value)}.{value.__qualname__} {_is_at_its_place(value)}"
        if known.is_module:
            return f"module {name_of(value)}"
        if known.is_array:
            return f"{known.label} {content_of(value)}"
        return self._object(value, depth)

    def _kind(self, kind: type) -> _Kind:
        self._kinds[kind] = known = _Kind(kind)
        return known

    def _object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        known = self._kinds.get(kind) or self._kind(kind)
        self._is_cut |= known.counts and depth > DEEPEST
        state = getattr(value, "__dict__", None) if known.counts and depth <= DEEPEST else None
        if type(state) is not dict:
            return known.label
        # TensorFlow's variables fill caches of their own; Keras counts its tensors.
        if known.is_tensor:
            return f"{known.label} {value.dtype} {value.shape}"
        if known.is_lazy:  # it may have been imported or not
            name = str(state.get("name"))
            return f"{known.label} {name} {_is_installed(name.partition('.')[0])}"
        names, of, plain, depth = self._names, self.of, PLAIN, depth + 1
        held = [
            (name, each if type(each) in plain else of(each, depth))
            for name, each in state.items()
            if name in names
        ]
        if known.is_local:
            held = sorted((item for item in held if not _is_default(*item)), key=str)
        return _number((known.label, held))

    def _function(self, function: Any, depth: int) -> Any:
        code = function.__code__
        if code.co_filename.startswith(_OURS) and hasattr(function, "__wrapped__"):
            return self.of(function.__wrapped__, depth)
        module = function.__globals__.get("__name__")
        defaults, named = function.__defaults__, function.__kwdefaults__
        closure = function.__closure__
        if not (defaults or named or closure):
            return _number((_code_number(code), module))
        held = (
            self._many(defaults or (), depth),
            self._mapping(named or {}, depth),
            [self._cell(cell, depth) for cell in closure or ()],
        )
        return _number((_code_number(code), module, *held))

    def _cell(self, cell: Any, depth: int) -> Any:
        try:
            value = cell.cell_contents
        except ValueError:
            return "empty"
        return value if type(value) in PLAIN else self.of(value, depth)

    def _many(self, values: Any, depth: int) -> Any:
        if (short := self._short(values, depth)) is not None:
            return short
        of, plain = self.of, PLAIN
        return [value if type(value) in plain else of(value, depth) for value in values]

    def _mapping(self, values: Mapping[Any, Any], depth: int) -> Any:
        if (short := self._short(values, depth)) is not None:
            return short
        of, plain = self.of, PLAIN
        return [
            (
                key if type(key) in plain else of(key, depth),
                value if type(value) in plain else of(value, depth),
            )
            for key, value in values.items()
        ]

    def _unordered(self, values: Any, depth: int) -> Any:
        if (short := self._short(values, depth)) is not None:
            return short
        return sorted(repr(self.of(value, depth)) for value in values)


class _Kind:
    """What counts of all instances of a class, found out once: most have many."""

    __slots__ = (
        *("counts", "is_array", "is_class", "is_lazy", "is_local", "is_module", "is_tensor"),
        "label",
    )

    def __init__(self, kind: type) -> None:
        # `isinstance` would ask proxies, and run modules that wait for their first access.
        self.is_class = issubclass(kind, type)
        self.is_module = issubclass(kind, ModuleType)
        self.is_local = issubclass(kind, threading.local)
        self.is_array = issubclass(kind, (np.ndarray, np.generic))
        self.is_tensor = hasattr(kind, "handle") or kind.__qualname__ == "KerasTensor"
        self.is_lazy = kind.__qualname__ == "LazyModule"
        self.label = f"{module_of(kind)}.{kind.__qualname__}"
        self.counts = has_state(kind)


def content_of(array: Any) -> str:
    """Return what stands for the values of an array or a number of numpy's."""
    values = np.asarray(array)
    content = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
    return f"{values.dtype} {values.shape} {zlib.crc32(content)}"


def _is_default(name: str, fact: Any) -> bool:
    """Say whether a thread's attribute means the same as its absence.

    The global dtype policy, which Keras notes at its first use, is part of every key, and so is
    the learning phase, which a load may set (`keras.tracing_choices`).
    """
    is_in_keys = name in ("dtype_policy", "learning_phase_is_set")
    return fact in (None, [], {}) or (name, fact) == ("tracking_on", True) or is_in_keys


def holder_at(module: str, path: str) -> Any:
    """Return a module, or the class at *path* in it; None if there is none."""
    found: Any = sys.modules.get(module)
    for name in path.split(".") if path else ():
        found = None if found is None else vars(found).get(name)
        found = found if issubclass(type(found), type) else None
    return found


def state_of(value: Any, kind: type) -> dict[str, Any] | None:
    """Return the attributes of an object of TensorFlow's or Keras's, or of a thread.

    Args:
        value: any object.
        kind: its class.
    """
    state = getattr(value, "__dict__", None) if has_state(kind) else None
    return state if type(state) is dict else None


def has_state(kind: type) -> bool:
    """Say whether objects of a class count by what they hold."""
    is_theirs = module_of(kind).partition(".")[0] in _PACKAGES
    return is_theirs or issubclass(kind, threading.local)


#: Numbers of code that was described in this process, and the code, which does not change.
_KNOWN: Final[dict[int, tuple[CodeType, int]]] = {}


def _code_number(code: CodeType) -> int:
    known = _KNOWN.get(id(code))
    if known is None:
        _KNOWN[id(code)] = known = (code, _number(_of_code(code)))
    return known[1]


def _of_code(code: CodeType) -> tuple[Any, ...]:
    constants: Any = code.co_consts
    if not _NOT_IN_ORDER.isdisjoint(map(type, constants)):
        constants = [_constant(each) for each in constants]
    place = (code.co_filename, code.co_firstlineno, code.co_flags)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    names = (code.co_names, code.co_varnames, code.co_freevars)
    return (*place, *counts, *names, code.co_code, constants)


#: Constants that may hold sets, whose order differs by process.
_NOT_IN_ORDER: Final = frozenset({CodeType, frozenset, tuple})


def _constant(value: Any) -> Any:
    kind = type(value)
    if kind is CodeType:
        return _of_code(value)
    if kind is frozenset:
        return sorted(map(repr, value))
    return [_constant(each) for each in value] if kind is tuple else value


def _is_of_keras(holder: Any) -> bool:
    name = name_of(holder) if issubclass(type(holder), ModuleType) else module_of(holder)
    return str(name).partition(".")[0] in ("keras", "tf_keras")


def _in_any_order(value: Any, fact: Any) -> Any:
    """Sort the fact of a table: Keras makes some of sets, whose order differs by process."""
    return sorted(fact, key=repr) if type(value) is dict and type(fact) is list else fact


@functools.cache
def _is_installed(name: str) -> bool:
    return PathFinder.find_spec(name) is not None


def _number(facts: Any) -> int:
    try:
        return zlib.crc32(marshal.dumps(facts, _VERSION))
    except ValueError:  # a constant of a kind that this version cannot write
        return zlib.crc32(repr(facts).encode())


def name_of(module: ModuleType) -> Any:
    """Return the name of a module without an access to it, which may run it."""
    return object.__getattribute__(module, "__dict__").get("__name__")


def module_of(kind: type) -> str:
    """Return the name of the module that says that it defines a class."""
    name = kind.__module__
    return name if type(name) is str else ""


def _is_submodule(value: Any, name: str) -> bool:
    return issubclass(type(value), ModuleType) and name_of(value) == name


def _is_at_its_place(kind: type) -> bool:
    return holder_at(module_of(kind), kind.__qualname__) is kind


def _wrapping(attribute: str) -> Callable[[Facts, Any, int], Any]:
    """Return what describes an object that is made of a function."""

    def describe(facts: Facts, value: Any, depth: int) -> Any:
        return (type(value).__qualname__, facts.of(getattr(value, attribute), depth))

    return describe


def _native(facts: Facts, value: Any, depth: int) -> str:
    return f"native {value.__qualname__}"


_BY_KIND: Final[dict[type, Callable[[Facts, Any, int], Any]]] = {
    FunctionType: Facts._function,
    staticmethod: _wrapping("__func__"),
    classmethod: _wrapping("__func__"),
    property: lambda facts, value, depth: (
        facts.of(value.fget, depth),
        facts.of(value.fset, depth),
    ),
    functools.cached_property: _wrapping("func"),
    type(functools.lru_cache(len)): _wrapping("__wrapped__"),
    MethodType: lambda facts, value, depth: (
        facts.of(value.__func__, depth),
        facts.of(value.__self__, depth),
    ),
    functools.partial: lambda facts, value, depth: (
        facts.of(value.func, depth),
        facts._many(value.args, depth),
        facts._mapping(value.keywords, depth),
    ),
    tuple: Facts._many,
    list: Facts._many,
    dict: Facts._mapping,
    defaultdict: lambda facts, value, depth: (
        facts.of(value.default_factory, depth),
        facts._mapping(value, depth),
    ),
    set: Facts._unordered,
    frozenset: Facts._unordered,
    **dict.fromkeys(
        (
            BuiltinFunctionType,
            ClassMethodDescriptorType,
            GetSetDescriptorType,
            MemberDescriptorType,
            MethodDescriptorType,
            MethodWrapperType,
            WrapperDescriptorType,
        ),
        _native,
    ),
}
