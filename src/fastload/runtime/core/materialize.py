"""Objects that exist at once and get their state on first access.

Until then, an object is an instance of a subclass of its final class. The first access to anything
that it was not given materializes it: it takes its state and changes its own class to the final
one, and from then on nothing tells it from an object made at once. Methods need no care: whichever
is called accesses the object's state first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, SupportsIndex

from fastload import unfinished
from fastload.unfinished import Change

_MATERIALIZE: Final = "_fastload_materialize"
_AFTER: Final = "_fastload_after"
_IN_WORK: Final = "_fastload_in_work"
#: On the class of an object that is not materialized.
_FINAL: Final = "_fastload_final"
#: One lock for all: materializing one object may materialize others.
materializing: Final = unfinished.lock()
_true_class: Final[Any] = vars(object)["__class__"]


def materialized_on_access(
    final: Any,
    materialize: Callable[[Any], None],
    attributes: Mapping[str, Any],
    *,
    becomes_callable: bool = False,
) -> Any:
    """Return an object of class *final* that gets its state on first access.

    Args:
        final: a class whose instances have a `__dict__`, and without `__getattr__`.
        materialize: given the object, gives it its state. Called once, unless it raises. Other
            threads that access the object meanwhile wait.
        attributes: what it has from the beginning, without being materialized.
        becomes_callable: *materialize* makes *final* callable.
    """
    kind: Any = _pending_class(final, becomes_callable)
    made = kind.__new__(kind)
    _true_dict(made).update(attributes, **{_MATERIALIZE: materialize})
    return made


def once_materialized(instance: Any, action: Callable[[], None]) -> None:
    """Do *action* as soon as *instance* has its state; now, if it has it already."""
    with materializing:
        state = _true_dict(instance)
        if _MATERIALIZE in state:
            state.setdefault(_AFTER, []).append(action)
        else:
            action()


def taking_state(make: Callable[[], Any]) -> Callable[[Any], None]:
    """Return what materializes an object with the state of the one that *make* returns."""
    return functools.partial(_take_state, make)


def _take_state(make: Callable[[], Any], instance: Any) -> None:
    state = _true_dict(instance)
    own = dict(state)  # what was set in the meantime stays
    state.update(vars(make()))
    state.update(own)


def _attribute(instance: Any, name: str) -> Any:
    final = _materialized(instance)
    if type(instance) is final:
        return getattr(instance, name)
    raise AttributeError(f"{final.__name__!r} object has no attribute {name!r}")


def _names(instance: Any) -> list[str]:
    _materialized(instance)
    return dir(instance)


def _state(instance: Any) -> dict[str, Any]:
    _materialized(instance)
    return _true_dict(instance)


def _reduced(instance: Any, protocol: SupportsIndex) -> Any:
    _materialized(instance)
    return instance.__reduce_ex__(protocol)


class _Call:
    """Stands for `__call__`: that of the object itself, which may have one of its own."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        return _attribute(instance, "__call__")


def _final_class(instance: Any) -> Any:
    kind = type(instance)
    return vars(kind).get(_FINAL, kind)


#: The special methods that access an object's state.
_ACCESSES: Final = {
    "__getattr__": _attribute,
    "__dir__": _names,
    "__dict__": property(_state),
    "__reduce_ex__": _reduced,  # copies and pickles ask the class first
    "__class__": property(_final_class),
}


@functools.lru_cache(maxsize=8)
def _pending_class(
    final: Any,
    becomes_callable: bool,  # noqa: FBT001 - the arguments of a cache have no names
) -> Any:
    told = {name: getattr(final, name) for name in ("__module__", "__qualname__", "__doc__")}
    calls = {"__call__": _Call()} if becomes_callable else {}
    return type(final.__name__, (final,), {**told, **_ACCESSES, **calls, _FINAL: final})


def _true_dict(instance: Any) -> dict[str, Any]:
    """Return the `__dict__` of an object, without materializing it."""
    slot: Any = next(
        vars(kind)["__dict__"]
        for kind in type(instance).__mro__
        if not isinstance(vars(kind).get("__dict__", property()), property)
    )
    state: dict[str, Any] = slot.__get__(instance)
    return state


def _materialized(instance: Any) -> Any:
    """Give *instance* its state, and return its final class.

    Does nothing if another thread has done it, or this one is at it.
    """
    with materializing:
        state, final = _true_dict(instance), _final_class(instance)
        if type(instance) is final or state.get(_IN_WORK):
            return final
        with Change(functools.partial(_start_again, instance, dict(state))):
            state[_IN_WORK] = True
            materialize, actions = state.pop(_MATERIALIZE), state.pop(_AFTER, [])
            _make(materialize, instance)
            for action in actions:
                action()
            del state[_IN_WORK]
            _true_class.__set__(instance, final)
        return final


def _make(materialize: Callable[[Any], None], instance: Any) -> None:
    try:
        materialize(instance)
    except AttributeError as error:
        # `getattr` and `hasattr` would take it for what the object does not have.
        name = _final_class(instance).__name__
        raise RuntimeError(f"{name!r} object cannot be made: {error}") from error


def _start_again(instance: Any, before: Mapping[str, Any]) -> None:
    """Give *instance* back the state that it had *before*, unless it has its own by now."""
    if type(instance) is not _final_class(instance):
        state = _true_dict(instance)
        state.clear()
        state.update(before)
