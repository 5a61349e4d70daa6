"""The graph that TensorFlow would execute for a function, from TensorFlow itself; nothing is run.

A call that is cancelled before it starts has its graph optimized, placed and cut up like any other,
and ends there. TensorFlow keeps what comes of it where collecting graphs was switched on, for the
whole process: so a program that collects graphs itself is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from fastload import unfinished
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core import eager
from fastload.runtime.functions.flat_function import FlatFunction, parsed, registration
from fastload.runtime.functions.inlining import function_names
from fastload.runtime.requirements import BESIDE, EXECUTED_GRAPHS

_logger: Final = logging.getLogger(__name__)

#: What TensorFlow notes on nodes for itself, anew each time; nothing that is executed reads it.
NOTES: Final = frozenset(
    {"_XlaHasReferenceVars", "_class", "_user_specified_name", "_xla_inferred_shapes"}
)
_lock: Final = unfinished.lock()
_numbers: Final = count()


def executed_graph(function: FlatFunction, tensors: Sequence[Any], config: bytes) -> Any:
    """Return what TensorFlow would execute for *function*; None if it cannot be asked now.

    It is a `RunMetadata.FunctionGraphs`: its `post_optimization_graph` is the graph as the
    optimizers leave it, its `partition_graphs` are executed, one on each device.

    Args:
        function: the function; nothing of it is run.
        tensors: all its arguments, of the dtypes that it takes.
        config: how it would be run: a serialized `ConfigProto`.

    Raises:
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    with _lock:
        found = _collected(_renamed(function), tensors, config) if _may_collect() else ()
    if len(found) != 1 or not _is_of(function, found[0]):
        return None  # another thread's functions are among them
    return found[0]


def difference(one: Any, other: Any, names: Mapping[str, str]) -> str | None:
    """Say where *other* executes anything else than *one*; None where it does not.

    What may differ is through how many `Identity`s values are passed on, which arguments are there
    that nothing uses, and control dependencies on arguments, which are there from the start.

    Args:
        one: what is executed for a function, from `executed_graph`.
        other: what is executed for another.
        names: what functions that *one* calls are called in *other*.
    """
    if len(one.partition_graphs) != len(other.partition_graphs):
        return "the number of devices"
    for mine, its in zip(one.partition_graphs, other.partition_graphs, strict=True):
        wanted, found = _anatomy(mine, names), _anatomy(its, {})
        differing = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        if differing:
            return differing[0]
    return None


def _may_collect() -> bool:
    """Say whether nothing else collects graphs, and calls are synchronous."""
    context = eager.context()
    EXECUTED_GRAPHS.part("context")
    summaries = BESIDE.loaded("summary_ops_v2")
    if context.is_async() or getattr(summaries, "_current_trace_context", None) is not None:
        return False
    _call_cancelled(_probe(), [eager.tensor_of(0, "int32")], b"")
    others = context.export_run_metadata()
    if others.ListFields():
        _logger.warning(
            "run metadata collected so far is lost: fastload checked whether there is any"
        )
        return False
    return True


def _collected(function: FlatFunction, tensors: Sequence[Any], config: bytes) -> Sequence[Any]:
    context = eager.context()
    try:
        context.enable_graph_collection()
        _call_cancelled(function, tensors, config)
        found: Sequence[Any] = context.export_run_metadata().function_graphs
    finally:
        context.disable_graph_collection()
    return found


def _call_cancelled(function: FlatFunction, tensors: Sequence[Any], config: bytes) -> None:
    """Call *function*, cancelled before it starts."""
    runtime, context = eager.runtime(), eager.context()
    EXECUTED_GRAPHS.part("execute")
    EXECUTED_GRAPHS.part("errors_impl")
    manager = EXECUTED_GRAPHS.part("cancellation").CancellationManager()
    manager.start_cancel()
    executor = context.function_call_options.executor_type or ""
    attributes = ("executor_type", executor, "config_proto", config)
    name, count = function.name.encode(), len(function.results)
    try:
        with registration(function):
            runtime.execute.execute_with_cancellation(
                name, count, [*tensors], attributes, context, manager
            )
    except runtime.errors_impl.CancelledError:
        eager.copied(eager.tensor_of(0))  # graphs are handed over when something succeeds
    else:
        raise UnsupportedRuntimeError("TensorFlow ran a function that was cancelled")


def _renamed(function: FlatFunction) -> FlatFunction:
    """Return *function* under a name under which it never ran: graphs are made the first time."""
    name = f"{function.name}_asked_{next(_numbers)}"
    definition = parsed(function.definitions[-1])
    definition.signature.name = name
    definitions = (*function.definitions[:-1], definition.SerializeToString())
    return replace(function, name=name, definitions=definitions)


def _probe() -> FlatFunction:
    """Return a small function."""
    definition = eager.runtime().function_pb2.FunctionDef()
    int32 = eager.runtime().dtypes.as_dtype("int32").as_datatype_enum
    definition.signature.name = f"fastload_probe_{next(_numbers)}"
    definition.signature.input_arg.add(name="x", type=int32)
    definition.signature.output_arg.add(name="y", type=int32)
    node = definition.node_def.add(name="z", op="Identity", input=["x"])
    node.attr["T"].type = int32
    definition.ret["y"] = "z:output:0"
    return FlatFunction.of_definition(definition)


def _is_of(function: FlatFunction, graphs: Any) -> bool:
    """Say whether *graphs* are those of *function*, and of nothing besides."""
    definition = parsed(function.definitions[-1])
    before, after = graphs.pre_optimization_graph, graphs.post_optimization_graph
    found = {node.name: node for node in before.node}
    ends = len(definition.signature.input_arg) + len(definition.signature.output_arg)
    results = sum(node.op == "_Retval" for node in after.node)
    return (
        len(before.node) == len(definition.node_def) + ends
        and len({node.name for node in after.node}) == len(after.node)
        and results == len(definition.signature.output_arg)
        and all(
            node.name in found
            and found[node.name].op == node.op
            and found[node.name].attr["value"] == node.attr["value"]
            for node in definition.node_def
        )
    )


def _anatomy(graph: Any, functions: Mapping[str, str]) -> dict[str, Any]:
    """Return all that a `GraphDef` executes, by name; *functions* are other names for some."""
    names = {node.name: _label(node) for node in graph.node}
    arguments = {f"^{node.name}" for node in graph.node if node.op == "_Arg"}
    inputs = {
        node.name: [each for each in node.input if each not in arguments] for node in graph.node
    }
    passed = {
        node.name: inputs[node.name][0]
        for node in graph.node
        if node.op == "Identity" and len(inputs[node.name]) == 1
    }
    used = {each for node in graph.node for each in node.input}
    return {
        names[node.name]: (
            node.op,
            node.device,
            [_source(each, passed, names) for each in inputs[node.name]],
            {key: _told(node.attr[key], functions) for key in node.attr if key not in NOTES},
        )
        for node in graph.node
        if node.name not in passed and (node.op != "_Arg" or node.name in used)
    }


def _label(node: Any) -> str:
    """Return a name for *node*; arguments and results are told by their places."""
    ends = {"_Arg": "argument", "_Retval": "result"}
    return f"{ends[node.op]} {node.attr['index'].i}" if node.op in ends else str(node.name)


def _source(wanted: str, passed: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Return what gives *wanted*, or is waited for, on the other side of `Identity`s."""
    mark = "^" if wanted.startswith("^") else ""
    wanted = wanted.removeprefix("^")
    while wanted in passed:
        wanted = passed[wanted]
    name, colon, index = wanted.partition(":")
    return f"^{names[name]}" if mark else f"{names[name]}{colon}{index}"


def _told(attribute: Any, functions: Mapping[str, str]) -> bytes:
    copy = type(attribute)()
    copy.CopyFrom(attribute)
    for called in function_names(copy):
        called.name = functions.get(called.name, called.name)
    told: bytes = copy.SerializeToString(deterministic=True)
    return told
