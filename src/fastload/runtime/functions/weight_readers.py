"""Operations that read a variable through its handle, made to work on the weight itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.inlining import operation_called


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What comes in place of a handle.

    Attributes:
        dtype: number of its dtype, as in `types.proto`.
        shape: its shape.
    """

    dtype: int
    shape: tuple[int, ...]

    def shape_message(self) -> Any:
        """Return the shape as a `TensorShapeProto`."""
        return tensorflow().TensorShape(self.shape).as_proto()


#: What the handles among a list of tensors stand for, by position.
Handles: TypeAlias = "Mapping[int, Weight]"


def read_weight(node: Any, given: Handles, output: str) -> list[Any]:
    """Have *node*, which is given handles, work on the weights in their place.

    Args:
        node: a `NodeDef`; it is changed.
        given: which of its inputs were handles.
        output: what a reference to the first output of a new constant ends in.

    Returns:
        Nodes that it needs besides.

    Raises:
        NotFlatError: it does more than to read a variable.
    """
    if set(given) != {0}:
        raise NotFlatError(f"{node.op} takes several variables")
    if node.op in {"Identity", "ReadVariableOp"}:
        node.op = "Identity"
        node.attr.clear()  # the class too: it says to stay beside a handle
        node.attr["T"].type = given[0].dtype
    elif node.op == "VariableShape":
        node.op = "Shape"
        node.attr["T"].type = given[0].dtype
    elif node.op == "ResourceGather":
        return [_gather(node, given[0].dtype, output)]
    else:
        raise NotFlatError(f"{node.op} needs a variable")
    return []


#: Operations that are given a variable, or a reference to one, and leave its value as it is.
_READS: Final = frozenset(
    {
        *("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"),
        *("VarIsInitializedOp", "IsVariableInitialized", "RefEnter", "RefExit", "RefIdentity"),
        *("RefMerge", "RefNextIteration", "RefSelect", "RefSwitch"),
    }
)


def may_assign(node: Any) -> bool:
    """Say whether *node*, a `NodeDef`, may give a variable another value.

    What is called is looked at by itself.
    """
    operation = operation_called(node.op)
    if operation is None:  # nobody knows
        return True
    if node.op in _READS or node.op.startswith("LookupTable"):
        return False
    resource = tensorflow().resource.as_datatype_enum
    return any(each.type == resource or each.is_ref for each in operation.input_arg)


def _gather(node: Any, dtype: int, output: str) -> Any:
    """Gather rows of a tensor as `ResourceGather` gathers those of a variable."""
    dimensions, indices = node.attr["batch_dims"].i, node.attr["Tindices"].type
    axis = _constant(node, "fastload_axis", dimensions)
    data = [each for each in node.input if not each.startswith("^")]
    control = [each for each in node.input if each.startswith("^")]
    node.op = "GatherV2"
    node.input[:] = [*data, f"{axis.name}{output}", *control]
    node.attr.clear()
    node.attr["Tparams"].type = dtype
    node.attr["Tindices"].type = indices
    node.attr["Taxis"].type = axis.attr["dtype"].type
    node.attr["batch_dims"].i = dimensions
    return axis


def _constant(user: Any, name: str, value: int) -> Any:
    tf = tensorflow()
    node = type(user)(name=f"{user.name}/{name}", op="Const")
    node.attr["dtype"].type = tf.int32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
    return node
