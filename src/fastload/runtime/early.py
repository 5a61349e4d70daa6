"""The eager runtime before the rest of TensorFlow: see docs/decisions/0016-deferred-tensorflow.md.

`start` has `runtime.eager` at hand in a fifth of the time of `import tensorflow`; the package
itself runs when somebody touches it. Only for versions whose import was compared with what is left
behind when a start came first; others are imported as ever.
"""

from __future__ import annotations

import os
import re
import site
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fastload.imports import deferred, lazy_module
from fastload.runtime import eager
from fastload.runtime.tensorflow import make_lighter, tensorflow

#: For each version: what TensorFlow puts into the environment before all else, where it is not
#: there already.
_SET_FIRST: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"2.15": {}, "2.21": {"ENABLE_RUNTIME_UPTIME_TELEMETRY": "1"}}
)
#: TensorFlow loads what these name before it can be used; that is left to its own import.
_PLUGIN_VARIABLES: Final = ("TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_USE_MODULAR_FILESYSTEM")
_PLUGINS: Final = "tensorflow-plugins"
#: Kernels of its own, which some versions load from here.
_KERNELS: Final = "core/kernels"
_KERAS: Final = ("keras", "tf_keras")
_DISTRIBUTION: Final = re.compile(r"tensorflow(?:_cpu|_macos)?-(\d+\.\d+)[^-]*\.dist-info")

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
    if "tensorflow" in sys.modules:
        return
    variables = _variables_of_a_known_version()
    if variables is not None:
        make_lighter()
        deferred.defer("tensorflow", _EagerRuntime(variables), companions=_KERAS)


def _variables_of_a_known_version() -> Mapping[str, str] | None:
    """Return what the installed version sets first; None if it is not to be deferred."""
    spec = find_spec("tensorflow")
    if spec is None or spec.origin is None or _has_plugins(Path(spec.origin).parents[1]):
        return None
    return _SET_FIRST.get(_version_in(Path(spec.origin).parents[1]))


def _version_in(folder: Path) -> str:
    """Return the version, as `2.21`, of the TensorFlow that is installed in *folder*."""
    names = os.listdir(folder)  # noqa: PTH208 - a thousand names, no paths
    found = {match[1] for name in names if (match := _DISTRIBUTION.fullmatch(name))}
    return found.pop() if len(found) == 1 else ""


def _has_plugins(folder: Path) -> bool:
    """Say whether TensorFlow's import would load libraries of others, devices for instance."""
    folders = {str(folder), *site.getsitepackages(), site.getusersitepackages(), *sys.path}
    return any(os.environ.get(name) for name in _PLUGIN_VARIABLES) or any(
        Path(each, _PLUGINS).exists() for each in folders if each
    )


class _EagerRuntime:
    """The part of TensorFlow that comes early."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._operators: dict[str, Callable[..., Any]] = {}

    def begin(self) -> None:
        """Import it, in the order of TensorFlow's own import."""
        for name, value in self._variables.items():
            os.environ.setdefault(name, value)
        import_module("tensorflow.python.pywrap_tensorflow")
        os.environ["TF2_BEHAVIOR"] = "1"
        import_module("tensorflow.python.tf2").enable()
        ops = eager.runtime().ops
        kernels = Path(sys.modules["tensorflow"].__path__[0], _KERNELS)
        if kernels.exists():
            import_module("tensorflow.python.framework.load_library").load_library(str(kernels))
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
