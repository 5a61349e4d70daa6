"""The first touch of `tf.keras` and its kin, while Keras waits: by several threads, or failing.

TensorFlow's `KerasLazyLoader` calls itself ready before it imports Keras. In stock that import is
done by then; where it takes its time, a second thread would find the loader half made and recurse
without end, and so would the next try after an error.
"""

import sys

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from typing import Any

_MODULE = "tensorflow.python.util.lazy_loader"
_NAME = "_initialize"
_READY = "_tfll_initialized"


def guard() -> bool:
    """Have the loaders import Keras before they call themselves ready; say whether that is so."""
    loader = getattr(sys.modules.get(_MODULE), "KerasLazyLoader", None)
    stock = getattr(loader, _NAME, None)
    if hasattr(stock, "stock"):
        return True
    if _READY not in getattr(getattr(stock, "__code__", None), "co_names", ()):
        return False
    setattr(loader, _NAME, _importing_first(stock))
    return True


def unguard() -> None:
    """Give the loaders their function back: Keras is imported."""
    loader = getattr(sys.modules.get(_MODULE), "KerasLazyLoader", None)
    stock = getattr(getattr(loader, _NAME, None), "stock", None)
    if stock is not None:
        setattr(loader, _NAME, stock)


def _importing_first(stock: "Any") -> "Any":
    def initialize(self: "Any") -> None:
        try:
            __import__("keras")
        except ImportError:
            # The error is for the stock function to tell.
            try:
                stock(self)
            except ImportError:
                setattr(self, _READY, False)
                raise
        else:
            stock(self)

    initialize.stock = stock  # type: ignore[attr-defined]
    return initialize
