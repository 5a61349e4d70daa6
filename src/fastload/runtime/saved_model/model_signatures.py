"""The `signatures` of a model that came from a SavedModel, created on first access.

The stock loader leaves `model.signatures`, a mapping of concrete functions that share the model's
variables. Few users of a Keras model access it, and it is what costs most. The mapping that
fastload leaves is of the same class; it asks TensorFlow's loader for the functions, from the
model's own files, the first time it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastload import unfinished
from fastload.errors import BypassError
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.core.transplant import transplant
from fastload.runtime.requirements import SIGNATURES
from fastload.runtime.saved_model.object_paths import captured, paths
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint

_BELOW: Final = "root.signatures."


def attach_signatures(root: Any, path: str, digest: str, variables: Mapping[int, Any]) -> None:
    """Set `root.signatures` to those of the SavedModel at *path*, which are read when first used.

    Args:
        root: the model.
        path: the SavedModel's folder.
        digest: hex digest of its content.
        variables: the variables of the live model, by node id in the SavedModel's object graph.
    """
    signatures = SIGNATURES.part("signature_serialization")._SignatureMap()
    SIGNATURES.check(signatures, "_SignatureMap()")
    folder = Path(path).absolute()  # the program may change its folder before that
    root.signatures = signatures  # still empty: Keras looks into what it is given
    signatures._signatures = _SignaturesOnAccess(lambda: _load(folder, digest, variables))


class _SignaturesOnAccess(Mapping[str, Any]):
    """A mapping that a function makes on first access."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make
        self._lock = unfinished.lock()
        self._made: Mapping[str, Any] | None = None

    def _all(self) -> Mapping[str, Any]:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(dict(self._all()))


def _load(folder: Path, digest: str, variables: Mapping[int, Any]) -> Mapping[str, Any]:
    """Let TensorFlow load the signatures, over variables that exist and hold what they hold."""
    _require_same(folder, digest)
    graph = (
        parse_saved_model((folder / "saved_model.pb").read_bytes()).meta_graphs[0].object_graph_def
    )
    stock = SIGNATURES.part("load")
    filters, constants = _needed(graph, variables)

    class Loader(stock.Loader):  # type: ignore[misc, name-defined]
        def _retrieve_all_filtered_nodes(self) -> set[int]:
            found: set[int] = super()._retrieve_all_filtered_nodes()
            return found | constants

        def _restore_checkpoint(self) -> None:
            """Leave the variables as they are: the model may have been trained since."""

        def _setup_function_captures(self, name: str, nodes: Any) -> None:
            # The functions of single layers capture what is not loaded here.
            if all(nodes[node] is not None for node in graph.concrete_functions[name].bound_inputs):
                super()._setup_function_captures(name, nodes)

    load_partial = transplant(stock, {"Loader": Loader})["load_partial"]
    found: Mapping[str, Any] = load_partial(str(folder), filters)["root.signatures"]
    return dict(found.items())


def _require_same(folder: Path, digest: str) -> None:
    """Check that *folder* holds the model that was loaded: another's functions compute nonsense."""
    try:
        found = fingerprint(detect(folder)).digest
    except BypassError:
        found = None
    if found != digest:
        fate = "is gone" if found is None else "is another one now"
        raise FileNotFoundError(
            f"model.signatures are read from {str(folder)!r} when they are first used, "
            f"and the model there {fate}. Load the model again from where it is now."
        )


def _needed(graph: Any, variables: Mapping[int, Any]) -> tuple[dict[str, Any], set[int]]:
    """Return what `load_partial` shall load (None) and what is there, by path from the root.

    And the nodes that no path leads to: constants, in files that TensorFlow 2.8 wrote.
    """
    found = paths(graph)
    filters: dict[str, Any] = {"root.signatures": None}
    needed = captured(graph, [n for n, path in found.items() if path.startswith(_BELOW)])
    for node in needed & found.keys():
        filters[found[node]] = (variables[node], setattr) if node in variables else None
    return filters, needed - found.keys()
