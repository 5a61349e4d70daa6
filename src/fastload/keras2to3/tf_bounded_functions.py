"""A SavedModel's serving function, run where it can take no more memory than a proof may."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastload.keras2to3.apart import function_apart
from fastload.keras2to3.memory_limits import TooLargeError
from fastload.keras2to3.tf_array_functions import Function, serving_function
from fastload.keras2to3.tf_graph_memory import graph_of, is_known, peak_bytes
from fastload.signature import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A function of a SavedModel.

    Attributes:
        path: the SavedModel.
        meta_graph: its `MetaGraphDef`.
        name: of the signature.
        inputs: the names of its inputs, in the order of the arrays.
        outputs: the names of its outputs, in the order of the results.
        most_bytes: how much memory a run may take.
        specs: of its inputs.
    """

    path: Path
    meta_graph: Any
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    most_bytes: int
    specs: Sequence[TensorSpec] = ()


@contextmanager
def bounded_function(serving: Serving) -> Iterator[Function]:
    """Provide *serving* as a function from arrays to arrays.

    It raises `TooLargeError` instead of running where it would take too much. Where shapes depend
    on values, nobody knows before: it runs in a process of its own then.
    """
    with ExitStack() as stack:
        yield _Bounded(serving, stack)


@dataclass(slots=True)
class _Bounded:
    """See `bounded_function`; each way to run it is made when it is first needed."""

    serving: Serving
    stack: ExitStack
    _ways: dict[Callable[..., Any], Function] = field(default_factory=dict)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        serving = self.serving
        definition = serving.meta_graph.signature_def[serving.name]
        feeds = [node_of(definition.inputs[name]) for name in serving.inputs]
        shapes = dict(zip(feeds, (value.shape for value in values), strict=True))
        fetches = [node_of(definition.outputs[name]) for name in serving.outputs]
        graph = graph_of(serving.meta_graph, shapes, fetches)
        if graph is not None and (needed := peak_bytes(graph)) > serving.most_bytes:
            raise TooLargeError(needed, serving.most_bytes)
        names = (serving.inputs, serving.outputs)
        if graph is not None and is_known(graph):
            return self._by(serving_function, serving.path, serving.name, *names)(values)
        return self._by(function_apart, serving.path, serving.name, names, serving.most_bytes)(
            values
        )

    def _by(self, way: Callable[..., Any], *arguments: Any) -> Function:
        if way not in self._ways:
            self._ways[way] = self.stack.enter_context(way(*arguments))
        return self._ways[way]


def node_of(tensor: Any) -> str:
    """Return the name of the node whose result the `TensorInfo` message *tensor* is."""
    return str(tensor.name.partition(":")[0])
