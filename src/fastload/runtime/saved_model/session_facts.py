"""What a conversion finds out about a graph of TensorFlow 1, so that loads need not import it.

TensorFlow's own importer is run once, in a graph of its own: what it refuses, stock refuses. Then
is known which Python variables a load makes, which value of the checkpoint each of them gets, and
which nodes each signature needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from fastload.errors import UnconvertibleModelError
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import SESSION_IMPORT
from fastload.runtime.saved_model.session_graph import (
    NodeMissingError,
    Nodes,
    operation_name,
    tensor_name,
)

#: Operations that a saver uses to give variables their values, by the place of the value.
_ASSIGNMENTS: Final = frozenset({"Assign", "AssignVariableOp"})
_WITH_DEFAULT: Final = "PlaceholderWithDefault"
#: Operations of an initialisation that does nothing.
_IDLE: Final = frozenset({"NoOp", "Const"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Where a value is in the checkpoint.

    Attributes:
        key: its key.
        part: which part of the tensor there, as `RestoreV2` takes it; empty for all.
    """

    key: str
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FedTensor:
    """A tensor that a function takes.

    Attributes:
        dtype: name of its dtype.
        shape: its shape; None where it is unknown, -1 for an unknown size.
        has_default: its node has a constant for default, and is imported with it.
    """

    dtype: str
    shape: tuple[int, ...] | None
    has_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedVariable:
    """A variable that a load makes a Python object of.

    Attributes:
        node: the node of its handle.
        dtype: as in `FedTensor`.
        shape: as in `FedTensor`.
        trainable: as in Python.
        is_local: it is a local variable, not a global one.
    """

    node: str
    dtype: str
    shape: tuple[int, ...] | None
    trainable: bool
    is_local: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPart:
    """Nodes to import for a purpose.

    Attributes:
        nodes: their numbers.
        fetches: names of what is fetched, where no signature says so.
    """

    nodes: tuple[int, ...]
    fetches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What is known of one graph.

    Attributes:
        variables: the Python variables of a load, in its order.
        references: how TensorFlow prints each variable that gets no Python object.
        values: where the value of each variable's node is.
        signatures: what each signature needs.
        initial: what the initialisation needs; None where the graph has none.
        is_idle: the initialisation does nothing.
        assigned: what gives variables without Python object their values.
        takers: the node of such a variable by the tensor that its assignment takes.
        fed: each tensor that one of the parts is fed with.
    """

    variables: tuple[LiftedVariable, ...]
    references: tuple[str, ...]
    values: Mapping[str, Saved]
    signatures: Mapping[str, GraphPart]
    initial: GraphPart | None
    is_idle: bool
    assigned: GraphPart
    takers: Mapping[str, str]
    fed: Mapping[str, FedTensor]

    def to_json(self, names: Mapping[Saved, str]) -> dict[str, Any]:
        """Return it as a document; *names* are those of the weights in the twin."""
        return {
            "variables": [asdict(each) for each in self.variables],
            "references": self.references,
            "values": {node: names[saved] for node, saved in self.values.items()},
            "signatures": {name: asdict(part) for name, part in self.signatures.items()},
            "initial": self.initial and asdict(self.initial),
            "is_idle": self.is_idle,
            "assigned": asdict(self.assigned),
            "takers": dict(self.takers),
            "fed": {name: asdict(tensor) for name, tensor in self.fed.items()},
        }


def session_facts(meta_graph: Any) -> SessionFacts:
    """Return what is to be known of *meta_graph*.

    Args:
        meta_graph: a `MetaGraphDef` of TensorFlow 1.

    Raises:
        UnconvertibleModelError: TensorFlow cannot import it, or a load does more than give
            variables their values and run one initialisation.
    """
    try:
        with tensorflow().Graph().as_default() as graph:
            SESSION_IMPORT.part("saver")._import_meta_graph_with_return_elements(meta_graph)
            return _Reader(meta_graph, graph).facts()
    except UnconvertibleModelError:
        raise
    except NodeMissingError as error:
        raise UnconvertibleModelError(f"its graph: {error}") from error
    except Exception as error:
        raise UnconvertibleModelError(f"TensorFlow cannot import its graph: {error}") from error


class _Reader:
    """Reads the facts of a graph that was imported."""

    def __init__(self, meta_graph: Any, graph: Any) -> None:
        self._meta_graph, self._graph = meta_graph, graph
        self._nodes = Nodes(meta_graph.graph_def.node)

    def facts(self) -> SessionFacts:
        lifted, references = self._variables()
        handles = {each.node for each in lifted}
        restores = dict(self._restores())
        bare = {op: found for op, found in restores.items() if found[0] not in handles}
        takers = {tensor: node for node, tensor, _ in bare.values()}
        initial = self._initial(handles)
        return SessionFacts(
            variables=lifted,
            references=references,
            values={node: saved for node, _, saved in restores.values()},
            signatures={
                name: self._signature(definition, handles)
                for name, definition in sorted(self._meta_graph.signature_def.items())
            },
            initial=initial,
            is_idle=initial is None or self._is_idle(initial),
            assigned=GraphPart(
                nodes=self._nodes.needed(list(bare), list(takers), handles), fetches=tuple(bare)
            ),
            takers=takers,
            fed=self._fed(takers),
        )

    def _variables(self) -> tuple[tuple[LiftedVariable, ...], tuple[str, ...]]:
        """Return the variables that a load makes objects of, and the names of all others."""
        keys, references = tensorflow().compat.v1.GraphKeys, []
        lifted: dict[str, LiftedVariable] = {}
        for collection in (keys.GLOBAL_VARIABLES, keys.LOCAL_VARIABLES):
            for variable in self._graph.get_collection(collection):
                if not SESSION_IMPORT.part("variables").is_resource_variable(variable):
                    references.append(str(variable))
                elif variable.op.type != "VarHandleOp":
                    raise UnconvertibleModelError(f"{variable.name!r} is a {variable.op.type}")
                else:
                    is_local = collection == keys.LOCAL_VARIABLES
                    lifted.setdefault(variable.op.name, _lifted(variable, is_local=is_local))
        return tuple(lifted.values()), tuple(references)

    def _restores(self) -> Iterator[tuple[str, tuple[str, str, Saved]]]:
        """Yield what the saver assigns: operation, and node, tensor and place of the value."""
        if not self._meta_graph.HasField("saver_def"):
            if self._variables() != ((), ()):
                raise UnconvertibleModelError("its graph has variables and no saver")
            return
        saver = self._meta_graph.saver_def
        self._require_tensor(saver.filename_tensor_name)
        self._graph.as_graph_element(saver.restore_op_name)
        seen, waiting = set(), [operation_name(saver.restore_op_name)]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self._nodes[name]
            if node.op == "NoOp":
                waiting += [operation_name(each) for each in node.input]
            elif node.op in _ASSIGNMENTS:
                target, value = node.input[:2]
                yield name, (operation_name(target), tensor_name(value), self._saved(value))
            else:
                raise UnconvertibleModelError(f"its saver restores by {node.op}")

    def _saved(self, value: str) -> Saved:
        """Return where the tensor *value*, which a saver assigns, is in the checkpoint."""
        node = self._nodes[operation_name(value)]
        while node.op == "Identity":
            value = node.input[0]
            node = self._nodes[operation_name(value)]
        if node.op != "RestoreV2":
            raise UnconvertibleModelError(f"its saver restores by {node.op}")
        place = int(tensor_name(value).rpartition(":")[2])
        return Saved(key=self._text(node.input[1], place), part=self._text(node.input[2], place))

    def _text(self, tensor: str, place: int) -> str:
        node = self._nodes[operation_name(tensor)]
        if node.op != "Const":
            raise UnconvertibleModelError("its saver computes what it restores")
        texts = tensorflow().make_ndarray(node.attr["value"].tensor).reshape(-1)
        return bytes(texts[place]).decode()

    def _signature(self, definition: Any, handles: set[str]) -> GraphPart:
        fed = [name for info in definition.inputs.values() for name in parts_of(info)]
        fetched = [name for info in definition.outputs.values() for name in parts_of(info)]
        for name in fed:
            self._require_tensor(name)
        for info in definition.outputs.values():
            self._require_output(info)
        kept = [name for name in fed if self._has_default(name)]
        given = [name for name in fed if name not in kept]
        return GraphPart(nodes=self._nodes.needed([*fetched, *kept], given, handles))

    def _require_tensor(self, name: str) -> None:
        if not tensorflow().is_tensor(self._graph.as_graph_element(name)):
            raise UnconvertibleModelError(f"its graph is fed at {name!r}, which is not a tensor")

    def _require_output(self, info: Any) -> None:
        """Check that there is what *info* describes, in its shape."""
        found = [self._graph.as_graph_element(name) for name in parts_of(info)]
        if info.WhichOneof("encoding") == "name" and tensorflow().is_tensor(found[0]):
            found[0].shape.merge_with(tensorflow().TensorShape(info.tensor_shape))

    def _fed(self, others: Iterable[str]) -> dict[str, FedTensor]:
        """Return each tensor that a function of the load takes."""
        names = {tensor_name(each) for each in (*others, *self._assets())}
        for definition in self._meta_graph.signature_def.values():
            names |= {tensor_name(n) for info in definition.inputs.values() for n in parts_of(info)}
        return {name: self._tensor(name) for name in sorted(names)}

    def _tensor(self, name: str) -> FedTensor:
        tensor = self._graph.get_tensor_by_name(name)
        if tensor.dtype in (tensorflow().resource, tensorflow().variant):
            raise UnconvertibleModelError(f"its graph is fed with a {tensor.dtype.name}")
        return FedTensor(
            dtype=tensor.dtype.base_dtype.name,
            shape=_sizes(tensor.shape),
            has_default=self._has_default(name),
        )

    def _has_default(self, name: str) -> bool:
        node = self._nodes[operation_name(name)]
        if node.op != _WITH_DEFAULT:
            return False
        default = self._nodes[operation_name(node.input[0])]
        return default.op == "Const" and not default.input

    def _assets(self) -> list[str]:
        names = SESSION_IMPORT.part("loader_impl").get_asset_tensors("", self._meta_graph)
        return list(names)

    def _initial(self, handles: set[str]) -> GraphPart | None:
        found = SESSION_IMPORT.part("loader_impl").get_init_op(self._meta_graph)
        keys = tensorflow().compat.v1.GraphKeys
        if found is None:
            # What TensorFlow runs then, it makes of these collections.
            for key in (keys.LOCAL_VARIABLES, keys.TABLE_INITIALIZERS, keys.LOCAL_RESOURCES):
                if self._graph.get_collection(key):
                    raise UnconvertibleModelError("its graph has no initialisation of its own")
            return None
        nodes = self._nodes.needed([found.name], self._assets(), handles)
        return GraphPart(nodes=nodes, fetches=(found.name,))

    def _is_idle(self, part: GraphPart) -> bool:
        return all(self._meta_graph.graph_def.node[each].op in _IDLE for each in part.nodes)


def _lifted(variable: Any, *, is_local: bool) -> LiftedVariable:
    return LiftedVariable(
        node=variable.op.name,
        dtype=variable.dtype.base_dtype.name,
        shape=_sizes(variable.shape),
        trainable=bool(variable.trainable),
        is_local=is_local,
    )


def _sizes(shape: Any) -> tuple[int, ...] | None:
    return None if shape.rank is None else tuple(-1 if n is None else n for n in shape.as_list())


def parts_of(info: Any) -> list[str]:
    """Return the names of the tensors of a `TensorInfo`."""
    kind = info.WhichOneof("encoding")
    if kind == "coo_sparse":
        sparse = info.coo_sparse
        return [
            sparse.indices_tensor_name,
            sparse.values_tensor_name,
            sparse.dense_shape_tensor_name,
        ]
    if kind == "composite_tensor":
        return [name for each in info.composite_tensor.components for name in parts_of(each)]
    return [info.name]
