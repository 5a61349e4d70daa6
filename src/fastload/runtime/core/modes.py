"""What a program may have switched in TensorFlow for all that it traces."""

from __future__ import annotations

from collections.abc import Iterator

from fastload.errors import UnsupportedRequestError
from fastload.runtime.core.eager import context
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import MODES


def modes() -> Iterator[str]:
    """Yield how each switch stands."""
    ops, control_flow = MODES.part("ops"), MODES.optional("control_flow_util")
    yield str(MODES.part("config").is_op_determinism_enabled())
    yield str(getattr(control_flow, "ENABLE_CONTROL_FLOW_V2", None))
    for name in ("is_auto_dtype_conversion_enabled", "is_numpy_style_type_promotion"):
        yield str(getattr(ops, name, bool)())
    yield str(hasattr(tensorflow().Tensor, "reshape"))  # numpy's methods


def require_plain_scope() -> None:
    """Check that a function traced now would be an ordinary one.

    Raises:
        UnsupportedRequestError: each operation is watched, or goes to a device.
    """
    if context().op_callbacks:
        watching = "tf.debugging.enable_check_numerics or the like"
        raise UnsupportedRequestError(f"operations are watched by {watching}")
    if context().device_name:
        raise UnsupportedRequestError("it is inside of a device scope")
