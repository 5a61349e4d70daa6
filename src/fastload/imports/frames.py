"""Functions of ours that run a module in the import system's stead leave no trace of their own.

Programs that may never import TensorFlow import this module, so it imports nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _Function = TypeVar("_Function")

_OF_THE_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


def as_importlib(function: "_Function") -> "_Function":
    """Have Python take the frames of *function* for frames of its import system.

    It leaves those out where an import fails (`remove_importlib_frames` in Python/import.c), and
    where `warnings.warn` looks for the caller to blame (`_is_internal_frame` in Lib/warnings.py):
    a frame of ours would be blamed, and the warning hidden. Both know them by the file of the code.

    For functions that do little besides the call: where they fail themselves, a traceback has the
    line, but not the file.
    """
    named: Any = function
    named.__code__ = named.__code__.replace(co_filename=_OF_THE_IMPORT_SYSTEM)
    return function
