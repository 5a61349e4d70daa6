"""Where code that ran was found, and what it could read there: the places of a code record.

A place is a module or a class. Those count in which a function is that ran; those that such code
can get to by the names in it; and the classes that a method is inherited to, which could have one
of their own. Of the standard library, only what ran counts.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from fastload.runtime.core.code_facts import (
    DEEPEST,
    PLAIN,
    SKIPPED,
    holder_at,
    module_of,
    name_of,
    state_of,
)
from fastload.runtime.core.global_state import KERAS3_NAMES
from fastload.runtime.requirements import OF_CACHES

_OF_PYTHON: Final = (
    "abs add and array array_priority array_ufunc bool bytes call ceil complex contains copy "
    "deepcopy delattr delete delitem dir divmod dlpack enter eq exit float floor floordiv format "
    "ge get getattr getattribute getitem gt hash iadd iand ilshift imatmul imod imul index init "
    "init_subclass instancecheck int invert ior ipow irshift isub iter itruediv ixor le len "
    "length_hint lshift lt matmul missing mod mro_entries mul ne neg new next or pos pow radd rand "
    "rdivmod reduce reduce_ex repr reversed rfloordiv rlshift rmatmul rmod rmul ror round rpow "
    "rrshift rshift rsub rtruediv rxor set set_name setattr setitem str sub subclasscheck "
    "tf_dispatch tf_tracing_type truediv trunc xor"
)
#: Attributes that Python and TensorFlow read without naming them.
_SPECIAL: Final = frozenset(f"__{name}__" for name in _OF_PYTHON.split())
#: Files that AutoGraph writes, and how it calls what was a function in another one.
_GENERATED: Final = "__autograph_generated_file"
_CONVERTED: Final = "tf__"
#: Packages that keep some of their functions where no name leads to.
_TOOLS: Final = frozenset({"astunparse", "gast", "numpy"})
#: Whose code takes part in every trace. What any other reads may be anything: objects whose values
#: nobody could compare, files, the environment.
_LIBRARIES: Final = frozenset(
    {
        *("absl", "astunparse", "flatbuffers", "gast", "google", "h5py", "keras", "ml_dtypes"),
        *("namex", "numpy", "opt_einsum", "optree", "packaging", "rich", "six", "tensorflow"),
        *("termcolor", "tf_keras", "typing_extensions", "wrapt"),
    }
)
_OURS: Final = str(Path(__file__).parents[2])
_FILLED: Final = frozenset(
    [
        KERAS3_NAMES,
        *(name.path.rpartition(".")[2] for part in OF_CACHES.parts.values() for name in part.names),
    ]
)


class Places:
    """Collects places.

    Args:
        ran: the code that ran.
        kinds: classes of objects that took part.
    """

    def __init__(self, ran: frozenset[CodeType], kinds: Iterable[type]) -> None:
        self._ran = ran
        self._kinds = list(kinds)
        self._converted = {_original_name(each) for each in ran} - {""}
        #: Code is compared where one of its name ran: to hash code is slow.
        self._called = self._converted | {each.co_name for each in ran}
        self._answers: dict[int, tuple[Any, bool]] = {}
        self._around = frozenset[CodeType]()
        self._roots = _modules_of(ran)
        self._makers: set[str] = set()
        self.names: frozenset[str] = frozenset()
        #: Code of functions that ran and are in places of libraries; some of it was converted.
        self._counted: set[CodeType] = set()
        self._read = _read_of_modules(self._roots, ran)
        self._waiting: list[_Holder] = []
        self._seen: set[int] = set()

    def collect(self) -> list[tuple[str, str, list[str]]]:
        """Return module, path of a class or nothing, and the names that count there.

        Raises:
            LookupError: code that ran is the program's own, or found nowhere.
        """
        found, missing = self._collected()
        if missing:
            self._around = missing  # nothing that these functions are around ran
            found, missing = self._collected()
        for code in missing:
            raise LookupError(f"{code.co_name} of {code.co_filename} is found nowhere")
        for code in self._counted:
            _require_of_libraries(code)
        return found

    def _collected(self) -> tuple[list[tuple[str, str, list[str]]], frozenset[CodeType]]:
        """Return the places, and the code that is in none."""
        self._answers = {}
        self._makers = set(self._makers_in(self._roots)) - _FILLED
        self.names = (names_in(self._ran) | self._makers) - SKIPPED - _FILLED
        self._waiting, self._seen, self._counted = [], set(), set()
        for module, _ in self._read.values():
            self._reach(module)
        for kind in self._kinds:
            self._reach_class(kind, is_hot=True)
        for holder in self._waiting:  # which grows
            self._search(holder)
        hot = {each.value for each in self._waiting if each.is_hot}
        found, placed = [], set[CodeType]()
        for holder in self._waiting:
            if holder.is_at_its_place and (holder.is_module or _inherits(holder.value, hot)):
                placed |= holder.codes
                found.append((holder.module, holder.path, holder.names))
        return found, frozenset(self._unexplained(self._ran - placed))

    def _unexplained(self, codes: Iterable[CodeType]) -> Iterator[CodeType]:
        let_off = {vars(each.value).get("__file__") for each in self._waiting if _is_let_off(each)}
        for code in codes:
            if not (code.co_filename in let_off or _is_made(code)):
                yield code

    def _search(self, holder: _Holder) -> None:
        read = self.names
        if holder.is_module:
            read = read & (self._makers | self._read[id(holder.value)][1])
        for name, value in list(vars(holder.value).items()):
            if name in read and self._counts(holder, name, value):
                holder.names.append(name)
            elif name in _FILLED:
                holder.codes.update(codes_in(value))
            elif issubclass(type(value), type):
                self._reach_own(holder, value)

    def _counts(self, holder: _Holder, name: str, value: Any) -> bool:
        if issubclass(type(value), ModuleType):
            return bool(name_of(value) != f"{holder.module}.{name}")
        if issubclass(type(value), type):
            self._reach_own(holder, value)
            self._reach_class(value)
            return True
        if type(value) in PLAIN or not (type(value) is FunctionType or any(codes_in(value))):
            return _is_searched(holder.module)
        if not self._has_run(value):
            return False
        holder.is_hot = True
        found = set(codes_in(value))
        holder.codes |= found
        if holder.module.partition(".")[0] in _LIBRARIES:
            self._counted |= {
                code for code in found if code in self._ran or code.co_name in self._converted
            }
        return True

    def _reach_own(self, holder: _Holder, kind: type) -> None:
        if module_of(kind) == holder.module:
            self._reach(kind)  # a method of it may have run, whoever calls the class

    def _has_run(self, value: Any) -> bool:
        """Say whether a function that *value* is, holds or wraps ran.

        Of a function around another one, the other one says so: the code around is shared by many.
        """
        if type(value) in PLAIN:
            return False
        known = self._answers.get(id(value))
        if known is None:  # with the value, which keeps its id
            self._answers[id(value)] = known = (value, self._finds_what_ran(value))
        return known[1]

    def _finds_what_ran(self, value: Any) -> bool:
        if type(value) is FunctionType and _holds_nothing(value):  # as most do
            return self._ran_itself(value.__code__, is_around=False)
        waiting, seen = [(value, 0)], set()
        for each, depth in waiting:  # which grows
            if id(each) in seen or type(each) in PLAIN:
                continue
            seen.add(id(each))
            if type(each) is FunctionType:
                inner = [held for held in closure_of(each) if type(held) is FunctionType]
                if self._ran_itself(each.__code__, is_around=bool(inner)):
                    return True
                waiting += [(held, 0) for held in (inner or held_by(each))]
            elif depth <= DEEPEST:
                waiting += [(held, depth + 1) for held in parts_of(each)]
        return False

    def _ran_itself(self, code: CodeType, *, is_around: bool) -> bool:
        ran = self._around if is_around else self._ran
        name = code.co_name
        if name in self._called and (name in self._converted or code in ran):
            return True
        nested = [each for each in code.co_consts if type(each) is CodeType]
        return any(self._ran_itself(each, is_around=is_around) for each in nested)

    def _makers_in(self, modules: Iterable[ModuleType]) -> Iterator[str]:
        """Yield the names of functions that hold code that ran: they may have run before."""
        waiting: list[Any] = list(modules)
        seen = set(map(id, waiting))
        for holder in waiting:  # which grows
            for name, value in list(vars(holder).items()):
                if issubclass(type(value), type):
                    if module_of(value) == _module_of(holder) and id(value) not in seen:
                        seen.add(id(value))
                        waiting.append(value)
                elif self._has_run(value):
                    yield name

    def _reach_class(self, kind: type, *, is_hot: bool = False) -> None:
        for each in kind.__mro__:
            if _is_searched(module_of(each)):
                self._reach(each, is_hot=is_hot and each is kind)

    def _reach(self, value: Any, *, is_hot: bool = False) -> None:
        if id(value) not in self._seen:
            self._seen.add(id(value))
            self._waiting.append(_Holder(value=value, is_hot=is_hot))


@dataclass(slots=True, kw_only=True)
class _Holder:
    """A module or class that is searched.

    Attributes:
        value: the module or class.
        is_hot: a function of it ran, or an object of it took part.
        names: what counts in it.
        codes: the code of functions that count.
    """

    value: Any
    is_hot: bool
    names: list[str] = field(default_factory=list)
    codes: set[CodeType] = field(default_factory=set)

    @property
    def is_module(self) -> bool:
        return isinstance(self.value, ModuleType)

    @property
    def module(self) -> str:
        return _module_of(self.value)

    @property
    def path(self) -> str:
        return "" if self.is_module else self.value.__qualname__

    @property
    def is_at_its_place(self) -> bool:
        return holder_at(self.module, self.path) is self.value


def _read_of_modules(
    roots: Iterable[ModuleType], ran: Iterable[CodeType]
) -> dict[int, tuple[ModuleType, set[str]]]:
    """Return modules, by id, with the names that code can read of each.

    That is its own code, and any that gets to it by names of its own.
    """
    homes = {vars(each).get("__file__") or f"<frozen {each.__name__}>": each for each in roots}
    found: dict[int, tuple[ModuleType, set[str]]] = {id(each): (each, set()) for each in roots}
    for code in ran:
        names = names_in([code])
        imported = [sys.modules[name] for name in names & sys.modules.keys() if "." in name]
        waiting = [*filter(None, [homes.get(code.co_filename)]), *imported]
        for module in waiting:  # which grows
            space = vars(module)
            read = names.intersection(space)
            found.setdefault(id(module), (module, set()))[1].update(read)
            reached = (space[name] for name in read)
            waiting += [each for each in reached if _is_alias(each) and each not in waiting]
    return found


def _is_alias(value: Any) -> bool:
    return type(value) is ModuleType and _is_searched(str(name_of(value)))


def names_in(ran: Iterable[CodeType]) -> frozenset[str]:
    """Return the names by which code can read something, those in its strings included."""
    names = set(_SPECIAL)
    for code in ran:
        names.update(code.co_names, (code.co_name,), _strings(code.co_consts))
    return frozenset(names)


def _strings(constants: Iterable[Any]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str) and constant.isidentifier():
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            yield from _strings(constant)


def _modules_of(ran: Iterable[CodeType]) -> list[ModuleType]:
    files = {each.co_filename for each in ran}
    found = {
        id(module): module
        for name, module in sorted(sys.modules.items())
        if type(module) is ModuleType
        and (vars(module).get("__file__") in files or f"<frozen {name}>" in files)
        and not name.startswith(("fastload.", _GENERATED))
    }
    return list(found.values())


def _require_of_libraries(code: CodeType) -> None:
    """Check that code is not a program's own.

    Raises:
        LookupError: it is.
    """
    if not (_is_made(code) or code.co_filename.startswith(_folders())):
        raise LookupError(f"{code.co_name} of {code.co_filename} is the program's own")


def _folders() -> tuple[str, ...]:
    """Return where the code of these libraries is, and Python's own."""
    return _folders_of(tuple(name for name in _LIBRARIES if name in sys.modules))


@functools.cache
def _folders_of(libraries: tuple[str, ...]) -> tuple[str, ...]:
    spaces = [vars(sys.modules[name]) for name in libraries]
    # Packages that are loaded late have None for one or the other, or in it.
    paths = [each for space in spaces for each in space.get("__path__") or ()]
    packages = {str(Path(each)) for each in paths if isinstance(each, str)}
    files = {str(space["__file__"]) for space in spaces if space.get("__file__")}
    python = Path(sysconfig.get_path("stdlib"))
    packages |= {str(python / name) for name in sys.stdlib_module_names}
    return (*files, *(f"{each}{end}" for each in packages for end in (os.sep, ".py")))


def _module_of(holder: Any) -> str:
    return module_of(holder) if isinstance(holder, type) else str(holder.__name__)


@functools.cache
def _is_searched(module: str) -> bool:
    root = module.partition(".")[0]
    return root not in sys.stdlib_module_names and root != "fastload"


def _inherits(kind: type, hot: set[Any]) -> bool:
    return not hot.isdisjoint(kind.__mro__)


def _original_name(code: CodeType) -> str:
    """Return how the function was called that AutoGraph converted to *code*; nothing for others."""
    is_converted = _GENERATED in code.co_filename and code.co_name.startswith(_CONVERTED)
    return code.co_name[len(_CONVERTED) :] if is_converted else ""


def _is_let_off(holder: _Holder) -> bool:
    """Say whether functions of a module may be where no name leads to."""
    is_tool = holder.module.partition(".")[0] in _TOOLS
    return holder.is_module and (is_tool or not _is_searched(holder.module))


def _is_made(code: CodeType) -> bool:
    """Say whether code is ours, Python's own, or was made of a text that other code wrote."""
    return code.co_filename.startswith(("<", _OURS)) or _GENERATED in code.co_filename


def codes_in(value: Any) -> Iterator[CodeType]:
    """Yield the code of a function, or of what holds functions, and the code nested in it.

    It looks as deep as `Facts`.
    """
    waiting, seen = [(value, 0)], set()
    for each, depth in waiting:  # which grows
        if type(each) in PLAIN or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, CodeType):
            yield each
            waiting += [(inner, 0) for inner in each.co_consts if isinstance(inner, CodeType)]
        elif depth <= DEEPEST or type(each) is FunctionType:
            waiting += [(inner, depth + 1) for inner in parts_of(each)]


def parts_of(value: Any) -> Iterable[Any]:
    """Return what is in a container, a function or an object of TensorFlow's or Keras's."""
    kind = type(value)
    if kind is FunctionType:
        return [value.__code__, *held_by(value)]
    if kind in (list, tuple, set, frozenset):
        return list(value)
    if kind in (dict, defaultdict):
        return [*value.values(), getattr(value, "default_factory", None)]
    if kind in _HELD_AS:
        return list(_wrapped_by(value, kind))
    state = state_of(value, kind)
    return list(_wrapped_by(value, kind)) if state is None else list(state.values())


def held_by(function: FunctionType) -> Iterator[Any]:
    """Yield the defaults of a function, and what its closure holds."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from closure_of(function)


def _holds_nothing(function: FunctionType) -> bool:
    """Say whether a function is its code alone, without defaults and a closure."""
    held = function.__closure__, function.__defaults__, function.__kwdefaults__
    return not any(held)


def closure_of(function: FunctionType) -> Iterator[Any]:
    """Yield what the closure of a function holds."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def _wrapped_by(value: Any, kind: type) -> Iterator[Any]:
    names = _HELD_AS.get(kind)
    if names is None:
        names = () if kind.__module__ == "builtins" else ("__wrapped__",)
    for name in names:
        with suppress(Exception):  # attributes of any object
            yield object.__getattribute__(value, name)


#: As what objects that are made of functions hold them.
_HELD_AS: Final[dict[type, tuple[str, ...]]] = {
    property: ("fget", "fset"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    MethodType: ("__func__", "__self__"),
    functools.partial: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    type(functools.lru_cache(len)): ("__wrapped__",),
}
