"""Work without automatic garbage collections; `gc` is imported when it is needed only."""

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_OF_A_PROGRAM = 1000


def without_collections(work: "Callable[[], object]") -> None:
    """Do *work*; collections are on again after it, if they were, also after an error."""
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        work()
    finally:
        if was_enabled:
            _resume()


def _resume() -> None:
    """Start collections again, with what the work allocated where collections had brought it.

    That is the oldest generation. Without the move, the next collection would go through all of
    it, and twice more on its way there.
    """
    import gc

    # What a program has frozen must stay so. It cannot freeze less than all there is, some
    # thousands; the few hundred of Python 3.12 are its own.
    if gc.get_freeze_count() < _LEAST_OF_A_PROGRAM:
        gc.freeze()
        gc.unfreeze()
    gc.enable()
