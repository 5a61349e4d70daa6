"""Custom objects that the program registered, or that were declared for every program.

A class is never imported because a model file names it. Names are looked up in this order:
`custom_objects=` of the call, Keras's own scopes and registry, `fastload.register`, what this user
declared (`fastload register`), and what installed packages declare. Nothing here imports Keras.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, overload

#: Everything that was registered, by name: a plain dict that anyone may read, update and clear.
custom_objects: Final[dict[str, Any]] = {}

_Object = TypeVar("_Object", bound=Callable[..., Any])


@overload
def register(item: Mapping[str, Any], /) -> Mapping[str, Any]: ...
@overload
def register(item: _Object, /, *, name: str | None = None) -> _Object: ...
@overload
def register(item: None = None, /, *, name: str | None = None) -> Callable[[_Object], _Object]: ...
def register(item: Any = None, /, *, name: str | None = None) -> Any:
    """Register custom classes or functions for all later loads of this process.

    Args:
        item: a class or function, or a mapping of names to them; left out in `@register(name=...)`.
        name: the name that files use, if it is not the object's own; `package>name` or `name`.

    Returns:
        *item*, so that it works as a decorator.

    Raises:
        TypeError: *item* is neither callable nor a mapping, or it is a mapping and has a *name*.

    Example:
        >>> @register
        ... class Location2D: ...
        >>> custom_objects["Location2D"] is Location2D
        True
    """
    if item is None:
        return functools.partial(register, name=name)
    if isinstance(item, Mapping) and name is None:
        custom_objects.update(item)
    elif callable(item):
        custom_objects[name or item.__name__] = item
    else:
        raise TypeError(
            "register takes a class, a function or a mapping of names to them, "
            f"not {type(item).__name__}"
        )
    return item


def resolve(names: Iterable[str], is_known: Callable[[str], bool]) -> dict[str, Any]:
    """Return the objects that a model needs and that Keras does not find itself.

    Args:
        names: the names in the model's configuration (`package>name` or `name`).
        is_known: says whether Keras finds an object itself; such names are left out.

    Returns:
        The objects by the name that the model uses.
    """
    missing = [name for name in names if not is_known(name)]
    found = {name: item for name in missing if (item := _registered(name)) is not None}
    return found | {
        name: item
        for name in missing
        if name not in found and (item := _declared(name)) is not None
    }


def _registered(name: str) -> Any:
    return custom_objects.get(name, custom_objects.get(_bare(name)))


def _declared(name: str) -> Any:
    # Imported here: a model whose names are all known does without.
    from fastload.declarations import declared_object

    return declared_object(name)


def _bare(name: str) -> str:
    return name.rpartition(">")[2]
