"""Graph operations of TensorFlow as calls of the functions in `rules.operations`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastload.keras2to3.rules.operations import renames

#: Attributes that are implied by the inputs.
_SILENT: Final = frozenset({"N"})
#: Marks an input of an operation that takes any number of tensors.
_MANY: Final = "*"
_DTYPES: Final = {"DT_HALF": "float16", "DT_FLOAT": "float32", "DT_DOUBLE": "float64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationKind:
    """The function that a kind of operation is a call of.

    Attributes:
        function: a function of `keras2to3.rules.operations`.
        inputs: its argument for each input of the operation.
        attributes: its argument for an attribute of the operation.
        harmless: further attributes, with the value that has no effect.
        given: arguments that the kind implies.
    """

    function: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, str]
    harmless: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the function by name.

        Raises:
            ValueError: an attribute has no counterpart; the message names it.
        """
        found = dict(self._of_inputs(list(inputs)))
        return {**found, **dict(self._of_attributes(attributes)), **self.given}

    def _of_inputs(self, inputs: list[Any]) -> Iterator[tuple[str, Any]]:
        left = len(self.inputs)
        for name in self.inputs:
            left -= 1
            if name.endswith(_MANY):
                many = len(inputs) - left
                yield name.removesuffix(_MANY), inputs[:many]
                del inputs[:many]
            else:
                yield name, inputs.pop(0)

    def _of_attributes(self, attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in attributes.items():
            if name in self.attributes:
                yield self.attributes[name], _plain(value)
            elif not (self._is_silent(name, value) or self.harmless.get(name) == _plain(value)):
                raise ValueError(f"its attribute {name}={_plain(value)!r} has no counterpart")

    @staticmethod
    def _is_silent(name: str, value: Mapping[str, Any]) -> bool:
        return name in _SILENT or name.startswith("_") or "type" in value


def _kind(function: str, inputs: str, attributes: str = "", **harmless: Any) -> OperationKind:
    return OperationKind(
        function=function,
        inputs=tuple(inputs.split()),
        attributes=renames(attributes),
        harmless=harmless,
    )


def _resizing(method: str) -> OperationKind:
    how = _kind("image.resize", "images size", align_corners=False, half_pixel_centers=True)
    return replace(how, given={"method": method})


def _plain(value: Mapping[str, Any]) -> Any:
    """Return the value of an attribute; JSON has 64-bit integers as strings, and bytes in
    base64.
    """
    ((kind, given),) = value.items()
    if kind == "list":
        # Empty for an argument that was left out, such as the axes of `tf.squeeze`.
        return [_plain({inner: each}) for inner, values in given.items() for each in values] or None
    if kind == "i":
        return int(given)
    if kind == "s":
        return base64.b64decode(given).decode()
    return _DTYPES.get(given, given.removeprefix("DT_").lower()) if kind == "type" else given


_OF_TWO: Final = "Add Greater Less Maximum Minimum Pow"
_OF_ONE: Final = (
    "Abs Atan Ceil Cos Cosh Erf Exp Expm1 Floor Log Log1p Reciprocal Round Rsqrt Sigmoid Sign Sin"
    " Sinh Sqrt Square Tan Tanh"
)
_MASKS: Final = tuple(
    f"{what}_mask" for what in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
)
#: The arguments of a `StridedSlice` that make up an index.
OF_BRACKETS: Final = frozenset({"begin", "end", "strides", *_MASKS})
_REDUCED: Final = ("input_tensor axis", "keep_dims:keepdims")

KINDS: Final = {
    # arithmetic, comparisons
    "AddV2": _kind("add", "x y"),
    "Sub": _kind("subtract", "x y"),
    "Mul": _kind("multiply", "x y"),
    "RealDiv": _kind("truediv", "x y"),
    "DivNoNan": _kind("divide_no_nan", "x y"),
    "FloorDiv": _kind("floordiv", "x y"),
    "FloorMod": _kind("floormod", "x y"),
    "SquaredDifference": _kind("squared_difference", "x y"),
    "AddN": _kind("add_n", "inputs*"),
    "Neg": _kind("negative", "x"),
    "IsNan": _kind("is_nan", "x"),
    "IsFinite": _kind("is_finite", "x"),
    "Cumsum": _kind("cumsum", "x axis", "exclusive reverse"),
    "ClipByValue": _kind("clip_by_value", "t clip_value_min clip_value_max"),
    "NotEqual": _kind("not_equal", "x y", incompatible_shape_error=True),
    "Equal": _kind("equal", "x y", incompatible_shape_error=True),
    "GreaterEqual": _kind("greater_equal", "x y"),
    "LessEqual": _kind("less_equal", "x y"),
    "LogicalAnd": _kind("logical_and", "x y"),
    "LogicalOr": _kind("logical_or", "x y"),
    "LogicalNot": _kind("logical_not", "x"),
    "SelectV2": _kind("where_v2", "condition x y"),
    # reductions
    "Sum": _kind("reduce_sum", *_REDUCED),
    "Mean": _kind("reduce_mean", *_REDUCED),
    "Max": _kind("reduce_max", *_REDUCED),
    "Min": _kind("reduce_min", *_REDUCED),
    "Prod": _kind("reduce_prod", *_REDUCED),
    "Any": _kind("reduce_any", *_REDUCED),
    "All": _kind("reduce_all", *_REDUCED),
    "ArgMax": _kind("argmax", "input axis", "output_type"),
    "ArgMin": _kind("argmin", "input axis", "output_type"),
    # activations
    "Relu": _kind("relu", "features"),
    "Relu6": _kind("relu6", "features"),
    "Elu": _kind("elu", "features"),
    "Selu": _kind("selu", "features"),
    "LeakyRelu": _kind("leaky_relu", "features", "alpha"),
    "Softplus": _kind("softplus", "features"),
    "Softsign": _kind("softsign", "features"),
    "Softmax": _kind("softmax", "logits"),
    "LogSoftmax": _kind("log_softmax", "logits"),
    # shapes
    "Cast": _kind("cast", "x", "DstT:dtype", Truncate=False),
    "Identity": _kind("identity", "input"),
    "StopGradient": _kind("stop_gradient", "input"),
    "Shape": _kind("shape", "input", "out_type"),
    "Reshape": _kind("reshape", "tensor shape"),
    "Transpose": _kind("transpose", "a perm"),
    "ExpandDims": _kind("expand_dims", "input axis"),
    "Squeeze": _kind("squeeze", "input", "squeeze_dims:axis"),
    "ConcatV2": _kind("concat", "values* axis"),
    "Pack": _kind("stack", "values*", "axis"),
    "Unpack": _kind("unstack", "value", "num axis"),
    "Split": _kind("split", "axis value", "num_split:num_or_size_splits"),
    "SplitV": _kind("split", "value num_or_size_splits axis", "num_split:num"),
    "Tile": _kind("tile", "input multiples"),
    "ReverseV2": _kind("reverse", "tensor axis"),
    "Pad": _kind("pad", "tensor paddings"),
    "PadV2": _kind("pad", "tensor paddings constant_values"),
    "MirrorPad": _kind("pad", "tensor paddings", "mode"),
    "GatherV2": _kind("gather", "params indices axis", "batch_dims"),
    "OneHot": _kind("one_hot", "indices depth on_value off_value", "axis"),
    "ZerosLike": _kind("zeros_like", "input"),
    "OnesLike": _kind("ones_like", "input"),
    "StridedSlice": _kind("getitem", "x begin end strides", " ".join(_MASKS)),
    # products
    "MatMul": _kind("matmul", "a b", "transpose_a transpose_b", grad_a=False, grad_b=False),
    "BatchMatMulV2": _kind(
        "matmul", "a b", "adj_x:transpose_a adj_y:transpose_b", grad_x=False, grad_y=False
    ),
    "BiasAdd": _kind("bias_add", "value bias", data_format="NHWC"),
    # images
    "ResizeBicubic": _resizing("bicubic"),
    "ResizeBilinear": _resizing("bilinear"),
    "ResizeNearestNeighbor": _resizing("nearest"),
    "DepthToSpace": _kind("depth_to_space", "input", "block_size data_format"),
    "SpaceToDepth": _kind("space_to_depth", "input", "block_size data_format"),
    # operations with the names of their functions
    **{name: _kind(name.lower(), "x y") for name in _OF_TWO.split()},
    **{name: _kind(name.lower(), "x") for name in _OF_ONE.split()},
}
