"""Keras 2: where its parts are, and the taps on its layers.

It is tf-keras, and the Keras inside TensorFlow up to 2.15.
"""

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
    """The modules of one Keras 2 that a restore touches.

    Attributes:
        package: the importable name (`tf_keras`, or `keras` for the Keras inside TensorFlow 2.8 to
            2.15).
        legacy_save: dispatches SavedModel and HDF5 files.
        backend, base_layer, base_layer_utils, keras_tensor, functional, tf_inspect: as in Keras.
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
    """Find the parts of the Keras 2 that is importable as *package*.

    Raises:
        UnsupportedRuntimeError: a part is missing or not shaped as expected.
    """
    OUTPUT_SPECS.part("base_layer", package)
    names = (each.name for each in fields(Keras2) if each.name != "package")
    return Keras2(package=package, **{name: KERAS2.part(name, package) for name in names})


def tap_variables(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Make variables blank in a rebuild, where they can wait for their weights."""

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
    """Take a seed as the stock initializer would: what is made later must not get another."""
    generator = getattr(initializer, "_random_generator", None)
    if generator is None or not hasattr(generator, "_maybe_init"):
        return
    generator._maybe_init()
    # Initializers of Keras 2.8 have operations with a state draw, which take TensorFlow's seeds.
    is_stateless = getattr(generator, "_rng_type", None) == "stateless"
    if not is_stateless and getattr(generator, "_generator", None) is None:
        KERAS2_SEEDS.check(generator, "RandomGenerator")
        KERAS2_SEEDS.part("random_seed").get_seed(generator.make_legacy_seed())


def _initial_value(initializer: Any, variable: Any) -> Callable[[], Any]:
    def initial_value() -> Any:
        made = initializer() if isinstance(initializer, type) else initializer
        return made(variable.shape, dtype=variable.dtype)

    return initial_value


def tap_ancillary_layers(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Spare Keras from listing all layers of the model again for each of them."""

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


def tap_argspecs(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Look at the signature of a function once in a rebuild, not once for each layer."""

    @functools.wraps(stock)
    def getfullargspec(obj: Any) -> Any:
        rebuild = current_rebuild()
        # A method bound to another layer is another object with the same signature.
        function = obj.__func__ if isinstance(obj, MethodType) else obj
        if rebuild is None or not isinstance(function, FunctionType):
            return stock(obj)
        if function not in rebuild.argspecs:
            rebuild.argspecs[function] = stock(obj)
        return rebuild.argspecs[function]

    return getfullargspec
