"""Objects that are there at once and become what they are when somebody looks.

A late object is an instance of a subclass of its final class, without its state. The first look at
anything that is not there makes the real thing: the object takes its state and changes its own
class to the final one, and from then on nothing tells it from an object made at once. Methods need
no care: whichever is called looks at the object's state first.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

_REVIVE: Final = "_fastload_revive"
_AFTER: Final = "_fastload_after"
_IN_WORK: Final = "_fastload_in_work"
#: One lock for all: making one late object may bring others to life.
_lock: Final = threading.RLock()
_true_class: Final[Any] = vars(object)["__class__"]


def late(
    final: Any,
    revive: Callable[[Any], None],
    attributes: Mapping[str, Any],
    *,
    becomes_callable: bool = False,
) -> Any:
    """Return an object of class *final* that gets its state when it is needed.

    Args:
        final: a class whose instances have a `__dict__`, and without `__getattr__`.
        revive: given the object, gives it its state. Called once, unless it raises. Other threads
            that look meanwhile wait.
        attributes: what it has from the beginning; a look at these is none.
        becomes_callable: *revive* makes *final* callable.
    """
    kind: Any = _late_class(final, becomes_callable)
    made = kind.__new__(kind)
    _true_dict(made).update(attributes, **{_REVIVE: revive})
    return made


def once_alive(self: Any, action: Callable[[], None]) -> None:
    """Do *action* as soon as *self* has its state; now, if it is no late object."""
    with _lock:
        state = _true_dict(self)
        if _REVIVE in state:
            state.setdefault(_AFTER, []).append(action)
        else:
            action()


def taking_state(make: Callable[[], Any]) -> Callable[[Any], None]:
    """Return what revives an object with the state of the one that *make* returns."""

    def revive(self: Any) -> None:
        state = _true_dict(self)
        # What somebody set in the meantime stays.
        own = dict(state)
        state.update(vars(make()))
        state.update(own)

    return revive


@functools.lru_cache(maxsize=8)
def _late_class(
    final: Any,
    becomes_callable: bool,  # noqa: FBT001 - the arguments of a cache have no names
) -> Any:
    def look(self: Any, name: str) -> Any:
        _come_to_life(self, final)
        if type(self) is final:
            return getattr(self, name)
        raise AttributeError(f"{final.__name__!r} object has no attribute {name!r}")

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        _come_to_life(self, final)
        return self(*args, **kwargs)

    def names(self: Any) -> list[str]:
        _come_to_life(self, final)
        return dir(self)

    def state(self: Any) -> dict[str, Any]:
        _come_to_life(self, final)
        return _true_dict(self)

    def reduce(self: Any, protocol: Any) -> Any:
        _come_to_life(self, final)
        return self.__reduce_ex__(protocol)

    told = {name: getattr(final, name) for name in ("__module__", "__qualname__", "__doc__")}
    hooks = {"__getattr__": look, "__dir__": names, "__dict__": property(state)}
    hooks["__reduce_ex__"] = reduce  # copies and pickles ask the class first
    hooks["__class__"] = property(lambda _: final)
    if becomes_callable:
        hooks["__call__"] = call
    return type(final.__name__, (final,), {**told, **hooks})


def _true_dict(self: Any) -> dict[str, Any]:
    """Return the `__dict__` of an object that may be late."""
    kinds = type(self).__mro__
    slot: Any = next(
        vars(kind)["__dict__"]
        for kind in kinds
        if not isinstance(vars(kind).get("__dict__", property()), property)
    )
    state: dict[str, Any] = slot.__get__(self)
    return state


def _come_to_life(self: Any, final: Any) -> None:
    """Give *self* its state, if another thread has not, or this one is not at it."""
    with _lock:
        state = _true_dict(self)
        if type(self) is final or state.get(_IN_WORK):
            return
        before = dict(state)
        revive, actions = state.pop(_REVIVE), state.pop(_AFTER, [])
        state[_IN_WORK] = True
        try:
            revive(self)
            for action in actions:
                action()
        except BaseException:
            state.clear()
            state.update(before)
            raise
        del state[_IN_WORK]
        _true_class.__set__(self, final)
