"""Which Keras a load is for, and whether fastload can stand in for it at this moment."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, Literal

from fastload.errors import UnsupportedRequestError, UnsupportedRuntimeError
from fastload.runtime.core.backend import (
    SERVED,
    TENSORFLOW,
    backend_of,
    needs_no_tensorflow,
)
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.importing import import_module
from fastload.runtime.requirements import NAMES_OF_KERAS
from fastload.switch import as_stock

KerasChoice = Literal["auto", "keras", "tf_keras"]
KERAS2: Final = "keras2"
KERAS3: Final = "keras3"
_KERAS3_SINCE: Final = (3, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keras:
    """A Keras.

    Attributes:
        generation: `keras2` or `keras3`.
        package: the module that it is imported as (`keras` or `tf_keras`).
        version: its version.
        module: the package itself.
    """

    generation: str
    package: str
    version: str
    module: Any

    @property
    def backend(self) -> str:
        """What it runs on; Keras 2 knows TensorFlow only."""
        return TENSORFLOW if self.generation == KERAS2 else str(self.module.backend.backend())

    @property
    def load_model(self) -> Callable[..., Any]:
        """The stock loader, also where an import hook stands in for it."""
        return as_stock(self.module.models.load_model)


def keras_of(choice: KerasChoice) -> Keras:
    """Import the Keras of *choice*.

    `auto` is the one that `tf.keras` is in this process; or, where Keras does without TensorFlow,
    `keras`.

    Raises:
        ValueError: *choice* is none of the three.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
    """
    _require_choice(choice)
    package = _package_of_this_process() if choice == "auto" else choice
    module = _public(import_module(package))
    major = int(module.__version__.partition(".")[0])
    generation = KERAS3 if (major, 0) >= _KERAS3_SINCE else KERAS2
    return Keras(generation=generation, package=package, version=module.__version__, module=module)


def _public(keras: Any) -> Any:
    """Return the public face of *keras*: before Keras 2.13 only TensorFlow had it."""
    return keras if hasattr(keras.utils, "get_registered_object") else tensorflow().keras


def _package_of_this_process() -> str:
    if _has_keras3() and needs_no_tensorflow(os.environ):
        return "keras"
    # The module path of a public function tells: `tf.keras` itself is a lazy loader with no name of
    # its own.
    module: str = tensorflow().keras.models.load_model.__module__
    return module.partition(".")[0]


def expected_generation(choice: KerasChoice, environ: Mapping[str, str]) -> str:
    """Say which Keras `keras_of` will find, without importing TensorFlow.

    TensorFlow 2.16 made Keras 3 its `tf.keras`, unless `TF_USE_LEGACY_KERAS` is set.

    Raises:
        ValueError: *choice* is none of the three.
    """
    _require_choice(choice)
    if choice == "keras":
        return KERAS3 if _has_keras3() else KERAS2
    if choice == "auto" and _has_keras3() and needs_no_tensorflow(environ):
        return KERAS3
    if choice == "tf_keras" or environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        return KERAS2
    return KERAS3 if _version(*_TENSORFLOWS) >= (2, 16) else KERAS2


def predicted_package(choice: KerasChoice, environ: Mapping[str, str]) -> str:
    """Say which package `keras_of` will import, without importing TensorFlow.

    Raises:
        ValueError: *choice* is none of the three.
    """
    if choice != "auto":
        _require_choice(choice)
        return choice
    legacy = expected_generation(choice, environ) == KERAS2 and _version(*_TENSORFLOWS) >= (2, 16)
    return "tf_keras" if legacy else "keras"


def _has_keras3() -> bool:
    return _version("keras") >= _KERAS3_SINCE


def _require_choice(choice: str) -> None:
    if choice not in ("auto", "keras", "tf_keras"):
        raise ValueError(f"keras={choice!r} is not understood: use 'auto', 'keras' or 'tf_keras'")


_TENSORFLOWS: Final = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly")
#: Newer than any: where a distribution goes by another name, the newest kind is the likeliest.
_UNKNOWN_VERSION: Final = (99, 0)


def _version(*distributions: str) -> tuple[int, int]:
    """Return major and minor version of the first of *distributions* that is installed."""
    for name in distributions:
        try:
            major, minor = metadata.version(name).split(".")[:2]
        except metadata.PackageNotFoundError:
            continue
        return int(major), int(minor)
    return _UNKNOWN_VERSION


def require_plain_moment(keras: Keras) -> None:
    """Check that a model made now is an ordinary eager one, on a backend that fastload knows.

    Raises:
        UnsupportedRequestError: eager execution is off, or a distribution is active.
        UnsupportedRuntimeError: Keras runs on another backend.
    """
    if keras.backend not in SERVED:
        raise UnsupportedRuntimeError(f"Keras runs on {keras.backend}")
    backend_of(keras.backend).require_plain()
    if _has_layout_scope(keras):
        raise UnsupportedRequestError("a Keras distribution is active")


def require_tensorflow(keras: Keras, what: str) -> None:
    """Check that *keras* runs on TensorFlow, which *what* needs.

    Raises:
        UnsupportedRuntimeError: it runs on another backend.

    Example:
        >>> keras2 = Keras(generation=KERAS2, package="tf_keras", version="2.21.0", module=None)
        >>> require_tensorflow(keras2, "a predictor")
    """
    if keras.backend != TENSORFLOW:
        backend = keras.backend
        raise UnsupportedRuntimeError(f"{what} needs TensorFlow, and Keras runs on {backend}")


def require_parameter(keras: Keras, name: str) -> None:
    """Check that stock's `load_model` knows the argument *name*: it raises where it does not.

    Raises:
        UnsupportedRequestError: it does not.
    """
    known = inspect.signature(keras.module.models.load_model).parameters
    if name not in known:
        raise UnsupportedRequestError(f"Keras {keras.version} has no argument {name!r}")


def _has_layout_scope(keras: Keras) -> bool:
    if keras.generation == KERAS2 or NAMES_OF_KERAS.loaded("distribution_lib") is None:
        return False
    return keras.module.distribution.distribution() is not None


def tracing_choices(keras: Keras) -> tuple[str, ...]:
    """Return all that a model's function depends on besides the model: the Keras, its settings."""
    backend = keras.module.backend
    settings = (backend.floatx(), backend.epsilon(), backend.image_data_format())
    return (keras.package, keras.version, *map(str, settings))


def is_known(keras: Keras, name: str) -> bool:
    """Say whether Keras itself can resolve *name*: a part of Keras, or registered with Keras."""
    registered = keras.module.utils.get_registered_object(name)
    bare = name.rpartition(">")[2]
    if registered is not None or bare in _INTERNAL or _is_shorthand(keras, bare):
        return True
    return any(hasattr(part, bare) for part in _parts(keras))


def is_builtin(keras: Keras, name: str) -> bool:
    """Say whether *name* is part of Keras itself, and nothing that a program registered.

    A function written into the file (`Lambda`) is not.
    """
    registered = keras.module.utils.get_registered_object(name)
    if registered is not None and _root(registered) not in _KERAS_PACKAGES:
        return False
    return name not in ("Lambda", "__lambda__") and is_known(keras, name)


def _root(kind: Any) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


_KERAS_PACKAGES: Final = frozenset({"keras", "tf_keras"})


def _is_shorthand(keras: Keras, name: str) -> bool:
    """Say whether *name* is one of those that Keras 3 knows and does not export (`mse`, `cce`)."""
    if keras.generation == KERAS2:
        return False
    parts = map(NAMES_OF_KERAS.optional, ("losses", "metrics"))
    return any(name in getattr(part, "ALL_OBJECTS_DICT", {}) for part in parts)


#: Class names that Keras writes into configurations and does not export under the names below.
_INTERNAL: Final = frozenset(
    {
        "Functional",
        "Sequential",
        "Model",
        "TensorShape",
        "TypeSpec",
        "__tuple__",
        "__lambda__",
        "function",
        "Policy",
    }
    | {
        "DTypePolicy",
        "InputSpec",
        "TFOpLambda",
        "SlicingOpLambda",
        "Network",
        "__tensor__",
        "__keras_tensor__",
    }
    | {
        "accuracy",
        "acc",
        "crossentropy",
        "ce",
    }  # `compile` makes a metric of them that suits the loss
    | {
        "__numpy__",
        "__bytes__",
        "__ellipsis__",
        "__slice__",
        "__typespec__",
        "__class__",
        "__type__",
        "SeedGenerator",
    }
)


def _parts(keras: Keras) -> list[Any]:
    names = (
        "layers",
        "models",
        "activations",
        "initializers",
        "regularizers",
        "constraints",
        "losses",
        "metrics",
    )
    parts = [getattr(keras.module, name) for name in (*names, "optimizers")]
    return [*parts, keras.module.optimizers.schedules]
