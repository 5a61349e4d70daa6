"""The eager runtime before the rest of TensorFlow: see docs/decisions/0016-deferred-tensorflow.md.

`start` has `runtime.core.eager` at hand in a fifth of the time of `import tensorflow`; the package
itself runs when somebody touches it. Only for versions whose import was compared with what is left
behind when a start came first; others are imported as ever.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastload.imports import deferred, expected_tensorflow, lazy_module, linking
from fastload.runtime.core import eager
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.importing import make_lighter
from fastload.runtime.requirements import DEFERRED_IMPORT

#: Kernels of its own, which some versions load from here.
_KERNELS: Final = "core/kernels"
_KERAS: Final = ("keras", "tf_keras")

_lock: Final = threading.Lock()


def start(*, may_defer: bool) -> None:
    """Have the eager runtime at hand, with all of TensorFlow or without.

    Args:
        may_defer: TensorFlow may be left to its first touch, where that is known to work.

    Raises:
        MissingTensorFlowError: TensorFlow is not installed.
        UnsupportedRuntimeError: it lacks what is used of it.
    """
    if may_defer:
        with _lock:
            _defer()
    tensorflow()  # waits, where another thread is importing it
    eager.runtime()


def _defer() -> None:
    found = None if "tensorflow" in sys.modules else expected_tensorflow.expected()
    if found is not None:
        make_lighter()
        deferred.defer("tensorflow", _EagerRuntime(*found), companions=_KERAS)


class _EagerRuntime:
    """The part of TensorFlow that comes early."""

    def __init__(self, package: str, version: str) -> None:
        self._package, self._version = package, version
        self._operators: dict[str, Callable[..., Any]] = {}

    def begin(self) -> None:
        """Import it, in the order of TensorFlow's own import."""
        expected_tensorflow.prepare_environment(self._version)
        linking.use_the_time(self._version)
        DEFERRED_IMPORT.part("pywrap_tensorflow")
        os.environ["TF2_BEHAVIOR"] = "1"
        DEFERRED_IMPORT.part("tf2").enable()
        ops = eager.runtime().ops
        kernels = Path(self._package, _KERNELS)
        if kernels.exists():
            DEFERRED_IMPORT.part("load_library").load_library(str(kernels))
        self._operators = _operators_to_come()
        for name, operator in self._operators.items():
            setattr(ops.EagerTensor, name, operator)

    def end(self) -> None:
        """Make room for TensorFlow's operators, which tensors have by now."""
        kind = eager.runtime().ops.EagerTensor if self._operators else None
        for name, operator in self._operators.items():
            if vars(kind).get(name) is operator:
                delattr(kind, name)


def _operators_to_come() -> dict[str, Callable[..., Any]]:
    """Return operators that bring TensorFlow's own: `+` must work on the first result.

    They are for the class of results. TensorFlow refuses to set an operator that the class above,
    `tf.Tensor`, has; and results of other threads must have theirs while it sets its own.
    """
    kind = eager.tensor_class()
    names = (*kind.OVERLOADABLE_OPERATORS, *_ALSO_LATER)
    there = vars(kind).keys() | vars(eager.runtime().ops.EagerTensor).keys()
    return {name: _bringing(name) for name in names if name not in there}


#: Set by TensorFlow's modules beside `OVERLOADABLE_OPERATORS`.
_ALSO_LATER: Final = ("__round__",)


def _bringing(name: str) -> Callable[..., Any]:
    def operator(self: Any, *others: Any) -> Any:
        lazy_module.run(tensorflow())
        return getattr(eager.tensor_class(), name)(self, *others)

    return operator
