"""Everything that can be told of a loaded model, as plain JSON values, one aspect a function.

A worker process describes models loaded by one loader; the tests compare the descriptions of two.
Arrays are told by dtype, shape, digest and first values. Nothing here knows how fastload works.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from contract.lambda_code import without_references
from contract.saved_files import describe_saved
from zoo.catalogue import Kit
from zoo.samples import inputs_of, targets_of

_ADDRESS: Final = re.compile(r"0x[0-9a-f]+")
#: What TensorFlow appends to the name of a function: how many there were in the process.
_FUNCTION: Final = re.compile(r"(__inference_\w+?)_\d+\b")
_HEAD: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model under description.

    Attributes:
        kit: the Keras it lives in.
        model: what the loader returned.
        folder: where it may be saved again.
    """

    kit: Kit
    model: Any
    folder: Path


def guarded(describe: Callable[[], Any]) -> Any:
    """Return what *describe* returns, or the error that it raises, as a value to compare."""
    try:
        return describe()
    except Exception as error:
        # TensorFlow goes on to say where in its own process the model was made.
        message = str(error).partition(" defined at (most recent call last)")[0]
        return {"raises": class_name(type(error)), "message": without_addresses(message)}


def without_addresses(text: str) -> str:
    """Return *text* without what differs from run to run: addresses, and numbers of functions."""
    return _FUNCTION.sub(r"\1", _ADDRESS.sub("0x", text))


def class_name(cls: type) -> str:
    """Return where *cls* says it is from, and its name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def plain(value: Any) -> Any:
    """Return *value* as JSON holds it; what JSON has no word for becomes its `repr`."""
    text = json.dumps(value, default=lambda item: without_addresses(repr(item)), sort_keys=True)
    return json.loads(without_references(text))


def bits(value: Any) -> Any:
    """Return dtype, shape, digest and first values of a tensor, variable or array."""
    if hasattr(value, "flat_values"):
        return {"values": bits(value.flat_values), "lengths": bits(value.nested_row_lengths()[0])}
    if hasattr(value, "indices") and hasattr(value, "dense_shape"):
        return {"values": bits(value.values), "indices": bits(value.indices)}
    if type(value).__name__ == "VocabWeightHandler":
        return "a table, which Keras 2 counts as a weight and nobody can read as one"
    value = value.detach() if hasattr(value, "detach") else value
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    data = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": hashlib.sha256(data).hexdigest(),
        "head": [str(item) for item in array.ravel()[:_HEAD]],
    }


def structure_of(subject: Subject) -> Any:
    """Class, name, graph ends, and each layer below with its flags and dtypes."""
    model = subject.model
    layers = list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else []
    return {
        "classes": [class_name(cls) for cls in type(model).__mro__],
        "attributes": _public_names(model),
        "layer_count": guarded(lambda: len(model.layers)),
        "layers": [_layer(layer) for layer in layers],
        **_attributes(model, ("inputs", "outputs", "input_shape", "output_shape")),
        **_attributes(model, ("input_names", "output_names", "tag", "settings")),
        "signatures": guarded(lambda: _signatures(model)),
    }


def config_of(subject: Subject) -> Any:
    """The config, the JSON form and the printed summary."""
    model, lines = subject.model, list[str]()
    return {
        "config": guarded(lambda: plain(model.get_config())),
        "json": guarded(lambda: plain(json.loads(model.to_json()))),
        "build_config": guarded(lambda: plain(model.get_build_config())),
        "summary": guarded(lambda: model.summary(print_fn=lambda line, **_: lines.append(line))),
        "summary_lines": lines,
    }


def weights_of(subject: Subject) -> Any:
    """Each list of variables that a model keeps, in its order, to the bit."""
    model = subject.model
    names = ("weights", "trainable_weights", "non_trainable_weights", "variables")
    extra = getattr(model, "extra", None)
    return {
        **{name: guarded(lambda name=name: _variables(getattr(model, name))) for name in names},
        "get_weights": guarded(lambda: [bits(array) for array in model.get_weights()]),
        "extra": None if extra is None else guarded(lambda: bits(extra)),
    }


def compile_state_of(subject: Subject) -> Any:
    """Loss, metrics, optimizer with every slot, and the switches of `compile`."""
    model = subject.model
    optimizer = getattr(model, "optimizer", None)
    return {
        "optimizer": None if optimizer is None else _optimizer(optimizer),
        "loss": guarded(lambda: plain(model.loss)),
        "losses": guarded(lambda: len(model.losses)),
        "metrics": guarded(lambda: [[class_name(type(m)), m.name] for m in model.metrics]),
        "compile_config": guarded(lambda: plain(model.get_compile_config())),
        **_attributes(model, ("metrics_names", "compiled", "_is_compiled", "run_eagerly")),
        **_attributes(model, ("jit_compile", "steps_per_execution", "_loss_weights")),
        **_attributes(model, ("stop_training", "train_function", "predict_function")),
    }


def predicted(model: Any, inputs: Any, **arguments: Any) -> Any:
    """Outputs of `predict`."""
    return guarded(lambda: _outputs(model.predict(inputs, verbose=0, **arguments)))


def call_of(subject: Subject) -> Any:
    """Outputs of a direct call for inference."""
    inputs = inputs_of(subject.kit, subject.model)
    return guarded(lambda: _outputs(subject.model(inputs, training=False)))


def behaviour_of(subject: Subject) -> Any:
    """Outputs of a training call and of `predict`, then what `fit` does from the same seed."""
    model, kit = subject.model, subject.kit
    inputs = inputs_of(kit, model)
    kit.keras.utils.set_random_seed(5)
    in_training = guarded(lambda: _outputs(model(inputs, training=True)))
    kit.keras.utils.set_random_seed(6)
    results = predicted(model, inputs, batch_size=2)
    return {
        "call_in_training": in_training,
        "predict": results,
        "fit": guarded(lambda: _fit(kit, model, inputs)),
        "weights_after": weights_of(subject),
        "compile_state_after": compile_state_of(subject),
    }


def saved_again(subject: Subject) -> Any:
    """What the stock saver writes of this model: the same names, attributes and bits."""
    generation = int(subject.kit.keras.__version__[0])
    suffixes = ("h5", "keras") if generation == 3 else ("h5",)
    return {suffix: guarded(lambda s=suffix: _save(subject, s)) for suffix in suffixes}


def names_after(kit: Kit) -> Any:
    """The names that the next layers and models get by themselves."""
    layers = kit.layers
    fresh = [layers.Dense(1), layers.BatchNormalization(), layers.LSTM(1), kit.keras.Sequential()]
    inputs = kit.keras.Input((1,))
    return [*(item.name for item in fresh), inputs.name, kit.keras.Model(inputs, inputs).name]


def randomness_after(kit: Kit) -> Any:
    """The next number of every random source that a program can draw from."""
    keras = kit.keras
    draw = keras.random.uniform if hasattr(keras, "random") else keras.backend.random_uniform
    return {
        "python": random.random(),
        "numpy": float(np.random.random()),  # noqa: NPY002 - the global one is meant
        "tensorflow": bits(kit.tf.random.uniform((2,))),
        "keras": bits(draw((2,))),
        "initializer": bits(keras.initializers.GlorotUniform()((2, 2))),
    }


def switches_after(kit: Kit) -> Any:
    """Global switches that a load must not move."""
    mixed = getattr(kit.keras, "mixed_precision", None)
    policy = kit.keras.config.dtype_policy() if mixed is None else mixed.global_policy()
    return {
        "floatx": kit.keras.backend.floatx(),
        "policy": plain(policy.name),
        "eager": kit.tf.executing_eagerly(),
        "functions_run_eagerly": kit.tf.config.functions_run_eagerly(),
        "strategy": class_name(type(kit.tf.distribute.get_strategy())),
    }


#: What is told of every model, and what only of those described in full (it traces and trains).
LIGHT: Final[dict[str, Callable[[Subject], Any]]] = {
    "structure": structure_of,
    "config": config_of,
    "weights": weights_of,
    "compile state": compile_state_of,
    "call": call_of,
}
FULL: Final[dict[str, Callable[[Subject], Any]]] = {
    **LIGHT,
    "behaviour": behaviour_of,
    "saved again": saved_again,
}


def describe(subject: Subject, aspects: dict[str, Callable[[Subject], Any]]) -> dict[str, Any]:
    """Return the description of a model by aspect, in the order of *aspects*."""
    return {name: guarded(lambda tell=tell: tell(subject)) for name, tell in aspects.items()}


def _signatures(model: Any) -> dict[str, str]:
    """Name and arguments of each signature; the functions are as unlike as two traces."""
    found = getattr(model, "signatures", None) or {}
    specs = {name: found[name].structured_input_signature for name in found}
    return {
        name: str([positional, sorted(named.items())])
        for name, (positional, named) in specs.items()
    }


def _public_names(item: Any) -> list[str]:
    return sorted(name for name in vars(item) if not name.startswith("_") or "fastload" in name)


def _attributes(item: Any, names: Iterable[str]) -> dict[str, Any]:
    absent = "no such attribute"
    return {name: guarded(lambda n=name: plain(getattr(item, n, absent))) for name in names}


def _layer(layer: Any) -> dict[str, Any]:
    names = ("name", "dtype", "compute_dtype", "variable_dtype", "trainable", "built", "stateful")
    more = ("input_spec", "supports_masking", "dynamic", "autocast", "quantization_mode", "path")
    policy = getattr(layer, "dtype_policy", None)
    return {
        "class": class_name(type(layer)),
        "attributes": _public_names(layer),
        "policy": getattr(policy, "name", None),
        "nodes": len(getattr(layer, "_inbound_nodes", ())),
        "weights": guarded(lambda: [_name(weight) for weight in layer.weights]),
        **_attributes(layer, names),
        **_attributes(layer, more),
    }


def _variables(variables: Iterable[Any]) -> list[dict[str, Any]]:
    return [_variable(variable) for variable in variables]


def _variable(variable: Any) -> dict[str, Any]:
    kept = ("trainable", "dtype", "shape", "device", "aggregation", "synchronization", "path")
    return {
        "name": _name(variable),
        "class": class_name(type(variable)),
        "value": guarded(lambda: bits(variable)),
        "tensor": guarded(lambda: _tensor(variable)),
        **_attributes(variable, kept),
    }


def _tensor(variable: Any) -> Any:
    """Tell what PyTorch and JAX say of the tensor in a variable."""
    names = ("requires_grad", "is_leaf", "device", "weak_type", "committed", "sharding")
    value = getattr(variable, "value", None)
    strides = getattr(value, "stride", None)
    return {
        "strides": list(strides()) if callable(strides) else None,
        **_attributes(value, names),
    }


def _name(variable: Any) -> Any:
    return getattr(variable, "name", None)


def _optimizer(optimizer: Any) -> dict[str, Any]:
    variables = optimizer.variables
    return {
        "class": class_name(type(optimizer)),
        "attributes": _public_names(optimizer),
        "config": guarded(lambda: plain(optimizer.get_config())),
        "iterations": guarded(lambda: bits(optimizer.iterations)),
        "learning_rate": guarded(lambda: bits(optimizer.learning_rate)),
        "variables": guarded(lambda: _variables(variables() if callable(variables) else variables)),
        "built": getattr(optimizer, "built", getattr(optimizer, "_built", None)),
    }


def _outputs(outputs: Any) -> Any:
    if isinstance(outputs, dict):
        return {name: _outputs(output) for name, output in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [_outputs(output) for output in outputs]
    return bits(outputs)


def _fit(kit: Kit, model: Any, inputs: Any) -> Any:
    targets = targets_of(model(inputs))
    if getattr(model, "optimizer", None) is None:
        model.compile(optimizer="sgd", loss="mse")
    kit.keras.utils.set_random_seed(7)
    history = model.fit(inputs, targets, batch_size=2, epochs=1, verbose=0)
    return {name: [repr(value) for value in values] for name, values in history.history.items()}


def _save(subject: Subject, suffix: str) -> Any:
    path = subject.folder / f"again.{suffix}"
    subject.model.save(str(path))
    return describe_saved(path)
