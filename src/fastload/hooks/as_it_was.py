"""Doing later what stock does now: under the settings of now, and with the effects of then.

Covered is what an import reads or changes of a process: variables of the environment, the filters
of warnings, and the state of `random`.
"""

import os

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: What Keras reads when it is imported. The rest of the environment is of now, then as later.
_PREFIX = "KERAS_"
_HOMES = ("HOME", "USERPROFILE")


def is_supported() -> bool:
    """Say whether filters of warnings are kept as they are up to Python 3.13."""
    import warnings

    return hasattr(warnings, "_filters_mutated") and type(warnings.filters) is list


class AsItWas:
    """How the process is when this is made."""

    def __init__(self) -> None:
        import warnings

        self._settings = settings(os.environ)
        self._filters = list(warnings.filters)
        self._filter_list: Any = warnings.filters

    def replay(self, work: "Callable[[], object]") -> None:
        """Do *work* as if it were then; what the program did since then holds afterwards.

        Other threads see the settings of then meanwhile, where the program changed them.
        """
        import random

        state = random.getstate()
        try:
            self._with_filters(lambda: self._with_settings(work))
        finally:
            if random.getstate() != state:
                random.setstate(state)

    def _with_settings(self, work: "Callable[[], object]") -> None:
        then, now = self._settings, settings(os.environ)
        _change(now, then)
        try:
            work()
        finally:
            found = settings(os.environ)
            # The program came after the import, so what it changed wins.
            theirs = {name for name in {**then, **now} if then.get(name) != now.get(name)}
            mixed = {name: value for name, value in found.items() if name not in theirs}
            mixed.update({name: value for name, value in now.items() if name in theirs})
            _change(found, mixed)

    def _with_filters(self, work: "Callable[[], object]") -> None:
        """Do *work* under the filters of then, and keep what it adds where stock has it.

        Inside of `catch_warnings` the list is a copy; the one that comes back is changed too.
        """
        import warnings

        lists: list[Any] = [warnings.filters]
        if self._filter_list is not warnings.filters:
            lists.append(self._filter_list)
        before = [list(filters) for filters in lists]
        _put(lists[0], self._filters)
        try:
            work()
        finally:
            found = list(warnings.filters)
            for filters, now in zip(lists, before):  # noqa: B905 - as long as each other
                _put(filters, merged(self._filters, now, found))


def settings(environ: "Mapping[str, str]") -> "dict[str, str]":
    """Return what of *environ* Keras reads."""
    return {k: v for k, v in environ.items() if k.startswith(_PREFIX) or k in _HOMES}


def merged(then: "list[Any]", now: "list[Any]", found: "list[Any]") -> "list[Any]":
    """Return the filters, had those changes come first that made *found* of *then*.

    Args:
        then: the filters before both changes.
        now: what the program made of them. What it added in front stays in front, what it
            appended stays behind; where it has left none of *then*, it has reset them.
        found: what an import made of them.
    """
    if found == then or not then:
        return now if found == then else [*now, *(item for item in found if item not in now)]
    end = len(now)
    while end and now[end - 1] not in then:
        end -= 1
    start = end
    rest = list(then)
    while start and now[start - 1] in rest:
        start -= 1
        del rest[rest.index(now[start]) :]
    kept = now[start:end]
    if not kept:
        return now
    added = now[:start] + now[end:]
    middle = [item for item in found if item not in added and (item in kept or item not in then)]
    return now[:start] + middle + now[end:]


def _change(before: "Mapping[str, str]", after: "Mapping[str, str]") -> None:
    """Set and remove variables of the environment."""
    for name in before:
        if name not in after:
            del os.environ[name]
    for name, value in after.items():
        if before.get(name) != value:
            os.environ[name] = value


def _put(filters: "list[Any]", content: "list[Any]") -> None:
    """Change *filters* in place, and say so: without need, warnings would be shown once more."""
    import warnings

    if filters != content:
        filters[:] = content
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001
