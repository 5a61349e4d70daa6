"""Work without automatic garbage collections; `gc` is imported when it is needed only."""

from fastload.unfinished import Change

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from types import TracebackType

_LEAST_OF_A_PROGRAM = 1000
#: Collections of the middle generation from one full collection to the next; 10 by default.
_FULL_COLLECTIONS = 200

#: Whether the next load is the first, or the first after imports without collections.
_is_owed = True


class paused_collector:  # noqa: N801 - a context manager, named as one that a function makes
    """No collection inside; they are on again after it, if they were, also after an error.

    Args:
        makes_old: what was allocated inside is moved to where collections would have moved it.
        settles: so is what a first load and its imports made, half a million objects: Python would
            go through all there is as soon as it may. Once in a process: a program that loads
            models again and again needs the collections that free the earlier ones.
    """

    def __init__(self, *, makes_old: bool = False, settles: bool = False) -> None:
        self._makes_old, self._settles = makes_old, settles

    def __enter__(self) -> None:
        import gc

        self._pause = Change(gc.enable) if gc.isenabled() else None
        if self._pause is not None:
            self._pause.__enter__()
            gc.disable()

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        global _is_owed  # noqa: PLW0603 - the process has one collector

        if self._pause is None:
            return
        try:
            if self._makes_old or (self._settles and _is_owed):
                _make_old()
                _is_owed = self._makes_old
        finally:
            self._pause.__exit__()


class rare_full_collections:  # noqa: N801 - a context manager, as the one above
    """Inside, Python goes through all objects a twentieth as often as it does by default.

    A block that makes a model makes a hundred thousand objects that stay, beside half a million of
    TensorFlow's. Younger objects are collected as ever, and so is everything when a program asks.
    """

    def __enter__(self) -> None:
        import gc

        before = gc.get_threshold()
        self._ours = (*before[:2], max(before[2], _FULL_COLLECTIONS))
        self._change = Change(lambda: self._reset(before))
        self._change.__enter__()
        gc.set_threshold(*self._ours)

    def _reset(self, before: "tuple[int, int, int]") -> None:
        import gc

        if gc.get_threshold() == self._ours:  # the program has not set it meanwhile
            gc.set_threshold(*before)

    def __exit__(self, *_: object) -> None:
        self._change.__exit__()


def _make_old() -> None:
    """Move all there is to the oldest generation.

    Without the move, the next collection would go through all of it, and twice more on its way
    there.
    """
    import gc

    # What a program has frozen must stay so. It cannot freeze less than all there is, some
    # thousands; the few hundred of Python 3.12 are its own.
    if gc.get_freeze_count() < _LEAST_OF_A_PROGRAM:
        try:
            gc.freeze()
        finally:
            gc.unfreeze()
