"""Spark: predictions by `pyspark.ml.functions.predict_batch_udf`, the model opened by reference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastload.fleet.columns import Columns, names_in
from fastload.fleet.ref import Ref
from fastload.signature import TensorSpec

#: Spark's types by dtype; it has no unsigned integers and no half floats, which get the next one.
_TYPES: Final = {
    "bool": "BooleanType",
    "int8": "ByteType",
    "uint8": "ShortType",
    "int16": "ShortType",
    "uint16": "IntegerType",
    "int32": "IntegerType",
    "uint32": "LongType",
    "int64": "LongType",
    "float16": "FloatType",
    "float32": "FloatType",
    "float64": "DoubleType",
    "string": "StringType",
}


def predict_udf(
    ref: Ref,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    batch_size: int = 64,
) -> Any:
    """Return a user-defined function over columns, with the types that the model's signature says.

    Args:
        ref: the model, which is opened here for its signature, and once in each Python worker.
        inputs: the model's inputs in the order of the columns that the function is called with; by
            default the order of its signature.
        outputs: those that are wanted; by default all.
        batch_size: rows at a time.

    Returns:
        What `predict_batch_udf` returns. It gives one output as a number or an array of numbers for
        each row, and several as a struct; outputs of more dimensions are flattened.

    Raises:
        TypeError: *inputs* or *outputs* are one name.
        ValueError: the model has no such input or output, an input whose rows have no fixed size,
            or an output of a dtype that Spark does not have.
        ModelNotHereError: neither a twin nor the model is at hand.

    Example:
        >>> from fastload.fleet.spark import predict_udf
        >>> predict = predict_udf(fastload.ref("path/to/model"))  # doctest: +SKIP
        >>> table.withColumn("found", predict("pixels"))  # doctest: +SKIP
    """
    from pyspark.ml.functions import predict_batch_udf

    columns = _columns(ref, inputs, outputs)
    return predict_batch_udf(
        make_predict_fn(ref, inputs, outputs),
        return_type=_return_type(columns),
        batch_size=batch_size,
        input_tensor_shapes=[_row_shape(spec) for spec in columns.input_specs.values()],
    )


def make_predict_fn(
    ref: Ref, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> Callable[[], Callable[..., Any]]:
    """Return what `predict_batch_udf` calls once in each Python worker.

    Args:
        ref: the model.
        inputs: as in `predict_udf`.
        outputs: as in `predict_udf`.

    Returns:
        A function that opens the model, and returns one that predicts on arrays.
    """

    def make() -> Callable[..., Any]:
        return _predicting(_columns(ref, inputs, outputs))

    return make


def return_type(ref: Ref, outputs: Sequence[str] | None = None) -> Any:
    """Return Spark's type of what the model gives for a row.

    Args:
        ref: the model, which is opened for its signature.
        outputs: as in `predict_udf`.

    Raises:
        ValueError: an output has a dtype that Spark does not have.
    """
    return _return_type(_columns(ref, None, outputs))


def _columns(ref: Ref, inputs: Sequence[str] | None, outputs: Sequence[str] | None) -> Columns:
    inputs_by_name, outputs_by_name = _same("inputs", inputs), _same("outputs", outputs)
    return Columns(ref.load_predictor(), inputs_by_name, outputs_by_name)


def _same(what: str, names: Sequence[str] | None) -> Mapping[str, str] | None:
    return None if names is None else {name: name for name in names_in(what, names)}


def _predicting(columns: Columns) -> Callable[..., Any]:
    names = tuple(columns.inputs.values())

    def predict(*arrays: Any) -> Any:
        found = columns.predict(dict(zip(names, arrays, strict=True)))
        flat = {name: _flat(array) for name, array in found.items()}
        return flat if len(flat) > 1 else next(iter(flat.values()))

    # Spark counts the parameters, to know whether columns are one input or many.
    kind = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(f"input_{n}", kind) for n in range(len(names))]
    vars(predict)["__signature__"] = inspect.Signature(parameters)
    return predict


def _flat(array: Any) -> Any:
    """Return an output as Spark takes it: of one or two dimensions, of a dtype that it has."""
    if array.dtype.name == "float16":
        array = array.astype("float32")
    return array.reshape(len(array), -1) if array.ndim > 1 else array


def _return_type(columns: Columns) -> Any:
    from pyspark.sql.types import StructField, StructType

    types = {name: _type_of(spec) for name, spec in columns.output_specs.items()}
    if len(types) == 1:
        return next(iter(types.values()))
    return StructType([StructField(name, kind) for name, kind in types.items()])


def _type_of(spec: TensorSpec) -> Any:
    from pyspark.sql import types

    if spec.dtype not in _TYPES:
        raise ValueError(f"Spark has no type for the output {spec.name!r}, {spec}")
    kind = getattr(types, _TYPES[spec.dtype])()
    is_number = spec.shape is not None and len(spec.shape) <= 1
    return kind if is_number else types.ArrayType(kind)


def _row_shape(spec: TensorSpec) -> list[int]:
    """Return the shape of one row of an input; nothing for a number."""
    sizes = None if spec.shape is None else spec.shape[1:]
    if sizes is None or any(size is None for size in sizes):
        raise ValueError(f"the rows of the input {spec.name!r} have no fixed size: {spec}")
    return [size for size in sizes if size is not None]
