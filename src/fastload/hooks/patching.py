"""Patching: replace stock functions by stand-ins, and put the stock functions back.

A stand-in is a proxy of its function, with the same signature, docstring, source and pickled form.
Each function has one stand-in, for the life of the process.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

import wrapt

from fastload import unfinished
from fastload.hooks.building import build
from fastload.hooks.importing import is_being_imported, wait_for
from fastload.hooks.patch_points import BUILDERS, NAMES, PACKAGES, POINTS, PatchPoint
from fastload.hooks.serving import answer_call

_logger: Final = logging.getLogger("fastload")
_lock: Final = unfinished.lock()
_POINTS: Final = (*POINTS, *BUILDERS)
_MODULES: Final = frozenset(point.module for point in _POINTS)
#: Whose decorators are part of a function.
_LIBRARIES: Final = (*PACKAGES, "keras_hub")
#: Modules that have a hook.
_watched: Final[set[str]] = set()
#: Modules whose import may have begun before they had a hook, and may still be running.
_missed: Final[set[str]] = set(_MODULES)
_stands: Final[dict[PatchPoint, StandIn]] = {}
_in_place = False


class StandIn(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A proxy of a stock function, whose calls fastload answers while it is switched on."""

    @property  # an annotated attribute of the class would hide the annotations of the function
    def autograph_info__(self) -> Mapping[str, Any]:
        """Has TensorFlow's AutoGraph call it unconverted, like the function; else it warns."""
        return {}

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Become a method where the function would."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> str:
        """Pickle like the function: by name, which is the stock function where fastload is off."""
        name: str = self.__qualname__
        return name

    def __copy__(self) -> StandIn:
        return self

    def __deepcopy__(self, memo: Any) -> StandIn:
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenName:
    """A name that a program bound to a stock function before the hooks were installed.

    Attributes:
        module: the module that has the name.
        name: the name.
        point: the function.
        is_served: calls by this name are served anyway.
    """

    module: str
    name: str
    point: PatchPoint
    is_served: bool


def watch_imports(is_on: Callable[[], bool]) -> None:
    """Have modules patched when they are imported; call `put_in_place` then for all others.

    It waits for modules that another thread has begun to import, for which no hook may be called.
    So no lock may be held here: what is imported may want any, and wrapt, up to 1.14, holds one of
    its own here and while it calls a hook.

    Args:
        is_on: returns whether fastload answers a call; it is asked for each call.
    """
    for module in _MODULES - _watched:
        wrapt.register_post_import_hook(lambda module: _imported(module, is_on), module)
        _watched.add(module)  # only now: a second hook, of another thread, does no harm
    for module in filter(is_being_imported, tuple(_missed)):
        wait_for(module)


def put_in_place(is_on: Callable[[], bool]) -> None:
    """Patch the modules that are imported; `watch_imports` is to be called before.

    Args:
        is_on: returns whether fastload answers a call; it is asked for each call.
    """
    global _in_place  # noqa: PLW0603 - modules are the process's
    with _lock:
        if _missed or not _in_place:  # later modules get the stand-ins from the patched ones
            _patch_loaded(is_on)
        _in_place = True  # only now: where the above is interrupted, it is done again


def take_out() -> None:
    """Put every stock function back, in all modules that have a stand-in under one of `NAMES`."""
    global _in_place  # noqa: PLW0603
    with _lock:
        _in_place = False
        stock = {id(stand): stand.__wrapped__ for stand in _stands.values()}
        _rebind(stock, _loaded_modules())
        _rebind_methods(in_place=False)


def stand_ins() -> Mapping[PatchPoint, StandIn]:
    """Return the stand-ins created so far."""
    with _lock:
        return dict(_stands)


def names_taken() -> Iterator[TakenName]:
    """Yield the names outside of TensorFlow and Keras that are bound to a stock loader itself."""
    made = stand_ins()
    points = {id(stand.__wrapped__): point for point, stand in made.items() if point.stand}
    reached = {point.subject for point in made if not point.is_entry}
    for _module, namespace in _loaded_modules():
        where = str(namespace.get("__name__"))
        if where.partition(".")[0] in (*PACKAGES, "fastload"):
            continue
        for name, value in list(namespace.items()):
            if id(value) in points:
                point = points[id(value)]
                served = not point.is_entry or point.subject in reached
                yield TakenName(module=where, name=name, point=point, is_served=served)


def _imported(module: ModuleType, is_on: Callable[[], bool]) -> None:
    """Patch *module*; an error of ours must not fail the program's import."""
    try:
        with _lock:
            if _in_place and _missed:  # one of them may be finished by now
                _patch_loaded(is_on)
            elif _in_place:
                made = [_make(point, is_on) for point in _POINTS if point.module == module.__name__]
                stands = {id(stand.__wrapped__): stand for stand in made if stand is not None}
                _rebind(stands, [(module, vars(module))])
                _rebind_methods(in_place=True)
    except Exception:
        _logger.warning("%s cannot be patched", module.__name__, exc_info=True)


def _patch_loaded(is_on: Callable[[], bool]) -> None:
    """Patch the modules that are imported; keep in mind those that are not finished."""
    unfinished_imports = {module for module in _missed if is_being_imported(module)}
    for point in _POINTS:
        _make(point, is_on)
    public = (
        (module, namespace)
        for module, namespace in _loaded_modules()
        if str(namespace.get("__name__")).partition(".")[0] in PACKAGES
    )
    _rebind({id(stand.__wrapped__): stand for stand in _stands.values()}, public)
    _rebind_methods(in_place=True)
    _missed.intersection_update(unfinished_imports)


def _make(point: PatchPoint, is_on: Callable[[], bool]) -> StandIn | None:
    """Return the stand-in for the function at *point*; None if there is no such function."""
    holder = point.holder(sys.modules.get(point.module))
    stock = None if holder is None else vars(holder).get(point.attribute)
    if stock is None or isinstance(stock, StandIn):
        return _stands.get(point)
    stand = _stands.get(point)
    if stand is None or stand.__wrapped__ is not stock:
        if not (_is_of(point.module, stock) and is_as_expected(point, stock)):
            _logger.info("%s.%s is not the one that is known", point.module, point.name)
            return None
        _stands[point] = stand = StandIn(stock, _answering(point), enabled=is_on)
    return stand


def _is_of(module: str, stock: Any) -> bool:
    """Say whether a function is the module's own: a program's, put there first, is to be called."""
    while type(stock) is FunctionType and hasattr(stock, "__wrapped__"):
        if str(stock.__globals__.get("__name__")).partition(".")[0] not in _LIBRARIES:
            return False
        stock = stock.__wrapped__
    return type(stock) is FunctionType and stock.__globals__ is vars(sys.modules[module])


def is_as_expected(point: PatchPoint, stock: Callable[..., Any]) -> bool:
    """Return whether *stock* has the parameters that the function has in known versions."""
    try:
        names = tuple(inspect.signature(stock).parameters)
    except (TypeError, ValueError):
        return False
    return names[: len(point.parameters)] == point.parameters


def _answering(point: PatchPoint) -> Callable[..., Any]:
    def wrapper(stock: Any, _: Any, args: Any, kwargs: Any) -> Any:
        if "." in point.name and args:
            stock, args = MethodType(stock, args[0]), args[1:]
        if point.stand is None:
            return build(stock, args, kwargs)
        return answer_call(stock, point.stand, args, kwargs)

    return wrapper


def _rebind(
    replacements: Mapping[int, object], modules: Iterable[tuple[ModuleType, dict[str, Any]]]
) -> None:
    """Rebind names in *modules* from the objects with the ids in *replacements* to their values."""
    for module, namespace in modules:
        for name in NAMES & namespace.keys():
            replacement = replacements.get(id(namespace[name]))
            if replacement is not None:
                setattr(module, name, replacement)


def _rebind_methods(*, in_place: bool) -> None:
    """Put the stand-ins of methods into their classes, or the methods back."""
    for point, stand in _stands.items():
        holder = point.holder(sys.modules.get(point.module))
        if "." in point.name and holder is not None:
            old, new = (stand.__wrapped__, stand) if in_place else (stand, stand.__wrapped__)
            if vars(holder).get(point.attribute) is old:
                setattr(holder, point.attribute, new)


def _loaded_modules() -> Iterator[tuple[ModuleType, dict[str, Any]]]:
    """Yield each module with its names; a lazy module stays unloaded."""
    for module in {id(module): module for module in list(sys.modules.values())}.values():
        try:
            namespace = object.__getattribute__(module, "__dict__")
        except AttributeError:  # a program may put anything there
            continue
        if isinstance(namespace, dict):
            yield module, namespace
