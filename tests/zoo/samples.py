"""Seeded inputs and targets for any model of the zoo, from what the model says of its inputs."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from zoo.catalogue import Kit

ROWS = 4
_OPEN_AXIS = 8
_WORDS = np.array(["cat", "the dog", "mat", "été", "unseen", ""], dtype=object)


def inputs_of(k: Kit, model: Any) -> Any:
    """Return inputs for *model*, shaped as it wants them: an array, a list, or a dict by name."""
    specs = getattr(model, "inputs", None)
    if not specs:
        return _values("float32", (ROWS, 4), "features")
    values = [_input(k, spec, index) for index, spec in enumerate(specs)]
    structure = getattr(model, "_inputs_struct", getattr(model, "_nested_inputs", None))
    if isinstance(structure, dict):
        return k.tf.nest.pack_sequence_as(structure, values)
    return values[0] if len(values) == 1 else values


def targets_of(outputs: Any) -> Any:
    """Return targets with the structure, shapes and dtypes of *outputs*."""
    if isinstance(outputs, dict):
        return {name: targets_of(output) for name, output in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [targets_of(output) for output in outputs]
    array = np.asarray(outputs.detach() if hasattr(outputs, "detach") else outputs)
    return _values(array.dtype.name, array.shape, "targets")


def _input(k: Kit, spec: Any, index: int) -> Any:
    # The generated name of an input differs with what the process made before; its place does not.
    dtype = spec.dtype if isinstance(spec.dtype, str) else spec.dtype.name
    shape = (ROWS, *(_OPEN_AXIS if size is None else size for size in tuple(spec.shape)[1:]))
    values = _values(dtype, shape, f"input {index}")
    type_name = type(getattr(spec, "type_spec", None)).__name__
    if type_name == "RaggedTensorSpec":
        return k.tf.RaggedTensor.from_tensor(values, lengths=[1, 3, 2, 4])
    if type_name == "SparseTensorSpec":
        return k.tf.sparse.from_dense(values * (values > 0))
    return k.tf.constant(values) if dtype == "string" else values


def _values(dtype: str, shape: tuple[int, ...], label: str) -> Any:
    random = np.random.default_rng(zlib.crc32(label.encode()))
    if dtype in ("string", "object"):
        return _WORDS[random.integers(0, len(_WORDS), shape)]
    if dtype.startswith(("int", "uint")):
        return random.integers(0, 8, shape).astype(dtype)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    return random.normal(size=shape).astype("float32" if dtype == "bfloat16" else dtype)
