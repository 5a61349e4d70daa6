"""Keras 2: where its modules are, and the patches of its layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import FunctionType, MethodType, ModuleType
from typing import Any

from fastload.runtime.core.rebuild import Rebuild, current_rebuild
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import BlankSheet
from fastload.runtime.requirements import KERAS2, KERAS2_SEEDS, OUTPUT_SPECS


@dataclass(frozen=True, slots=True, kw_only=True)
class Keras2:
    """The modules of one Keras 2 that a restore uses.

    Attributes:
        package: the importable name (`tf_keras`, or `keras` for the Keras inside TensorFlow 2.8 to
            2.15).
        legacy_save: dispatches SavedModel and HDF5 files.
        saved_model_load: the SavedModel loader.
        hdf5_format: the legacy HDF5 loader.
        saving_lib: the `.keras` loader, or None before it existed.
        backend, base_layer, base_layer_utils, keras_tensor, functional, tf_inspect: Keras's
            modules.
    """

    package: str
    legacy_save: ModuleType
    backend: ModuleType
    base_layer: ModuleType
    base_layer_utils: ModuleType
    keras_tensor: ModuleType
    functional: ModuleType
    tf_inspect: ModuleType


@functools.cache
def keras2(package: str) -> Keras2:
    """Import the modules of the Keras 2 called *package*.

    Raises:
        UnsupportedRuntimeError: a module, or a name in one, is missing.
    """
    OUTPUT_SPECS.part("base_layer", package)
    names = (each.name for each in fields(Keras2) if each.name != "package")
    return Keras2(package=package, **{name: KERAS2.part(name, package) for name in names})


def patched_make_variable(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Create variables blank in a rebuild, where they can wait for their weights."""

    @functools.wraps(stock)
    def make_variable(
        name: str, shape: Any = None, dtype: Any = None, initializer: Any = None, **kwargs: Any
    ) -> Any:
        rebuild = current_rebuild()
        if rebuild is None or not _can_wait(initializer, shape, dtype, kwargs):
            return stock(name, shape=shape, dtype=dtype, initializer=initializer, **kwargs)
        blank = functools.partial(_blank, rebuild, initializer)
        variable = stock(name, shape=shape, dtype=dtype, initializer=blank, **kwargs)
        rebuild.blanks.append((variable, _initial_value(initializer, variable)))
        return variable

    return make_variable


def _can_wait(initializer: Any, shape: Any, dtype: Any, kwargs: Mapping[str, Any]) -> bool:
    return (
        callable(initializer)
        and tensorflow().TensorShape(shape).is_fully_defined()
        and kwargs.get("layout") is None
        and dtype is not None
        and BlankSheet.fits(tensorflow().as_dtype(dtype))
    )


def _blank(rebuild: Rebuild, initializer: Any, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
    tf = tensorflow()
    _draw_seed(initializer)
    return rebuild.sheet.tensor(tuple(tf.TensorShape(shape).as_list()), tf.as_dtype(dtype))


def _draw_seed(initializer: Any) -> None:
    """Draw a seed as the stock initializer would, so that later objects get theirs."""
    generator = getattr(initializer, "_random_generator", None)
    if generator is None or not hasattr(generator, "_maybe_init"):
        return
    generator._maybe_init()
    # Stateful initializers of Keras 2.8 draw TensorFlow's seeds.
    is_stateless = getattr(generator, "_rng_type", None) == "stateless"
    if not is_stateless and getattr(generator, "_generator", None) is None:
        KERAS2_SEEDS.check(generator, "RandomGenerator")
        KERAS2_SEEDS.part("random_seed").get_seed(generator.make_legacy_seed())


def _initial_value(initializer: Any, variable: Any) -> Callable[[], Any]:
    def initial_value() -> Any:
        made = initializer() if isinstance(initializer, type) else initializer
        return made(variable.shape, dtype=variable.dtype)

    return initial_value


def patched_connect_ancillary_layers(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Skip layers that the model has; stock lists all layers again for each of them."""

    @functools.wraps(stock)
    def connect_ancillary_layers(model: Any, created_layers: Mapping[str, Any]) -> Any:
        if current_rebuild() is None:
            return stock(model, created_layers)
        present = {id(layer) for layer in model.layers}
        return stock(
            model,
            {name: layer for name, layer in created_layers.items() if id(layer) not in present},
        )

    return connect_ancillary_layers


def patched_getfullargspec(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Inspect each function once in a rebuild, not once for each layer."""

    @functools.wraps(stock)
    def getfullargspec(obj: Any) -> Any:
        rebuild = current_rebuild()
        # Methods bound to different layers have one signature.
        function = obj.__func__ if isinstance(obj, MethodType) else obj
        if rebuild is None or not isinstance(function, FunctionType):
            return stock(obj)
        if function not in rebuild.argspecs:
            rebuild.argspecs[function] = stock(obj)
        return rebuild.argspecs[function]

    return getfullargspec
