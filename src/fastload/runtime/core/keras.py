"""Which Keras a load is for, its backend, and whether a restore can run at this moment."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from fastload.cache.entry import KERAS2, KERAS3
from fastload.errors import (
    UnsupportedRequestError,
    UnsupportedRuntimeError,
    UnsupportedSourceError,
)
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.importing import import_module
from fastload.runtime.requirements import NAMES_OF_KERAS, STATE
from fastload.source.detect import ModelSource, SourceKind
from fastload.switch import as_stock

TENSORFLOW: Final = "tensorflow"
#: Names of `keras3.saved_function_layer.SavedFunctionLayer` in configurations.
OF_FUNCTIONS: Final = frozenset({"SavedFunctionLayer", "fastload>SavedFunctionLayer"})
TORCH: Final = "torch"
#: The supported ones; each has a module in `backends`.
SERVED: Final = frozenset({TENSORFLOW, "jax", TORCH})


def backend_of(name: str) -> ModuleType:
    """Return the adapter module of the backend called *name*, one of `SERVED`.

    Its `patches(variable, initializer)` takes Keras's classes of both and returns the patches that
    make variables wait for their weights; its `require_plain()` raises an error where a variable
    created now would not be an ordinary one, or one of a strategy with one device.
    """
    return importlib.import_module(f"{__package__}.backends.{name}_variables")


def configured_backend(environ: Mapping[str, str]) -> str:
    """Return the backend of this process's Keras 3, or the one it would have if imported now.

    Args:
        environ: the environment, which overrides Keras's settings file.

    Example:
        >>> configured_backend({"KERAS_BACKEND": "jax"}) in ("jax", "tensorflow")
        True
    """
    config = NAMES_OF_KERAS.loaded("config")
    if config is not None and hasattr(config, "backend"):
        return str(config.backend())
    return environ.get("KERAS_BACKEND") or _backend_in_settings_file(environ)


def needs_no_tensorflow(environ: Mapping[str, str]) -> bool:
    """Say whether the Keras of this process works without TensorFlow."""
    return TENSORFLOW not in sys.modules and configured_backend(environ) != TENSORFLOW


def _backend_in_settings_file(environ: Mapping[str, str]) -> str:
    folder = environ.get("KERAS_HOME")
    path = (Path(folder) if folder else Path("~/.keras").expanduser()) / "keras.json"
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return TENSORFLOW
    named = settings.get("backend") if isinstance(settings, dict) else None
    return named if isinstance(named, str) else TENSORFLOW


KerasChoice = Literal["auto", "keras", "tf_keras"]
_KERAS3_SINCE: Final = (3, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keras:
    """An imported Keras.

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
        """Its backend; that of Keras 2 is always TensorFlow."""
        return TENSORFLOW if self.generation == KERAS2 else str(self.module.backend.backend())

    @property
    def load_model(self) -> Callable[..., Any]:
        """The stock loader, also where an import hook stands in for it."""
        return as_stock(self.module.models.load_model)


def keras_of(choice: KerasChoice) -> Keras:
    """Import the Keras of *choice*.

    `auto` is the one behind `tf.keras` in this process or, where Keras's backend is not TensorFlow,
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


def package_of_model(model: Any) -> KerasChoice:
    """Return which Keras a model is of; `auto` where it is of none."""
    for kind in type(model).__mro__:
        package = kind.__module__.partition(".")[0]
        if package == "keras":
            return "keras"
        if package == "tf_keras":
            return "tf_keras"
    return "auto"


def require_own_method(keras: Keras, model: Any, name: str) -> None:
    """Check that a method of *model* is Keras's own.

    Raises:
        UnsupportedRequestError: the program has written another one.
    """
    kind = next((each for each in type(model).__mro__ if name in vars(each)), type(model))
    if kind.__module__.partition(".")[0] != keras.package:
        raise UnsupportedRequestError(f"{kind.__name__} has a method {name}() of its own")


def _public(keras: Any) -> Any:
    """Return the package with the public API: before Keras 2.13 only `tf.keras` had it."""
    return keras if hasattr(keras.utils, "get_registered_object") else tensorflow().keras


def _package_of_this_process() -> str:
    if _has_keras3() and needs_no_tensorflow(os.environ):
        return "keras"
    # `tf.keras` itself is a lazy loader without a name of its own; its functions know theirs.
    module: str = tensorflow().keras.models.load_model.__module__
    return module.partition(".")[0]


def expected_generation(choice: KerasChoice, environ: Mapping[str, str]) -> str:
    """Return the generation that `keras_of` will find, without importing TensorFlow.

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
    """Return the package that `keras_of` will import, without importing TensorFlow.

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
#: Newer than any: a distribution of another name is most likely a recent one.
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


def require_plain_moment(keras: Keras, *, may_be_scoped: bool = False) -> None:
    """Check that a model created now would be an ordinary eager one, on a supported backend.

    Args:
        keras: the Keras.
        may_be_scoped: a distribution strategy of TensorFlow's may be active, if it has one device.

    Raises:
        UnsupportedRequestError: eager execution is off, or a distribution is active.
        UnsupportedRuntimeError: Keras runs on another backend.
    """
    if keras.backend not in SERVED:
        raise UnsupportedRuntimeError(f"Keras runs on {keras.backend}")
    backend_of(keras.backend).require_plain(may_be_scoped=may_be_scoped)
    if _has_layout_scope(keras):
        raise UnsupportedRequestError("a Keras distribution is active")


def require_tensorflow(keras: Keras, what: str) -> None:
    """Check that *keras* runs on TensorFlow, which *what* requires.

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
    """Check that stock's `load_model` takes the argument *name*.

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
    """Return what a model's function depends on besides the model: the Keras and its settings."""
    backend = keras.module.backend
    settings = (backend.floatx(), backend.epsilon(), backend.image_data_format())
    policy = _policy_name(keras)
    return (keras.package, keras.version, *map(str, settings), policy, *_learning_phase(keras))


def _learning_phase(keras: Keras) -> tuple[str, ...]:
    """Return what layers of Keras 2 take for `training` in this thread, if that was set.

    Before Keras 2.12 the first layer that asks for it sets it.
    """
    if keras.generation != KERAS2:
        return ()
    backend = STATE.part("keras2", keras.package)
    is_set = getattr(backend, "global_learning_phase_is_set", bool)
    return (f"learning phase {backend.learning_phase()}",) if is_set() else ()


def _policy_name(keras: Keras) -> str:
    """Return the name of the global dtype policy, which is made at its first use, not here."""
    if keras.generation == KERAS2:
        return str(keras.module.mixed_precision.global_policy().name)
    state = STATE.part("keras3")
    policy = state.get_global_attribute("dtype_policy", None)
    return str(keras.module.backend.floatx() if policy is None else policy.name)


def is_known(keras: Keras, name: str) -> bool:
    """Say whether Keras itself resolves *name*: a part of Keras, or registered with Keras.

    The layer of functions is registered where a twin has one (`keras3.keras3_loaders`).
    """
    if name in OF_FUNCTIONS:
        return True
    registered = keras.module.utils.get_registered_object(name)
    bare = name.rpartition(">")[2]
    if registered is not None or bare in _INTERNAL or _is_shorthand(keras, bare):
        return True
    return any(hasattr(part, bare) for part in _parts(keras))


def is_builtin(keras: Keras, name: str) -> bool:
    """Say whether *name* is part of Keras itself and not registered by a program.

    A function written into the file (`Lambda`) is not.
    """
    if name in OF_FUNCTIONS:
        return True
    registered = keras.module.utils.get_registered_object(name)
    if registered is not None and not _is_own(keras, name, registered):
        return False
    return name not in ("Lambda", "__lambda__") and is_known(keras, name)


def _is_own(keras: Keras, name: str, registered: Any) -> bool:
    """Say whether what is registered under *name* is what Keras itself calls so."""
    bare = name.rpartition(">")[2]
    own = [getattr(part, bare) for part in _parts(keras) if hasattr(part, bare)]
    if own:
        return any(each is registered for each in own)
    root = str(getattr(registered, "__module__", "")).partition(".")[0]
    return root == keras.package and getattr(registered, "__name__", "") == bare


def _is_shorthand(keras: Keras, name: str) -> bool:
    """Say whether *name* is one that Keras 3 resolves but does not export (`mse`, `cce`)."""
    if keras.generation == KERAS2:
        return False
    parts = map(NAMES_OF_KERAS.optional, ("losses", "metrics"))
    return any(name in getattr(part, "ALL_OBJECTS_DICT", {}) for part in parts)


#: Class names that Keras writes into configurations and does not export under the names below.
_INTERNAL: Final = frozenset(
    {"Functional", "Sequential", "Model", "Network", "TensorShape", "TypeSpec", "InputSpec"}
    | {"Policy", "DTypePolicy", "SeedGenerator", "TFOpLambda", "SlicingOpLambda", "function"}
    | {"__tuple__", "__lambda__", "__tensor__", "__keras_tensor__", "__numpy__", "__bytes__"}
    | {"__ellipsis__", "__slice__", "__typespec__", "__class__", "__type__"}
    | {"accuracy", "acc", "crossentropy", "ce"}  # `compile` chooses the metric by the loss
)
_PARTS: Final = (
    *("layers", "models", "activations", "initializers", "regularizers", "constraints"),
    *("losses", "metrics", "optimizers", "dtype_policies"),
)


def _parts(keras: Keras) -> list[Any]:
    parts = [getattr(keras.module, name) for name in _PARTS if hasattr(keras.module, name)]
    return [*parts, keras.module.optimizers.schedules]


#: The defaults of both generations (https://keras.io/api/utils/config_utils/).
_DEFAULT_SETTINGS: Final[Mapping[str, Any]] = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedKeras:
    """A Keras that is not imported yet.

    Attributes:
        name: `keras2` or `keras3`.
        choices: what `tracing_choices` will return for it.
    """

    name: str
    choices: tuple[str, ...]


def expected_keras(choice: KerasChoice) -> ExpectedKeras | None:
    """Return what the Keras of *choice* will be like; None if that is unknown, or it is imported.

    The stored function of a Keras model is for one Keras with its settings. Both can be known
    before Keras is imported, where only the environment and `keras.json` decide.

    Raises:
        ValueError: *choice* is none of the three.
    """
    package = predicted_package(choice, os.environ)
    settings = _initial_settings()
    if package in sys.modules or settings is None:
        return None
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    return ExpectedKeras(
        name=expected_generation(choice, os.environ),
        choices=(
            package,
            version,
            *(str(settings[name]) for name in _DEFAULT_SETTINGS),
            str(settings["floatx"]),  # the global dtype policy, until a program sets one
        ),
    )


def _initial_settings() -> Mapping[str, Any] | None:
    """Return the settings that Keras will start with.

    None if its backend is not TensorFlow, or Keras rejects its settings file.
    """
    home = os.environ.get("KERAS_HOME") or str(Path("~", ".keras"))
    try:
        content = json.loads(Path(home, "keras.json").expanduser().read_bytes())
    except (OSError, RuntimeError):
        content = {}
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("epsilon", 1.0), float):
        return None
    backend = os.environ.get("KERAS_BACKEND") or content.get("backend", "tensorflow")
    return {**_DEFAULT_SETTINGS, **content} if backend == "tensorflow" else None


#: The suffixes that stock loaders require, by generation and kind; None where any will do.
_SUFFIXES: Final[dict[tuple[str, SourceKind], frozenset[str] | None]] = {
    (KERAS2, SourceKind.SAVED_MODEL): None,
    (KERAS2, SourceKind.KERAS_HDF5): None,
    (KERAS2, SourceKind.KERAS_ARCHIVE): frozenset({".keras"}),
    (KERAS3, SourceKind.KERAS_HDF5): frozenset({".h5", ".hdf5"}),
    (KERAS3, SourceKind.KERAS_ARCHIVE): frozenset({".keras"}),
    (KERAS3, SourceKind.KERAS_FOLDER): None,
}


def opens(generation: str, source: ModelSource) -> bool:
    """Say whether the stock loader of a Keras opens such a source at all."""
    try:
        require_opens(generation, source)
    except UnsupportedSourceError:
        return False
    return True


def require_opens(generation: str, source: ModelSource) -> None:
    """Check that the stock loader of a Keras opens such a source at all.

    Args:
        generation: `keras2` or `keras3`.
        source: the model on disk.

    Raises:
        UnsupportedSourceError: it does not; the stock loader's own error follows.
    """
    if source.kind is SourceKind.KERAS_SHARDS:
        raise UnsupportedSourceError("it holds weights in shards, and no model")
    if source.kind is SourceKind.KERAS_FOLDER:
        _require_opens_folder(generation, source)
    if (generation, source.kind) not in _SUFFIXES:
        raise UnsupportedSourceError("Keras 3 opens no SavedModel (use keras='tf_keras')")
    suffixes = _SUFFIXES[generation, source.kind]
    if suffixes is not None and source.suffix not in suffixes:
        what = "HDF5 file" if source.kind is SourceKind.KERAS_HDF5 else "Keras archive"
        raise UnsupportedSourceError(
            f"it is a {what}, and Keras {generation[-1]} opens one only if its name ends in "
            f"{' or '.join(sorted(suffixes))}, not in {source.suffix!r}"
        )


def _require_opens_folder(generation: str, source: ModelSource) -> None:
    """Check that an unpacked archive is not called like a packed one, which Keras 3 would open.

    Raises:
        UnsupportedSourceError: it is, or it is for Keras 2.
    """
    if generation == KERAS2 or source.suffix == ".keras":
        raise UnsupportedSourceError(f"'{source.path}' is an unpacked Keras 3 model")
