"""TensorFlow functions in functional models, and the equivalent operations of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

#: Arguments without influence on the result.
_SILENT: Final = frozenset({"name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The equivalent of a TensorFlow function in Keras 3.

    Attributes:
        target: the name of a function in `keras.ops`, or of one that `keras2to3.tf_operations`
            composes.
        arguments: its argument for each one of the TensorFlow function, in order.
        harmless: further arguments of the TensorFlow function, with the value that has no effect.
        defaults: what the TensorFlow function takes for arguments that are not given, by their
            names in Keras 3, where the latter takes something else.
    """

    target: str
    arguments: Mapping[str, str]
    harmless: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def bound(self, first: Any, others: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by their names in Keras 3.

        Raises:
            ValueError: one has no counterpart; the message names it.
        """
        names = list(self.arguments)
        given = {**({names[0]: first} if names else {}), **others}
        found = dict(self.defaults)
        for name, value in given.items():
            if name in self.arguments and value is None:
                found.setdefault(self.arguments[name], None)
            elif name in self.arguments:
                found[self.arguments[name]] = value
            elif name not in _SILENT and self.harmless.get(name) != value:
                raise ValueError(f"its argument {name}={value!r} has no counterpart")
        return found


def renames(text: str) -> dict[str, str]:
    """Return a mapping of names from `theirs:ours` pairs and names that are the same.

    Example:
        >>> renames("input:x axis")
        {'input': 'x', 'axis': 'axis'}
    """
    pairs = (each.partition(":") for each in text.split())
    return {theirs: ours or theirs for theirs, _, ours in pairs}


def _operation(target: str, arguments: str, **harmless: Any) -> Operation:
    """Return an operation; *arguments* is as for `renames`."""
    return Operation(target=target, arguments=renames(arguments), harmless=harmless)


def _with_defaults(operation: Operation, **defaults: Any) -> Operation:
    return replace(operation, defaults=defaults)


_REDUCED: Final = "input_tensor:x axis keepdims"
_TWO: Final = "x:x1 y:x2"

_TABLE: Final = {
    # arithmetic
    "add": _operation("add", _TWO),
    "subtract": _operation("subtract", _TWO),
    "multiply": _operation("multiply", _TWO),
    "divide": _operation("true_divide", _TWO),
    "truediv": _operation("true_divide", _TWO),
    "floordiv": _operation("floor_divide", _TWO),
    "floormod": _operation("mod", _TWO),
    "divide_no_nan": _operation("divide_no_nan", _TWO),
    "pow": _operation("power", _TWO),
    "maximum": _operation("maximum", _TWO),
    "minimum": _operation("minimum", _TWO),
    "squared_difference": _operation("squared_difference", _TWO),
    "add_n": _operation("add_all", "inputs:xs"),
    "abs": _operation("absolute", "x"),
    "negative": _operation("negative", "x"),
    "reciprocal": _operation("reciprocal", "x"),
    "sqrt": _operation("sqrt", "x"),
    "rsqrt": _operation("rsqrt", "x"),
    "square": _operation("square", "x"),
    "exp": _operation("exp", "x"),
    "expm1": _operation("expm1", "x"),
    "log": _operation("log", "x"),
    "log1p": _operation("log1p", "x"),
    "sin": _operation("sin", "x"),
    "cos": _operation("cos", "x"),
    "tan": _operation("tan", "x"),
    "atan": _operation("arctan", "x"),
    "sinh": _operation("sinh", "x"),
    "cosh": _operation("cosh", "x"),
    "erf": _operation("erf", "x"),
    "sign": _operation("sign", "x"),
    "floor": _operation("floor", "x"),
    "ceil": _operation("ceil", "x"),
    "round": _operation("round", "x"),
    "is_nan": _operation("isnan", "x"),
    "is_finite": _operation("isfinite", "x"),
    "cumsum": _with_defaults(
        _operation("cumsum", "x axis", exclusive=False, reverse=False), axis=0
    ),
    "clip_by_value": _operation("clip", "t:x clip_value_min:x_min clip_value_max:x_max"),
    # comparisons
    "equal": _operation("equal", _TWO),
    "not_equal": _operation("not_equal", _TWO),
    "greater": _operation("greater", _TWO),
    "greater_equal": _operation("greater_equal", _TWO),
    "less": _operation("less", _TWO),
    "less_equal": _operation("less_equal", _TWO),
    "logical_and": _operation("logical_and", _TWO),
    "logical_or": _operation("logical_or", _TWO),
    "logical_not": _operation("logical_not", "x"),
    "where": _operation("where", "condition x:x1 y:x2"),
    "where_v2": _operation("where", "condition x:x1 y:x2"),
    # reductions
    "reduce_sum": _operation("sum_as", _REDUCED),
    "reduce_mean": _operation("mean", _REDUCED),
    "reduce_max": _operation("max", _REDUCED),
    "reduce_min": _operation("min", _REDUCED),
    "reduce_prod": _operation("prod_as", _REDUCED),
    "reduce_any": _operation("any", _REDUCED),
    "reduce_all": _operation("all", _REDUCED),
    "reduce_std": _operation("std", _REDUCED),
    "reduce_variance": _operation("var", _REDUCED),
    "reduce_logsumexp": _operation("logsumexp", _REDUCED),
    "argmax": _operation("argmax_as", "input:x axis output_type:dtype"),
    "argmin": _operation("argmin_as", "input:x axis output_type:dtype"),
    "norm": _operation("norm", "tensor:x axis keepdims", ord="euclidean"),
    "l2_normalize": _operation("l2_normalize", "x axis epsilon", dim=None),
    # activations
    "relu": _operation("relu", "features:x"),
    "relu6": _operation("relu6", "features:x"),
    "elu": _operation("elu", "features:x"),
    "selu": _operation("selu", "features:x"),
    "gelu": _with_defaults(_operation("gelu", "features:x approximate"), approximate=False),
    "leaky_relu": _operation("leaky_relu", "features:x alpha:negative_slope"),
    "silu": _operation("silu", "features:x", beta=1.0),
    "swish": _operation("silu", "features:x", beta=1.0),
    "sigmoid": _operation("sigmoid", "x"),
    "tanh": _operation("tanh", "x"),
    "softplus": _operation("softplus", "features:x"),
    "softsign": _operation("softsign", "features:x"),
    "softmax": _operation("softmax_of", "logits:x axis", dim=None),
    "log_softmax": _operation("log_softmax_of", "logits:x axis", dim=None),
    # shapes
    "cast": _operation("cast", "x dtype"),
    "identity": _operation("itself", "input:x"),
    "stop_gradient": _operation("stop_gradient", "input:variable"),
    "shape": _operation("shape_of", "input:x", out_type="int32"),
    "reshape": _operation("reshape_to", "tensor:x shape"),
    "transpose": _operation("transpose", "a:x perm:axes", conjugate=False),
    "expand_dims": _operation("expand_dims", "input:x axis"),
    "squeeze": _operation("squeeze", "input:x axis", squeeze_dims=None),
    "concat": _operation("concatenate", "values:xs axis"),
    "stack": _operation("stack_of", "values:xs axis"),
    "unstack": _operation("unstack", "value:x num axis"),
    "split": _operation("split_by", "value:x num_or_size_splits:sizes axis num"),
    "tile": _operation("tile", "input:x multiples:repeats"),
    "repeat": _operation("repeat", "input:x repeats axis"),
    "reverse": _operation("flip_of", "tensor:x axis"),
    "roll": _operation("roll", "input:x shift axis"),
    "pad": _operation("pad_by", "tensor:x paddings:widths mode constant_values:value"),
    "gather": _with_defaults(
        _operation("take", "params:x indices axis", batch_dims=0, validate_indices=None), axis=0
    ),
    "one_hot": _operation("one_hot_of", "indices:x depth:classes axis dtype on_value off_value"),
    "zeros_like": _operation("zeros_like", "input:x dtype"),
    "ones_like": _operation("ones_like", "input:x dtype"),
    "top_k": _with_defaults(_operation("top_k", "input:x k sorted"), k=1),
    "getitem": _operation("item_of", "x slice_spec:spec"),
    # products
    "matmul": _operation(
        "matmul_of",
        "a:x b:y transpose_a:transpose_x transpose_b:transpose_y",
        adjoint_a=False,
        adjoint_b=False,
        a_is_sparse=False,
        b_is_sparse=False,
        output_type=None,
        grad_a=False,
        grad_b=False,
    ),
    "tensordot": _operation("tensordot", "a:x1 b:x2 axes"),
    "bias_add": _operation("add", "value:x1 bias:x2", data_format=None),
    # images
    "resize": _operation(
        "resize_images", "images size method antialias", preserve_aspect_ratio=False
    ),
    "depth_to_space": _operation("depth_to_space", "input:x block_size", data_format="NHWC"),
    "space_to_depth": _operation("space_to_depth", "input:x block_size", data_format="NHWC"),
}

#: Modules of the functions in the table; others may have functions of the same names.
_MODULES: Final = frozenset(
    {"", "math", "nn", "linalg", "__operators__", "compat.v1", "compat.v1.math", "image"}
    | {"compat.v1.nn", "compat.v1.image", "compat.v1.linalg", "keras.activations", "keras.backend"}
)


def operation_of(function: str) -> Operation | None:
    """Return the equivalent of the TensorFlow function *function*, or None.

    Example:
        >>> operation_of("math.reduce_mean").target
        'mean'
        >>> operation_of("strings.lower") is None
        True
    """
    module, _, name = function.rpartition(".")
    return _TABLE.get(name) if module in _MODULES else None
