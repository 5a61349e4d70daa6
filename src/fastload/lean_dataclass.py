"""Dataclasses whose methods are shared, where Python's generates code for each class.

A load imports some forty of them. Generated code takes 0.9 ms a class, two thirds of what all of
fastload's modules take; without it a class takes 0.06 ms, and an object half a microsecond a field
more. Fields, `replace`, `asdict` and `fields` are Python's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(
        *, frozen: bool = False, slots: bool = False, kw_only: bool, eq: bool = True
    ) -> Callable[[type], type]:
        """Make a class a dataclass, as Python's does with the same arguments."""
        assert kw_only  # noqa: S101 - of this module's users

        def made(cls: type) -> type:
            bare = dataclasses.dataclass(
                init=False, repr=False, eq=False, slots=slots, kw_only=True
            )
            methods = dict(_METHODS)
            if eq:
                methods |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
            if frozen:
                methods |= _FROZEN
            own, done = vars(cls), bare(cls)
            for name, method in methods.items():
                if name not in own:
                    setattr(done, name, method)
            return done

        return made

    def _init(self: Any, **given: Any) -> None:
        put = object.__setattr__
        for name, field in self.__dataclass_fields__.items():
            if name in given:
                put(self, name, given.pop(name))
            elif field.default is not dataclasses.MISSING:
                put(self, name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                put(self, name, field.default_factory())
            else:
                raise TypeError(f"{type(self).__qualname__} lacks the argument {name!r}")
        if given:
            raise TypeError(f"{type(self).__qualname__} has no field {min(given)!r}")
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    def _values(self: Any) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def _repr(self: Any) -> str:
        fields = self.__dataclass_fields__.values()
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields if f.repr)
        return f"{type(self).__qualname__}({shown})"

    def _eq(self: Any, other: object) -> bool:
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def _hash(self: Any) -> int:
        return hash(_values(self))

    def _set(_self: Any, name: str, _value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def _delete(_self: Any, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _state(self: Any) -> tuple[Any, ...]:
        return _values(self)

    def _set_state(self: Any, state: tuple[Any, ...]) -> None:
        for name, value in zip(self.__dataclass_fields__, state, strict=True):
            object.__setattr__(self, name, value)

    _METHODS = {"__init__": _init, "__repr__": _repr}
    _FROZEN = {
        "__setattr__": _set,
        "__delattr__": _delete,
        "__getstate__": _state,
        "__setstate__": _set_state,
    }

__all__ = ["dataclass"]
