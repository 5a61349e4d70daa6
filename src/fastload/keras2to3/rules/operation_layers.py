"""Layers of one TensorFlow operation (Keras 2), rewritten as the layers of functions that followed.

A raw operation in a functional model is a `TensorFlowOpLayer` in files of TensorFlow 2.2 and 2.3,
and wherever a model was built in a graph; it holds the operation's `NodeDef` and its constant
inputs. Since 2.4 it is a `TFOpLambda`, which names a function and its arguments. Source:
`keras/engine/base_layer.py` of Keras 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.graph import CONSTANT
from fastload.keras2to3.rules.operation_kinds import KINDS, OperationKind
from fastload.keras2to3.rules.operations import Operation, operation_of
from fastload.keras2to3.rules.rule import Item, Rule, owner

#: The prefix of these layers' names, which their configurations omit.
_PREFIX: Final = "tf_op_layer_"


def _as_function(item: Item) -> Item:
    """Return the layer of an operation as a layer of a function."""
    name = item.get("name") or _PREFIX + item["config"]["name"]
    config = {**item["config"], "name": name}
    try:
        function, calls = _calls(config, item.get("inbound_nodes", ()))
    except (LookupError, TypeError, ValueError) as error:
        raise MigrationError(owner({**item, "config": config}), str(error)) from error
    return {
        **item,
        "class_name": "TFOpLambda",
        "name": name,
        "config": {"name": name, "function": function},
        "inbound_nodes": calls,
    }


def _calls(config: Item, nodes: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the function's name, and its calls.

    Raises:
        ValueError: the operation or an attribute has no counterpart; the message names it.
    """
    node = config["node_def"]
    kind = KINDS.get(node["op"])
    operation = None if kind is None else operation_of(kind.function)
    if kind is None or operation is None:
        raise ValueError(f"Keras 3 has no equivalent of the operation {node['op']}")
    given = (_arguments(kind, node, _inputs(config, entries)) for entries in nodes)
    return kind.function, [_call(operation, each) for each in given]


def _arguments(kind: OperationKind, node: Item, inputs: Sequence[_Input]) -> Mapping[str, Any]:
    given = kind.arguments(inputs, node.get("attr", {}))
    is_cut = kind.function == "getitem"
    return {"x": given["x"], "slice_spec": _brackets(given)} if is_cut else given


def _call(operation: Operation, given: Mapping[str, Any]) -> Any:
    """Return a call of the layer in a `TFOpLambda`'s form: the first argument, with the others
    in it.
    """
    first = next(each for each in operation.arguments if each in given)
    further = {name: _argument(value) for name, value in given.items() if name != first}
    nest = given[first]
    if isinstance(nest, list) and nest and all(isinstance(each, _Input) for each in nest):
        return [[each.entry(further) for each in nest]]
    return [(nest if isinstance(nest, _Input) else _Input(value=nest)).entry(further)]


@dataclass(frozen=True, slots=True)
class _Input:
    """An input of an operation: a constant, or the tensor that *ref* refers to."""

    value: Any = None
    ref: tuple[Any, ...] | None = None

    def entry(self, others: Mapping[str, Any]) -> list[Any]:
        """Return it as the first argument of a call, with *others*."""
        return [*(self.ref or (CONSTANT, -1, self.value)), dict(others)]


def _inputs(config: Item, entries: Any) -> list[_Input]:
    """Return the inputs of a call: its tensors, with the constants at their positions."""
    found = [_Input(ref=tuple(entry[:3])) for entry in entries]
    constants = {int(place): value for place, value in config["constants"].items()}
    for place in sorted(constants):
        found.insert(place, _Input(value=_constant(constants[place])))
    return found


def _constant(value: Any) -> Any:
    is_array = isinstance(value, Mapping) and value.get("class_name") == "__numpy__"
    return value["config"]["value"] if is_array else value


def _argument(value: Any) -> Any:
    if isinstance(value, list):
        return [_argument(each) for each in value]
    if isinstance(value, _Input):
        return value.value if value.ref is None else list(value.ref)
    return value


def _brackets(given: Mapping[str, Any]) -> list[Any]:
    """Return the index of `x[...]` that a `StridedSlice` was made from.

    Each mask has a bit for each position. Source: `strided_slice` in TensorFlow's `array_ops`.
    """
    bounds = [given[name].value for name in ("begin", "end", "strides")]
    if not all(isinstance(each, list) for each in bounds):
        raise ValueError("its bounds are known only at run time")

    def is_set(mask: str, place: int) -> bool:
        return bool(given.get(f"{mask}_mask", 0) >> place & 1)

    def bracket(place: int, start: int, stop: int, step: int) -> Any:
        if is_set("ellipsis", place):
            return Ellipsis
        if is_set("new_axis", place):
            return None
        if is_set("shrink_axis", place):
            return start
        return {
            "start": None if is_set("begin", place) else start,
            "stop": None if is_set("end", place) else stop,
            "step": step,
        }

    return [bracket(place, *each) for place, each in enumerate(zip(*bounds, strict=True))]


RULE: Final = Rule(
    name="operation-layers",
    mends="files of TensorFlow 2.2 and 2.3 with raw operations, and of models built in graphs",
    classes=frozenset({"TensorFlowOpLayer"}),
    change=_as_function,
)
