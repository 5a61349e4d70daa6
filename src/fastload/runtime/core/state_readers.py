"""Whose code reads the state of an object out of a file: Keras's own, or a program's.

Keras's walk over the objects of a model asks for each whether it has `load_own_variables`, and then
hands it what the file has. Keras's own methods assign that to variables. One of a program's may do
anything: change an array in place whose memory a variable of ours shares, or call a function that
was traced before, which reads variables by their handles.
"""

from __future__ import annotations

from typing import Any, Final

from fastload.errors import UnsupportedRequestError

#: Keras 2.12 has the second.
_READS: Final = frozenset({"load_own_variables", "_load_own_variables", "finalize_state"})
#: Packages whose methods were read (KerasHub 0.32 has three): they assign what they are given, or
#: what operations make of it at once.
_ASSIGNING: Final = frozenset({"keras", "tf_keras", "keras_hub", "keras_nlp", "fastload"})


class StateReaders:
    """Stands for `hasattr` in the module of a walk, and so knows who is about to read.

    Args:
        of_programs: whether a program's code may read at all.
    """

    def __init__(self, *, of_programs: bool) -> None:
        self._of_programs = of_programs
        self._next_assigns = False

    def hasattr(self, item: Any, name: str) -> bool:
        """Return what `hasattr` does.

        Raises:
            UnsupportedRequestError: a program's method is to be called, and must not be.
        """
        is_there = hasattr(item, name)
        if name in _READS and is_there:
            self._next_assigns = only_assigns(getattr(item, name))
            if not (self._next_assigns or self._of_programs):
                raise UnsupportedRequestError(f"{type(item).__name__} has a {name} of its own")
        return is_there

    def next_assigns(self) -> bool:
        """Say whether what is read next goes to variables and nowhere else; once for each reader.

        In a version whose walk asks otherwise, nobody is known to.
        """
        assigns, self._next_assigns = self._next_assigns, False
        return assigns


def only_assigns(method: Any) -> bool:
    """Say whether *method*, and whatever it wraps, is of Keras."""
    function = getattr(method, "__func__", method)
    while function is not None:
        module = str(getattr(function, "__globals__", {}).get("__name__"))
        if module.partition(".")[0] not in _ASSIGNING:
            return False
        function = getattr(function, "__wrapped__", None)
    return True
