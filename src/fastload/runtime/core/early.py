"""The eager runtime before the rest of TensorFlow: see docs/decisions/0016-deferred-tensorflow.md.

`start` makes `runtime.core.eager` available in a fifth of the time of `import tensorflow`; the
package itself is executed on first access. This is done only for versions whose plain import was
compared with an import after a start; others are imported as usual.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastload import unfinished
from fastload.imports import deferred, lazy_module, linking
from fastload.runtime.core import eager
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.importing import make_lighter
from fastload.runtime.requirements import DEFERRED_IMPORT

#: Where some versions load kernels from.
_KERNELS: Final = "core/kernels"
_KERAS: Final = ("keras", "tf_keras")

_lock: Final = unfinished.lock()


def start(*, may_defer: bool) -> None:
    """Import the eager runtime, with the rest of TensorFlow or without.

    Args:
        may_defer: TensorFlow may be deferred to its first access, where that is known to work.

    Raises:
        MissingTensorFlowError: TensorFlow is not installed.
        UnsupportedRuntimeError: it lacks a module or name that is used.
    """
    if may_defer:
        with _lock:
            _defer()
    tensorflow()  # waits, where another thread is importing it
    eager.runtime()


def finish() -> None:
    """Import what `start` deferred of TensorFlow.

    Raises:
        MissingTensorFlowError: TensorFlow is not installed.
    """
    lazy_module.run(tensorflow())


def _defer() -> None:
    found = None if "tensorflow" in sys.modules else linking.expected()
    if found is not None:
        make_lighter()
        deferred.defer("tensorflow", _EagerRuntime(*found), companions=_KERAS)


class _EagerRuntime:
    """The part of TensorFlow that is imported first."""

    def __init__(self, package: str, version: str) -> None:
        self._package, self._version = package, version
        self._operators: dict[str, Callable[..., Any]] = {}

    def begin(self) -> None:
        """Import it, in the order of TensorFlow's own import."""
        linking.prepare_environment(self._version)
        linking.use_the_time(self._version)
        DEFERRED_IMPORT.part("pywrap_tensorflow")
        os.environ["TF2_BEHAVIOR"] = "1"
        DEFERRED_IMPORT.part("tf2").enable()
        ops = eager.runtime().ops
        kernels = Path(self._package, _KERNELS)
        if kernels.exists():
            DEFERRED_IMPORT.part("load_library").load_library(str(kernels))
        self._operators = _operator_stand_ins()
        for name, operator in self._operators.items():
            setattr(ops.EagerTensor, name, operator)

    def end(self) -> None:
        """Remove the stand-ins for TensorFlow's operators."""
        kind = eager.runtime().ops.EagerTensor if self._operators else None
        for name, operator in self._operators.items():
            if vars(kind).get(name) is operator:
                delattr(kind, name)


def _operator_stand_ins() -> dict[str, Callable[..., Any]]:
    """Return stand-ins for operators, which import TensorFlow's own: `+` must work on results.

    They are set on the class of results, `EagerTensor`: TensorFlow refuses to set an operator that
    its base class `tf.Tensor` has, and results in other threads need theirs meanwhile.
    """
    kind = eager.tensor_class()
    names = (*kind.OVERLOADABLE_OPERATORS, *_FURTHER_OPERATORS)
    there = vars(kind).keys() | vars(eager.runtime().ops.EagerTensor).keys()
    return {name: _stand_in(name) for name in names if name not in there}


#: Set by TensorFlow's modules beside `OVERLOADABLE_OPERATORS`.
_FURTHER_OPERATORS: Final = ("__round__",)


def _stand_in(name: str) -> Callable[..., Any]:
    def operator(self: Any, *others: Any) -> Any:
        lazy_module.run(tensorflow())
        return getattr(eager.tensor_class(), name)(self, *others)

    return operator
