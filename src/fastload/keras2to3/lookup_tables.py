"""The vocabularies of lookup layers, which a SavedModel keeps in its tables and assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from fastload.convert.object_graph import CheckpointKeys
from fastload.runtime.core.tensorflow import Checkpoint, parse_saved_model, tensorflow
from fastload.runtime.saved_model.object_paths import children
from fastload.source.saved_model_parts import read_functions

_LOOKUPS: Final = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
_INNER: Final = "_lookup_layer"
#: Names of the table: today, and in Keras 2.4 to 2.6.
_TABLES: Final = ("lookup_table", "_table")
_FILL: Final = "_initialize"
_IDF: Final = "idf_weights"
#: Entries for masked positions, which are not part of the vocabulary.
_MASKS: Final = ("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of a SavedModel's lookup layers.

    Attributes:
        path: the SavedModel.
        graph: its object graph.
        keys: checkpoint keys of the graph's nodes.
        checkpoint: the checkpoint.
    """

    path: Path
    graph: Any
    keys: CheckpointKeys
    checkpoint: Checkpoint

    def of(self, node: int) -> dict[str, Any]:
        """Return the state of the lookup layer at *node* as arguments of one in Keras 3."""
        parts = children(self.graph, node)
        parts = children(self.graph, parts[_INNER]) if _INNER in parts else parts
        table = next((parts[name] for name in _TABLES if name in parts), None)
        words = None if table is None else self._words(table)
        if not words:
            return {}
        learnt: dict[str, Any] = {"vocabulary": words}
        if parts.get(_IDF) in self.keys.variables:
            weights = self.checkpoint.read(self.keys.variables[parts[_IDF]])
            # The first ones, of unknown words, are the mean, which Keras 3 computes itself.
            learnt[_IDF] = [float(each) for each in weights[-len(words) :]]
        return learnt

    def _words(self, table: int) -> list[Any]:
        pairs = self._kept_pairs(table) or self._filled_pairs(table)
        if pairs is None:
            return []
        keys, values = pairs
        words, places = (values, keys) if values.dtype == object else (keys, values)
        found = [_plain(word) for word in words[np.argsort(places)]]
        return [word for word in found if word not in _MASKS]

    def _kept_pairs(self, table: int) -> tuple[Any, Any] | None:
        """Return keys and values of a table in the checkpoint."""
        key = self.keys.other.get(table)
        if key is None:
            return None
        return self.checkpoint.read(f"{key}-keys"), self.checkpoint.read(f"{key}-values")

    def _filled_pairs(self, table: int) -> tuple[Any, Any] | None:
        """Return keys and values of a table that a function fills with constants."""
        fill = children(self.graph, table).get(_FILL)
        names = self.graph.nodes[fill].function.concrete_functions if fill is not None else ()
        for name in names:
            bound = self.graph.concrete_functions[name].bound_inputs
            nodes = [self.graph.nodes[each] for each in bound]
            constants = [n.constant.operation for n in nodes if n.WhichOneof("kind") == "constant"]
            if len(constants) == 2:  # noqa: PLR2004 - keys and values
                keys, values = constant_values(self.path / "saved_model.pb", constants)
                return keys, values
        return None


def with_vocabularies(item: Any, metadata: Mapping[int, Any], tables: Tables) -> Any:
    """Return the configuration *item* of Keras 2 with the vocabularies of its lookup layers.

    Args:
        item: the configuration.
        metadata: Keras's metadata by node id.
        tables: the tables with the vocabularies.
    """
    learnt = {
        found["config"]["name"]: tables.of(node)
        for node, found in metadata.items()
        if found.get("class_name") in _LOOKUPS
    }
    return _filled(item, {name: each for name, each in learnt.items() if each})


def with_vocabulary_files(item: Any, assets: Mapping[str, Path]) -> Any:
    """Return *item* with the content of each vocabulary file, from the SavedModel's own copy.

    Args:
        item: the configuration.
        assets: the files that the SavedModel lists, by name.
    """
    if isinstance(item, Mapping):
        found = {key: with_vocabulary_files(each, assets) for key, each in item.items()}
        path = assets.get(PurePosixPath(str(found.get("vocabulary"))).name)
        if isinstance(found.get("vocabulary"), str) and path is not None:
            found["vocabulary"] = _words_of(path)
        return found
    return [with_vocabulary_files(each, assets) for each in item] if _is_list(item) else item


def _words_of(path: Path) -> list[str] | str:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return str(path)


def _plain(word: Any) -> Any:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else int(word)


def _filled(item: Any, learnt: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(item, Mapping):
        found = {key: _filled(each, learnt) for key, each in item.items()}
        config = found.get("config")
        if isinstance(config, Mapping) and config.get("name") in learnt and _is_empty(config):
            found["config"] = {**config, **learnt[config["name"]]}
        return found
    return [_filled(each, learnt) for each in item] if _is_list(item) else item


def _is_empty(config: Mapping[str, Any]) -> bool:
    return "vocabulary" in config and not config["vocabulary"]


def _is_list(item: Any) -> bool:
    return isinstance(item, (list, tuple))


def constant_values(path: Path, names: Sequence[str]) -> list[Any]:
    """Return the values of the constant nodes *names* of the `saved_model.pb` at *path* as arrays.

    Raises:
        UnconvertibleModelError: it is damaged.
    """
    meta_graph = parse_saved_model(read_functions(path, frozenset(names)).objects).meta_graphs[0]
    found = {node.name: node.attr["value"].tensor for node in meta_graph.graph_def.node}
    return [tensorflow().make_ndarray(found[name]) for name in names]
