"""`tf.saved_model.LoadOptions`: which of them a twin serves."""

from __future__ import annotations

from typing import Any, Final

#: Whether variables may lack a value in the checkpoint: a restore is told.
_PARTIAL: Final = "allow_partial_checkpoint"
#: From which device files are read: a twin is read by this process.
_IO_DEVICE: Final = "experimental_io_device"
_HERE: Final = (None, "/job:localhost")


def are_served(options: Any) -> bool:
    """Say whether *options* ask for nothing but what a load from a twin does.

    Args:
        options: what the caller gave for `options=`; None for nothing.

    Example:
        >>> are_served(None), are_served("anything")
        (True, False)
    """
    kind: Any = type(options)
    if options is None:
        return True
    if not (kind.__module__.startswith("tensorflow.") and kind.__name__ == "LoadOptions"):
        return False
    default = kind()
    different = {
        name for name in kind.__slots__ if getattr(options, name) != getattr(default, name)
    }
    return different <= {_PARTIAL, _IO_DEVICE} and getattr(options, _IO_DEVICE, None) in _HERE
