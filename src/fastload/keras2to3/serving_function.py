"""The serving function of a SavedModel: the measure of what is migrated, where it may be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastload.convert.keras_section import saved_config
from fastload.convert.signature_specs import signature_specs
from fastload.keras2to3.memory_limits import TooLargeError, constant_bytes, most_bytes
from fastload.keras2to3.reachable import unknown_operations
from fastload.keras2to3.tf_bounded_functions import Serving, node_of
from fastload.keras2to3.tf_graph_memory import all_nodes, graph_of
from fastload.runtime.core.tensorflow import parse_saved_model, tensorflow
from fastload.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from fastload.source.detect import ModelSource, detect

#: Two sizes for axes that are open: what differs between them is not fixed.
_SIZES: Final = (2, 3)

Shape = tuple[int | None, ...]


class NotRunError(Exception):
    """The function is not there, or must not be run; the message says why."""


def serving_of(source: ModelSource) -> Serving:
    """Return the serving function of a SavedModel.

    Raises:
        NotRunError: it has none, or it holds operations that do more than compute, or too much.
    """
    path, most = source.path, most_bytes(source)
    meta_graph = parse_saved_model((path / "saved_model.pb").read_bytes()).meta_graphs[0]
    graph = meta_graph.object_graph_def
    signature = signature_specs(graph, saved_config(path, graph)).get(DEFAULT_SIGNATURE)
    if signature is None:
        raise NotRunError("the SavedModel has no serving function")
    if unknown := unknown_operations(meta_graph):
        names = ", ".join(unknown[:3])
        raise NotRunError(f"the original is not run: it holds operations of {names}")
    if (constants := constant_bytes(all_nodes(meta_graph))) > most:
        raise NotRunError(f"the original is not run: {TooLargeError(constants, most)}")
    order = signature.order or tuple(sorted(signature.inputs))
    return Serving(
        path=path,
        meta_graph=meta_graph,
        name=DEFAULT_SIGNATURE,
        inputs=order,
        outputs=_outputs(signature),
        specs=[signature.inputs[name] for name in order],
        most_bytes=most,
    )


def _outputs(signature: Signature) -> list[str]:
    if signature.structure is None:
        return list(signature.outputs)
    found: list[str] = tensorflow().nest.flatten(signature.structure)
    return found


def inferred_shapes(path: Path) -> list[Shape]:
    """Return the shapes of the outputs of a SavedModel whose function does not declare them.

    With every size of its inputs known, TensorFlow can infer what it could not with open axes.

    Raises:
        NotRunError: it cannot.
    """
    serving = serving_of(detect(path))
    found = [_shapes(serving, size) for size in _SIZES]
    return [_common(*pair) for pair in zip(*found, strict=True)]


def _shapes(serving: Serving, size: int) -> list[tuple[int, ...]]:
    definition = serving.meta_graph.signature_def[serving.name]
    feeds: Mapping[str, Any] = {
        node_of(definition.inputs[spec.name]): _sized(spec, size) for spec in serving.specs
    }
    names = [definition.outputs[name].name for name in serving.outputs]
    graph = graph_of(serving.meta_graph, feeds, [name.partition(":")[0] for name in names])
    shapes = [] if graph is None else [graph.get_tensor_by_name(name).shape for name in names]
    if not shapes or not all(shape.is_fully_defined() for shape in shapes):
        raise NotRunError("its function does not say what it returns")
    return [tuple(shape) for shape in shapes]


def _sized(spec: TensorSpec, size: int) -> tuple[int, ...]:
    return tuple(size if each is None else each for each in spec.shape or ())


def _common(first: tuple[int, ...], second: tuple[int, ...]) -> Shape:
    """Return what two shapes share.

    Example:
        >>> _common((2, 5), (3, 5))
        (None, 5)
    """
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
