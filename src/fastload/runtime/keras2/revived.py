"""A Keras 2 SavedModel restored with the functions that it holds, as the stock loader does.

Layers without a class or a configuration come back as Keras's `RevivedLayer` and the like, which
call functions of the SavedModel. The rest of the model is made of configurations. Keras's loader
and TensorFlow's run over the twin; functions materialize on first access.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from fastload.runtime.core.rebuild import Rebuild, rebuilding
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.core.transplant import Overlay, entry_over
from fastload.runtime.keras2.keras2_loaders import Document, dispatch, patches
from fastload.runtime.keras2.keras2_parts import keras2
from fastload.runtime.keras2.output_specs import SpecCache
from fastload.runtime.requirements import KERAS2_REVIVED
from fastload.runtime.saved_model.beside import load_beside
from fastload.runtime.saved_model.loader import Loaded
from fastload.runtime.saved_model.object_paths import KERAS_API, REGULARIZATION_LOSSES, children
from fastload.runtime.saved_model.objects import load_objects, require_operations, sources_of
from fastload.twin.format import SAVED_METADATA, SAVED_OBJECTS
from fastload.twin.reader import Twin

#: Where networks of TensorFlow 2.2 and before keep losses that exist as functions only.
_LOSSES: Final = "regularization_losses"


def restore_revived(
    package: str, twin: Twin, request: RestoreRequest, spec_cache: SpecCache
) -> Any:
    """Run the stock loader over the whole of *twin*, functions included, and return its model.

    Args:
        package: the importable name of the Keras.
        twin: a twin with a function section.
        request: the stock loader's arguments.
        spec_cache: output specs of layer calls; further ones are recorded in it.

    Raises:
        UnsupportedRuntimeError: Keras or TensorFlow is not as expected.
        Exception: whatever the stock loader raises.
    """
    parts = keras2(package)
    stock = KERAS2_REVIVED.part("load", package)
    KERAS2_REVIVED.part("load_beside")
    with spec_cache.learning(), rebuilding(Rebuild(spec_cache=spec_cache), patches(parts)):
        load = _loader(stock, twin, request)
        return dispatch(parts, request, request.filepath, {"saved_model_load": load})


def _loader(stock: ModuleType, twin: Twin, request: RestoreRequest) -> Any:
    """Return the module of Keras's loader, which loads the SavedModel in *twin*."""
    saved_model = parse_saved_model(twin.document(SAVED_OBJECTS))
    meta_graph = saved_model.meta_graphs[0]
    require_operations(meta_graph.meta_info_def)
    sources = sources_of(twin, meta_graph)
    loaded, metadata = Loaded(), twin.document(SAVED_METADATA)

    def load_partial(path: str, made: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        endpoints = _endpoints(stock, loaded.keras_loader, meta_graph.object_graph_def)
        found, restored = load_beside(saved_model, sources, path, made, endpoints)
        if not sources.has_other_state:  # TensorFlow restored all, and has looked
            loaded.require_matched(restored, partial=request.allow_partial)
        return found

    replaced = {
        "__internal__.saved_model.parse_saved_model": lambda path: saved_model,
        "__internal__.saved_model.load_partial": load_partial,
        "saved_model.load": lambda *_, **__: load_objects(twin, request.filepath, None),
        "compat.v1.gfile.Exists": lambda path: bool(metadata),
        "io.gfile.GFile": lambda path, mode: Document(metadata),
    }
    recording = loaded.recording(stock.KerasObjectLoader)
    names = {"tf": Overlay(stock.tf, replaced), "KerasObjectLoader": recording}
    return SimpleNamespace(load=entry_over(stock, "load", names))


def _endpoints(stock: ModuleType, loader: Any, graph: Any) -> dict[int, Collection[str]]:
    """Return which children are for other loaders, of each node that was made of a configuration.

    Keras keeps them on the object, and reads no more of them than `keras_api`.
    """
    revived = (stock.RevivedLayer, stock.RevivedInputLayer)
    endpoints = frozenset(stock.PUBLIC_ATTRIBUTES) - {KERAS_API}
    # Without `compile=`, a metric whose class is missing is not made at all.
    made = {node: loader.loaded_nodes.get(node, (None,))[0] for node in loader._metadata}
    found: dict[int, Collection[str]] = {
        node: endpoints
        for node, each in made.items()
        if each is not None and not isinstance(each, revived)
    }
    for node in loader.model_layer_dependencies.keys() & found.keys():
        if REGULARIZATION_LOSSES not in children(graph, children(graph, node).get(KERAS_API, node)):
            found[node] = endpoints - {_LOSSES}
    return found
