"""Some functions of a SavedModel, cut out of it with all that they need, and made again.

What is cut out is a `SavedModel` message of its own: TensorFlow's loader makes the functions of it,
over variables that are there already. It holds no weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.errors import UnconvertibleModelError, UnsupportedRuntimeError
from fastload.runtime.core.tensorflow import parse_saved_model, saved_model_message, tensorflow
from fastload.runtime.requirements import OBJECTS
from fastload.runtime.saved_model.computing_operations import COMPUTING
from fastload.runtime.saved_model.concrete_functions import FunctionLibrary
from fastload.runtime.saved_model.deserialization import Deserialization
from fastload.runtime.saved_model.object_paths import children
from fastload.runtime.saved_model.objects import Sources, TwinLoader, load_partial_over

#: What a function can capture and bring along.
_PORTABLE: Final = frozenset({"variable", "constant", "captured_tensor", "resource"})
#: Tables whose content is in the checkpoint.
_MUTABLE: Final = "Mutable"
_ROOT: Final = "root"
#: Variables are children of the root under this and their number.
_VARIABLE: Final = "variable_"
#: The attribute of a node that names its gradient.
_GRADIENT: Final = "_gradient_op_type"


class CutError(ValueError):
    """Functions cannot be cut out of their SavedModel; the message says why."""


class Cut:
    """Functions to cut out of a SavedModel.

    Args:
        meta_graph: the `MetaGraphDef` that they are in.
        functions: ids of their nodes, by the names that they get.

    Raises:
        CutError: they need what cannot be cut out.
    """

    def __init__(self, meta_graph: Any, functions: Mapping[str, int]) -> None:
        self._meta_graph, self._functions = meta_graph, dict(functions)
        self._graph = meta_graph.object_graph_def
        self._library = {f.signature.name: f for f in meta_graph.graph_def.library.function}
        self._gradients = {
            each.registered_op_type: each.gradient_func
            for each in meta_graph.graph_def.library.registered_gradients
        }
        self._names, needed = self._closure()
        self._captures = sorted(needed)
        self._require_portable()
        _require_computing(self._library[name] for name in self._names)

    @property
    def variables(self) -> list[int]:
        """Ids of the variables that they capture."""
        return [n for n in self._captures if self._graph.nodes[n].WhichOneof("kind") == "variable"]

    def message(self, variables: Sequence[int]) -> bytes:
        """Return the serialized message, whose variables are *variables* in this order."""
        made = saved_model_message()
        made.saved_model_schema_version = 1
        meta_graph = made.meta_graphs.add()
        meta_graph.meta_info_def.tags.append("serve")
        version = self._meta_graph.meta_info_def.tensorflow_version
        meta_graph.meta_info_def.tensorflow_version = version
        self._add_functions(meta_graph.graph_def)
        self._add_objects(meta_graph.object_graph_def, variables)
        content: bytes = made.SerializeToString(deterministic=True)
        return content

    def _require_portable(self) -> None:
        for node in self._captures:
            kind = self._graph.nodes[node].WhichOneof("kind")
            if kind not in _PORTABLE:
                raise CutError(f"it needs a {kind} of the SavedModel")
        operations = (node.op for name in self._names for node in self._library[name].node_def)
        if any(each.startswith(_MUTABLE) for each in operations):
            raise CutError("it needs a table whose content is in the checkpoint")

    def _closure(self) -> tuple[list[str], set[int]]:
        """Return all functions that are needed, by name, and all that they capture."""
        graph = self._graph
        waiting = [name for node in self._functions.values() for name in _concrete(graph, node)]
        found, nodes = dict.fromkeys(waiting), set[int]()
        for name in waiting:  # grows while it is walked
            if name not in self._library:
                raise CutError(f"the SavedModel lacks its function {name!r}")
            more = [*self._called(name)]
            if name in graph.concrete_functions:
                bound = graph.concrete_functions[name].bound_inputs
                nodes.update(bound)
                more += [graph.nodes[n].captured_tensor.concrete_function for n in bound]
                more += [each for n in bound for each in self._of_resource(n)]
            for each in more:
                if each and each not in found:
                    found[each] = None
                    waiting.append(each)
        return list(found), nodes

    def _of_resource(self, node: int) -> list[str]:
        """Return the functions that create and fill the table at *node*; none of another object."""
        parts = self._parts_of_resource(node).values()
        return [name for part in parts for name in _concrete(self._graph, part)]

    def _parts_of_resource(self, node: int) -> dict[str, int]:
        if self._graph.nodes[node].WhichOneof("kind") != "resource":
            return {}
        parts = children(self._graph, node)
        return {name: part for name, part in parts.items() if _concrete(self._graph, part)}

    def _called(self, name: str) -> Iterator[str]:
        for node in self._library[name].node_def:
            if node.op in self._library:
                yield node.op
            for value in node.attr.values():
                yield from (f.name for f in (value.func, *value.list.func) if f.name)
            if _GRADIENT in node.attr:
                kind = node.attr[_GRADIENT].s.decode()
                yield from filter(None, [self._gradients.get(kind)])

    def _add_functions(self, graph: Any) -> None:
        source, names = self._meta_graph.graph_def, set(self._names)
        graph.versions.CopyFrom(source.versions)
        graph.library.function.extend(self._library[name] for name in self._names)
        gradients = (g for g in source.library.registered_gradients if g.gradient_func in names)
        graph.library.registered_gradients.extend(gradients)
        graph.library.gradient.extend(
            each for each in source.library.gradient if each.function_name in names
        )
        nodes = [self._graph.nodes[n] for n in self._captures]
        constants = {n.constant.operation for n in nodes if n.WhichOneof("kind") == "constant"}
        graph.node.extend(each for each in source.node if each.name in constants)

    def _add_objects(self, made: Any, variables: Sequence[int]) -> None:
        graph, root = self._graph, made.nodes.add()
        root.user_object.identifier = "_generic_user_object"
        root.user_object.version.producer = root.user_object.version.min_consumer = 1
        functions = {self._functions[name]: name for name in self._functions}
        others = [n for n in self._captures if n not in variables]
        filling = [part for n in others for part in self._parts_of_resource(n).values()]
        kept = [*functions, *variables, *others, *filling]
        places = {node: place for place, node in enumerate(dict.fromkeys(kept), start=1)}
        for node in places:
            copy = made.nodes.add()
            copy.CopyFrom(graph.nodes[node])
            for name in ("children", "dependencies", "slot_variables"):
                copy.ClearField(name)
            for name, part in self._parts_of_resource(node).items():
                copy.children.add(local_name=name, node_id=places[part])
        names = dict(self._functions)
        names |= {f"{_VARIABLE}{place}": node for place, node in enumerate(variables)}
        for name, node in names.items():
            root.children.add(local_name=name, node_id=places[node])
        for name in self._names:
            if name in graph.concrete_functions:
                concrete = made.concrete_functions[name]
                concrete.CopyFrom(graph.concrete_functions[name])
                bound = [places[node] for node in concrete.bound_inputs]
                del concrete.bound_inputs[:]
                concrete.bound_inputs.extend(bound)


def _concrete(graph: Any, node: int) -> Sequence[str]:
    found: Sequence[str] = graph.nodes[node].function.concrete_functions
    return found


def _require_computing(functions: Any) -> None:
    """Check that *functions* hold operations that compute only.

    Raises:
        CutError: one holds another.
    """
    functions = list(functions)
    own = {function.signature.name for function in functions}
    used = {node.op for function in functions for node in function.node_def}
    if unknown := sorted(used - own - COMPUTING):
        raise CutError(f"its function holds operations of {', '.join(unknown[:3])}")


class CutFunctions:
    """Functions that were cut out, over variables that are there; made when they are called.

    Args:
        content: a serialized message.
        variables: TensorFlow's variables, in its order.

    Raises:
        CutError: a function holds operations that do more than compute.
        UnconvertibleModelError: the message is damaged.
        UnsupportedRuntimeError: TensorFlow lacks an operation, or is not as expected.
    """

    def __init__(self, content: bytes, variables: Sequence[Any]) -> None:
        saved_model = parse_saved_model(content)
        if len(saved_model.meta_graphs) != 1:
            raise UnconvertibleModelError("the functions are damaged")
        meta_graph = saved_model.meta_graphs[0]
        _require_computing(meta_graph.graph_def.library.function)
        _require_operations(meta_graph.graph_def.library.function)
        root = tensorflow().Module()
        made = {_ROOT: (root, setattr)}
        children = {c.local_name for c in meta_graph.object_graph_def.nodes[0].children}
        for place, variable in enumerate(variables):
            if f"{_VARIABLE}{place}" in children:
                made[f"{_ROOT}.{_VARIABLE}{place}"] = (variable, setattr)
        sources = _sources(meta_graph)
        with tensorflow().init_scope():
            load_partial_over(saved_model, sources, _CutLoader)("", made)
        self._root = root

    def __getattr__(self, name: str) -> Any:
        return getattr(self._root, name)


def _require_operations(functions: Any) -> None:
    registry = OBJECTS.part("op_def_registry")
    own = {function.signature.name for function in functions}
    for name in {node.op for function in functions for node in function.node_def} - own:
        if registry.get(name) is None:
            raise UnsupportedRuntimeError(f"TensorFlow has no operation {name!r} here")


def _sources(meta_graph: Any) -> Sources:
    """Return what the loader draws on; the functions are taken out of *meta_graph*."""
    library = meta_graph.graph_def.library
    content = {each.signature.name: each.SerializeToString() for each in library.function}
    del library.function[:]
    gradients = type(library)()
    gradients.CopyFrom(library)

    def definition(name: str) -> Any:
        message = type(library)().function.add()
        message.ParseFromString(content[name])
        return message

    stock, graph = OBJECTS.part("load"), meta_graph.object_graph_def
    return Sources(
        stock=stock,
        deserialization=Deserialization(stock),
        library=FunctionLibrary(definition, content, gradients, graph),
        array=lambda name: None,
        variables={},
        has_other_state=False,
    )


class _CutLoader(TwinLoader):
    """TensorFlow's loader over functions that were cut out."""
