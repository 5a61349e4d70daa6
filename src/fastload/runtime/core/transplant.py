"""Run a library's own functions with some of their globals replaced.

Keras's loaders are functions that look their helpers up in their module. A transplant is a set of
copies of a module's functions with a copy of its globals, in which some names are replaced: the
code that runs is Keras's, unchanged, while the files that it reads are the twin's. Nothing global
changes, so other threads see the stock module.
`docs/decisions/0006-run-the-stock-loaders-over-the-twin.md` says why this and not a loader of our
own.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, Final, cast

from fastload.errors import UnsupportedRuntimeError

_LIBRARIES: Final = ("keras.", "tf_keras.", "tensorflow.")


def transplant(module: ModuleType, replaced: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of *module*'s globals in which its own functions see *replaced*.

    Args:
        module: the module whose functions are copied. Its classes are shared, not copied.
        replaced: new values by global name. Every name must exist in *module*.

    Raises:
        UnsupportedRuntimeError: *module* lacks one of the names.

    Example:
        >>> import posixpath
        >>> names = transplant(posixpath, {"_get_sep": lambda path: "|"})
        >>> names["join"]("a", "b"), posixpath.join("a", "b")
        ('a|b', 'a/b')
    """
    require(module, replaced)
    names: dict[str, Any] = dict(vars(module))
    new = {id(names[name]): value for name, value in replaced.items()}
    for name, value in vars(module).items():
        if name not in replaced and _belongs_to(value, module):
            names[name] = _rebound(value, names, lambda default: new.get(id(default), default))
    names.update(replaced)
    return names


def entry_over(module: ModuleType, name: str, replaced: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a copy of the function *name* of *module* that, as all it calls, sees *replaced*.

    Raises:
        UnsupportedRuntimeError: *module* lacks one of the names, or a program has put a function of
            its own in the place of *name*.

    Example:
        >>> import posixpath
        >>> entry_over(posixpath, "join", {"_get_sep": lambda path: "|"})("a", "b")
        'a|b'
    """
    require_own(module, name)
    found: Callable[..., Any] = transplant(module, replaced)[name]
    return found


def require_own(module: ModuleType, *names: str) -> None:
    """Check that these functions of *module* are its own: a program's would call what it replaced.

    Raises:
        UnsupportedRuntimeError: one is not, or is not there.
    """
    require(module, names)
    for name in names:
        if not _belongs_to(vars(module)[name], module):
            raise UnsupportedRuntimeError(f"{name} of {module.__name__} is the program's own")


def transplanted(
    module: ModuleType, function: Callable[..., Any], replaced: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return a copy of one function of *module*, such as a method, that sees *replaced*.

    Args:
        module: the module that the function is in.
        function: the function; without the copies of others that `transplant` makes.
        replaced: new values by global name.

    Raises:
        UnsupportedRuntimeError: *module* lacks one of the names, or the function is not of it.

    Example:
        >>> import posixpath
        >>> transplanted(posixpath, posixpath.isabs, {"_get_sep": lambda path: "|"})("|a")
        True
    """
    require(module, replaced)
    if not _belongs_to(function, module):
        raise UnsupportedRuntimeError(f"{function.__name__} is not of {module.__name__}")
    return _rebound(function, {**vars(module), **replaced}, lambda default: default)


def methods_over(
    module: ModuleType, kind: type[Any], replaced: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    """Return copies of the methods of a class of *module* that see *replaced*, by name.

    What they ask of `super()` is asked of the class after *kind*, as before.

    Args:
        module: the module that the class is in.
        kind: the class.
        replaced: new values by global name; built-in ones too.

    Raises:
        UnsupportedRuntimeError: there is no such name.
    """
    require(module, (name for name in replaced if not hasattr(builtins, name)))
    names = {**vars(module), **replaced}
    return {
        name: _rebound(method, names, lambda default: default)
        for name, method in vars(kind).items()
        if _belongs_to(method, module)
    }


def require(holder: object, names: Iterable[str]) -> None:
    """Check that *holder* has every attribute in *names*.

    Raises:
        UnsupportedRuntimeError: it lacks one; the message names both.
    """
    for name in names:
        if not hasattr(holder, name):
            label = getattr(holder, "__name__", type(holder).__name__)
            raise UnsupportedRuntimeError(
                f"{label} has no {name!r}: this version is not known to fastload"
            )


def _belongs_to(value: object, module: ModuleType) -> bool:
    plain = _undecorated(value)
    return isinstance(plain, FunctionType) and plain.__globals__ is vars(module)


def _undecorated(value: object) -> object:
    """Return the function inside transparent wrappers.

    Keras wraps its loaders to shorten tracebacks, and our hooks may stand in for them. Any other
    wrapper is meant to be called.
    """
    while _is_transparent(value):
        value = value.__wrapped__  # type: ignore[attr-defined]
    return value


def _is_transparent(value: object) -> bool:
    # Asked by class first: a module that waits to be imported may fail at any question.
    if type(value).__module__.startswith("fastload."):
        return hasattr(value, "__wrapped__")
    if type(value) is not FunctionType or not hasattr(value, "__wrapped__"):
        return False
    return str(value.__globals__.get("__name__")).startswith(_LIBRARIES)


def _rebound(
    value: Any, names: dict[str, Any], swapped: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return a copy of the function *value* with the globals *names*; defaults are replaced too."""
    plain = cast("FunctionType", _undecorated(value))  # `_belongs_to` saw that it is one
    defaults = tuple(map(swapped, plain.__defaults__ or ()))
    copy = FunctionType(plain.__code__, names, plain.__name__, defaults, plain.__closure__)
    copy.__kwdefaults__ = {k: swapped(v) for k, v in (plain.__kwdefaults__ or {}).items()}
    return functools.update_wrapper(copy, plain, updated=())


class Overlay:
    """An object with some attributes replaced; dotted names replace attributes of attributes.

    Example:
        >>> import os
        >>> Overlay(os, {"path.exists": lambda path: True}).path.exists("nowhere")
        True
    """

    def __init__(self, below: Any, replaced: Mapping[str, Any]) -> None:
        self._below = below
        own = {name: value for name, value in replaced.items() if "." not in name}
        for head in {name.split(".", 1)[0] for name in replaced if "." in name}:
            inner = {n.split(".", 1)[1]: v for n, v in replaced.items() if n.startswith(f"{head}.")}
            own[head] = Overlay(getattr(below, head), inner)
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
