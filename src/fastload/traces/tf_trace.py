"""What TensorFlow made of a Python function when it traced it, kept and brought back.

A trace is the graph's own definition, to the byte but for its name, and which variables it uses. It
comes back as a concrete function that is called as any other. Its Python graph is made, by tracing
after all, when somebody looks at that: for a gradient, or for the text of an error.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.runtime.core.late import late
from fastload.runtime.core.spec_codec import NotPlainError, decode, encode
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.inlining import function_names, has_implementations
from fastload.runtime.requirements import FIRST_PREDICT
from fastload.traces.tf_trace_runtime import TraceRuntime

#: Operations with an effect that is on what the function is given: variables, iterators.
_PLAIN_EFFECTS: Final = frozenset(
    {
        "Assert",
        "AssignAddVariableOp",
        "If",
        "IteratorGetNext",
        "ReadVariableOp",
        "ResourceGather",
        "StatefulPartitionedCall",
        "While",
    }
)


class NotKeptError(Exception):
    """A trace cannot be kept: another process could not run it, or would compute something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What tracing gave.

    Attributes:
        definitions: the functions that it calls and, last, its own: serialized `FunctionDef`s.
        captures: what it uses, in its order: the places of variables among the model's, and the
            values of plain tensors.
        outputs: the nest of its results, as `spec_codec` encodes it.
        marks: what tracing left on the model: places of layers, names and values.
        is_prepared: its definition is what TensorFlow's optimizer left.
    """

    definitions: tuple[bytes, ...]
    captures: tuple[int | np.ndarray[Any, Any], ...]
    outputs: Any
    marks: tuple[tuple[int, str, Any], ...] = ()
    is_prepared: bool = False


def trace_of(concrete: Any, variables: Sequence[Any]) -> Trace:
    """Return the trace that *concrete* was made by.

    Args:
        concrete: a concrete function that TensorFlow just traced.
        variables: what it may use.

    Raises:
        NotKeptError: it uses something else, or has an effect of another kind.
    """
    graph = concrete.graph
    FIRST_PREDICT.check(graph, "FuncGraph()")
    own = concrete.function_def
    called = [_definition(each) for each in graph._functions.values()]
    for definition in (*called, own):
        _require_plain(definition)
    places = {id(variable.handle): place for place, variable in enumerate(variables)}
    captures = tuple(_capture(tensor, places) for tensor in concrete.captured_inputs)
    try:
        outputs = encode(graph.structured_outputs, _output)
    except NotPlainError as error:
        raise NotKeptError(str(error)) from error
    return Trace(
        definitions=tuple(each.SerializeToString() for each in (*called, own)),
        captures=captures,
        outputs=outputs,
    )


def _capture(tensor: Any, places: Mapping[int, int]) -> int | np.ndarray[Any, Any]:
    if id(tensor) in places:
        return places[id(tensor)]
    if not (hasattr(tensor, "numpy") and (tensor.dtype.is_floating or tensor.dtype.is_integer)):
        raise NotKeptError("it uses something besides the model's variables and plain tensors")
    value: np.ndarray[Any, Any] = np.asarray(tensor.numpy())
    return value


def _definition(function: Any) -> Any:
    return function.definition if hasattr(function, "definition") else function.function_def


def _output(leaf: Any) -> Any:
    tf = tensorflow()
    if not isinstance(leaf, tf.Tensor):
        raise NotPlainError(f"it gives a {type(leaf).__name__}")
    return encode(tf.TensorSpec(leaf.shape, leaf.dtype), _output)


def _require_plain(definition: Any) -> None:
    """Check that a function does the same in any process.

    Raises:
        NotKeptError: it does not.
    """
    registry = FIRST_PREDICT.part("op_def_registry")
    for name in {node.op for node in definition.node_def}:
        operation = registry.get(name)
        if operation is None or "PyFunc" in name:
            raise NotKeptError(f"it calls {name}")
        if operation.is_stateful and name not in _PLAIN_EFFECTS:
            raise NotKeptError(f"{name} has state of its own, or an effect")
    if has_implementations(_Library([definition])):
        raise NotKeptError("what it computes depends on the device")


class _Library:
    """What `has_implementations` takes for a graph."""

    def __init__(self, functions: list[Any]) -> None:
        self.library = self
        self.function = functions


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """A trace that TensorFlow is about to make.

    Attributes:
        function_type: of the arguments.
        options: TensorFlow's `TracingOptions`.
        make: makes it, and returns the concrete function.
        make_later: does so when TensorFlow is at something else.
    """

    function_type: Any
    options: Any
    make: Callable[[], Any]
    make_later: Callable[[], Any]


def require_tracing() -> None:
    """Check that TensorFlow has what `brought_back` needs.

    Raises:
        UnsupportedRuntimeError: it has not.
    """
    for name in ("atomic_function", "concrete_function", "tracing_compilation", "context"):
        FIRST_PREDICT.part(name)


def brought_back(
    trace: Trace,
    variables: Sequence[Any],
    tracing: Tracing,
    on_prepared: Callable[[Trace], None] | None = None,
) -> Any:
    """Return the concrete function that *tracing* would make, without making it.

    Args:
        trace: what it would make.
        variables: those of the model, in the order that `trace_of` was given.
        tracing: how it would be made; done when somebody looks at the graph.
        on_prepared: given the same trace after the first call, as the optimizer leaves it.
    """
    concrete_function = FIRST_PREDICT.part("concrete_function")
    captured = [_captured(each, variables) for each in trace.captures]
    function_type = _function_type(trace, captured, tracing)
    name: str = concrete_function._inference_name(tracing.options.name)
    runtime = TraceRuntime(_context(), trace, once(tracing.make_later), on_prepared)
    definitions = list(_renamed(trace.definitions, name))
    children = [_registered(each, runtime, None, []) for each in definitions[:-1]]
    attributes = {
        "_inference_function": _registered(definitions[-1], runtime, function_type, children),
        "_function_type": function_type,
        "_captured_inputs": captured,
        "_garbage_collector": concrete_function.ConcreteFunctionGarbageCollector(None),
    }

    def revive(self: Any) -> None:
        made = vars(runtime.traced())
        state = vars(self)
        for attribute in attributes:
            del state[attribute]
        state.update(made)

    return late(concrete_function.ConcreteFunction, revive, attributes)


def _captured(capture: int | np.ndarray[Any, Any], variables: Sequence[Any]) -> Any:
    if isinstance(capture, int):
        return variables[capture].handle
    return tensorflow().constant(capture)


def once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return what calls *make* once, whichever thread comes first, and gives what it gave."""
    lock = threading.RLock()
    cached = functools.cache(make)

    def made() -> Any:
        with lock:
            return cached()

    return made


def _function_type(trace: Trace, captured: Sequence[Any], tracing: Tracing) -> Any:
    parts = FIRST_PREDICT.part("tracing_compilation")
    types = OrderedDict((id(each), parts.trace_type.from_value(each)) for each in captured)
    return parts.function_type_lib.FunctionType(
        tracing.function_type.parameters.values(),
        types,
        return_annotation=parts.trace_type.from_value(decode(trace.outputs, lambda value: value)),
    )


def _renamed(definitions: Iterable[bytes], name: str) -> Iterator[Any]:
    """Yield the definitions with names that no other function of the process has."""
    from tensorflow.core.framework import function_pb2

    parsed = [function_pb2.FunctionDef.FromString(each) for each in definitions]
    new = {each.signature.name: f"{name}_{index}" for index, each in enumerate(parsed[:-1])}
    new[parsed[-1].signature.name] = name
    for definition in parsed:
        definition.signature.name = new[definition.signature.name]
        if len(new) > 1:
            _rename_calls(definition, new)
        yield definition


def _rename_calls(definition: Any, new: dict[str, str]) -> None:
    for node in definition.node_def:
        node.op = new.get(node.op, node.op)
        for attribute in node.attr.values():
            for called in function_names(attribute):
                called.name = new.get(called.name, called.name)


def _registered(definition: Any, runtime: Any, function_type: Any, children: list[Any]) -> Any:
    runtime.add_function_def(definition)
    kind = FIRST_PREDICT.part("atomic_function").AtomicFunction
    return kind(definition.signature.name, runtime, function_type, children)


def _context() -> Any:
    return FIRST_PREDICT.part("context").context()
