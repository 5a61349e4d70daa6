"""Keras 2: where its modules are, and the patches of its layers."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import FunctionType, MethodType, ModuleType
from typing import Any

from fastload.runtime.core.blank_variables import can_be_blank
from fastload.runtime.core.rebuild import Rebuild, current_rebuild, is_code_of, is_own, is_sound
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import BlankSheet
from fastload.runtime.requirements import KERAS2_LOADS, KERAS2_SEEDS, OUTPUT_SPECS


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
        backend, base_layer, base_layer_utils, keras_tensor, functional, tf_inspect, initializers:
            Keras's modules.
    """

    package: str
    legacy_save: ModuleType
    backend: ModuleType
    base_layer: ModuleType
    base_layer_utils: ModuleType
    keras_tensor: ModuleType
    functional: ModuleType
    tf_inspect: ModuleType
    initializers: ModuleType


@functools.cache
def keras2(package: str) -> Keras2:
    """Import the modules of the Keras 2 called *package*.

    Raises:
        UnsupportedRuntimeError: a module, or a name in one, is missing.
    """
    OUTPUT_SPECS.part("base_layer", package)
    names = (each.name for each in fields(Keras2) if each.name != "package")
    return Keras2(package=package, **{name: KERAS2_LOADS.part(name, package) for name in names})


def patched_make_variable(base: type[Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    """Create variables blank in a rebuild, where they can wait for their weights.

    Args:
        base: Keras's base class of initializers.
        stock: Keras's function.
    """

    @functools.wraps(stock)
    def make_variable(
        name: str, shape: Any = None, dtype: Any = None, initializer: Any = None, **kwargs: Any
    ) -> Any:
        rebuild = current_rebuild()
        late = None
        if rebuild is not None and _can_wait(shape, dtype, kwargs):
            late = _late(initializer, base, shape, dtype, lingers=rebuild.lingers)
        if rebuild is None or late is None:
            return stock(name, shape=shape, dtype=dtype, initializer=initializer, **kwargs)
        blank = functools.partial(_blank, rebuild)
        variable = stock(name, shape=shape, dtype=dtype, initializer=blank, **kwargs)
        rebuild.make_blank(variable, functools.partial(late, variable.shape, dtype=variable.dtype))
        return variable

    return make_variable


def _can_wait(shape: Any, dtype: Any, kwargs: Mapping[str, Any]) -> bool:
    return (
        tensorflow().TensorShape(shape).is_fully_defined()
        and kwargs.get("layout") is None
        and dtype is not None
        and BlankSheet.fits(tensorflow().as_dtype(dtype))
        and can_be_blank()
    )


def _blank(rebuild: Rebuild, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
    tf = tensorflow()
    return rebuild.sheet.tensor(tuple(tf.TensorShape(shape).as_list()), tf.as_dtype(dtype))


def _late(
    initializer: Any, base: type[Any], shape: Any, dtype: Any, *, lingers: bool = False
) -> Any:
    """Draw, and warn, as the stock initializer would now; return one that makes its value later.

    None where that is impossible: it is a program's, or advances a generator that others draw from,
    or may fail.

    Args:
        initializer: of the variable.
        base: Keras's base class of initializers.
        shape: of the variable.
        dtype: of the variable.
        lingers: a program may run before the value is made.
    """
    tf = tensorflow()
    sizes, dtype = tf.TensorShape(shape).as_list(), tf.as_dtype(dtype).name
    if not is_own(initializer, base):
        is_known = not lingers and _is_forget_bias(initializer, base, sizes, dtype)
        return initializer if is_known else None
    if not is_sound(initializer, sizes, dtype):
        return None
    generator = getattr(initializer, "_random_generator", None)
    if generator is None:
        return copy.copy(initializer)
    generator._maybe_init()
    is_stateless = getattr(generator, "_rng_type", None) == "stateless"
    if not (is_stateless or (_draws_alone(generator) and not lingers)):
        return None
    if hasattr(initializer, "_warn_reuse"):
        initializer._warn_reuse()
    initializer = copy.copy(initializer)
    initializer._random_generator = copy.copy(generator) if is_stateless else _drawn(generator)
    initializer._used = False
    return initializer


def _draws_alone(generator: Any) -> bool:
    """Say whether what a generator of Keras 2.8 draws depends on no other draw.

    TensorFlow counts how often it drew with the same two seeds, until a program sets a seed. Only
    where Keras gets no seed are they different for each.
    """
    is_seeded = getattr(generator, "_seed", None) is not None
    return not is_seeded and getattr(generator, "_generator", None) is None


def _is_forget_bias(initializer: Any, base: type[Any], shape: Any, dtype: Any) -> bool:
    """Say whether it is the function of Keras's LSTMs for biases, and draws nothing."""
    code = getattr(initializer, "__code__", None)
    if getattr(code, "co_freevars", None) != ("self",) or not is_code_of(initializer, base):
        return False
    other = getattr(initializer.__closure__[0].cell_contents, "bias_initializer", None)
    is_drawn = hasattr(other, "_random_generator")
    return is_own(other, base) and not is_drawn and is_sound(other, shape, dtype)


def _drawn(generator: Any) -> Any:
    """Draw TensorFlow's seeds, as stateful initializers of Keras 2.8 do; return them for later."""
    KERAS2_SEEDS.check(generator, "RandomGenerator")
    _, seed = KERAS2_SEEDS.part("random_seed").get_seed(generator.make_legacy_seed())
    generator = copy.copy(generator)
    generator._seed = seed
    return generator


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
