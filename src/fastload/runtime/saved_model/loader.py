"""TensorFlow's SavedModel loader, run over a graph without functions and weights from a twin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastload.errors import UnresolvedObjectError
from fastload.runtime.core.blank_variables import assign, is_blank
from fastload.runtime.core.rebuild import current_rebuild, is_within
from fastload.runtime.core.tensorflow import parse_saved_model, tensorflow
from fastload.runtime.core.transplant import Overlay, entry_over
from fastload.runtime.core.zero_copy import tensor_over
from fastload.runtime.requirements import MATCHED, MESSAGES, REST_OF_A_MODEL
from fastload.runtime.saved_model.model_signatures import attach_signatures
from fastload.twin.format import OBJECT_GRAPH, SOURCE_NODES, VARIABLES
from fastload.twin.reader import Twin


class UnmatchedVariableError(Exception):
    """A variable of the model has no value in the checkpoint.

    The class of a layer may have changed since: it has more variables than the file has values.
    Stock refuses such a model, unless `allow_partial_checkpoint` was asked for.
    """


class Loaded:
    """The Keras loader of one load, kept so that its objects can get their weights by node id."""

    def __init__(self) -> None:
        self.keras_loader: Any = None

    def recording(self, stock: type[Any]) -> type[Any]:
        """Return a subclass of Keras's `KerasObjectLoader` that remembers its instance here."""
        remember = self

        class Recording(stock):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                remember.keras_loader = self

        return Recording

    def require_matched(self, restored: Iterable[Any], *, partial: bool) -> None:
        """Check, where *partial* does not allow otherwise, that each variable has its weights.

        Args:
            restored: the variables that have them.
            partial: variables may lack a value.

        Raises:
            UnmatchedVariableError: one has none.
        """
        layer = sys.modules[type(self.keras_loader).__mro__[1].__module__].base_layer.Layer
        nodes = self.keras_loader.loaded_nodes.values()
        layers = [each for each, _ in nodes if isinstance(each, layer)]
        if not partial and _may_lack(layers, layer):
            _require_matched(layers, restored)

    def objects(self) -> dict[int, Any]:
        """Return the objects that were rebuilt from configs, by node id."""
        return {node: found[0] for node, found in self.keras_loader.loaded_nodes.items()}


def load_partial(twin: Twin, loaded: Loaded, path: str, *, partial: bool) -> dict[str, Any]:
    """Finish what was rebuilt from configs, as `tf.__internal__.saved_model.load_partial` does.

    Nearly always every object of the graph was rebuilt from a config, and only the weights are
    missing. Where the graph holds more (an optimizer, a variable that the user attached, RNN
    states), TensorFlow's own loader makes the rest.

    Args:
        twin: the twin.
        loaded: what Keras's loader made.
        path: the SavedModel's folder.
        partial: variables may lack a value.

    Returns:
        The loaded objects by node path, of which the caller reads `"root"`.
    """
    saved_model = parse_saved_model(twin.document(OBJECT_GRAPH))
    objects = loaded.objects()
    _require_classes(loaded)
    if set(_live_nodes(saved_model.meta_graphs[0].object_graph_def)) <= objects.keys():
        restored = _bind(twin, objects)
        loaded.require_matched(restored, partial=partial)
        result = _run_stock(saved_model, path, _rebuilt(objects[0]), {"root": None})
    else:
        result = _load_rest(twin, loaded, saved_model, path, partial=partial)
    _attach_signatures(result["root"], twin, objects, path)
    return result


def _attach_signatures(root: Any, twin: Twin, objects: Mapping[int, Any], path: str) -> None:
    if SOURCE_NODES in twin.manifest.documents and getattr(root, "signatures", None) is None:
        source_nodes = json.loads(twin.document(SOURCE_NODES))
        variables = json.loads(twin.document(VARIABLES))
        bound = {
            source_nodes[int(node)]: objects[int(node)]
            for node in variables
            if int(node) in objects
        }
        attach_signatures(root, twin, path, bound)


def _live_nodes(graph: Any) -> Iterator[int]:
    """Yield the nodes that a user can reach; only the Keras loader reads lists in `keras_api`."""
    passive = {
        c.node_id for node in graph.nodes for c in node.children if c.local_name == "keras_api"
    }
    passive |= {
        c.node_id for api in passive for c in graph.nodes[api].children if c.local_name != "states"
    }
    return (node for node in range(len(graph.nodes)) if node not in passive)


def _require_classes(loaded: Loaded) -> None:
    """Check that each layer is of its class; Keras makes those without one of stored functions."""
    keras = sys.modules[type(loaded.keras_loader).__mro__[1].__module__]
    for revived in loaded.objects().values():
        if isinstance(revived, (keras.RevivedLayer, keras.RevivedInputLayer)):
            raise UnresolvedObjectError(type(revived).__name__, f"layer {revived.name!r}")


def _bind(twin: Twin, objects: Any) -> list[Any]:
    """Give each variable its weights, sharing the twin's memory; return those that have them."""
    bound = []
    for node, name in json.loads(twin.document(VARIABLES)).items():
        variable = objects.get(int(node)) if isinstance(objects, dict) else objects[int(node)]
        if variable is not None:
            assign(variable, tensor_over(twin.array(name)))
            bound.append(variable)
    return bound


def _may_lack(layers: Iterable[Any], base: type) -> bool:
    """Say whether there may be variables without a value: most models need no look at all of them.

    Args:
        layers: what Keras made, after it got its weights.
        base: Keras's base class of layers.
    """
    rebuild = current_rebuild()
    if rebuild is not None and any(map(is_blank, rebuild.blanks)):
        return True
    return any(not is_within(type(each).__module__, base) for each in layers)


def _require_matched(layers: Iterable[Any], restored: Iterable[Any]) -> None:
    """Check that every variable of *layers* is among those that were *restored*.

    Args:
        layers: what Keras made. Networks have none of their own yet; stock lends them some.
        restored: variables that have got their values.

    Raises:
        UnmatchedVariableError: one is not.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    known = {id(each) for each in restored}
    for each in _below(layers):
        if isinstance(each, tensorflow().Variable) and id(each) not in known:
            raise UnmatchedVariableError(f"{each.name!r} has no value in the checkpoint")


def _below(layers: Iterable[Any]) -> Iterable[Any]:
    root = tensorflow().train.Checkpoint(**{f"node_{n}": each for n, each in enumerate(layers)})
    view = MATCHED.part("graph_view").ObjectGraphView(root)
    listed = getattr(view, "list_objects", None)  # before TensorFlow 2.10
    found: Iterable[Any] = listed() if listed else MATCHED.part("util").list_objects(view)
    return found


def _rebuilt(whole: Any) -> type:
    """Return what stands in for TensorFlow's `Loader` where nothing is left to do but give *whole*.

    What is done around it is TensorFlow's: marks on the root, metrics, a notice of a missing file.
    It is a class, since TensorFlow 2.8 asks whether what it has is an instance of it.
    """

    class Rebuilt:
        def __init__(self, *_arguments: Any) -> None:
            pass

        def get(self, _node: Any) -> Any:
            return whole

        def adjust_debug_info_func_names(self, debug_info: Any) -> Any:
            return debug_info

    return Rebuilt


def no_debug_info() -> Any:
    """Return an empty `GraphDebugInfo` message."""
    return MESSAGES.part("debug_info").GraphDebugInfo()


def _load_rest(
    twin: Twin, loaded: Loaded, saved_model: Any, path: str, *, partial: bool
) -> dict[str, Any]:
    stock = REST_OF_A_MODEL.part("load")

    class Loader(stock.Loader):  # type: ignore[misc, name-defined]
        def _restore_checkpoint(self) -> None:
            restored = _bind(twin, self._nodes)
            loaded.require_matched(restored, partial=partial)

    nodes: dict[str, Any] = {"root": None}
    for node, found in loaded.keras_loader.loaded_nodes.items():
        nodes[loaded.keras_loader.get_path(node)] = found
    return _run_stock(saved_model, path, Loader, nodes)


def _run_stock(saved_model: Any, path: str, loader: Any, nodes: dict[str, Any]) -> dict[str, Any]:
    """Run TensorFlow's `load_partial` over *saved_model* with *loader* for its `Loader`."""

    def parse(_: str) -> tuple[Any, Any]:
        return saved_model, no_debug_info()

    stock = REST_OF_A_MODEL.part("load")
    loader_impl = Overlay(stock.loader_impl, {"parse_saved_model_with_debug_info": parse})
    run = entry_over(stock, "load_partial", {"loader_impl": loader_impl, "Loader": loader})
    result: dict[str, Any] = run(path, nodes)
    return result
