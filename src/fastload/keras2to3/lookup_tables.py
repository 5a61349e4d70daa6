"""The vocabularies of lookup layers, which a SavedModel keeps in its tables and assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from fastload.convert.object_graph import CheckpointKeys
from fastload.keras2to3.vocabularies import (
    UNKNOWN,
    lines_of_table,
    special_tokens,
    text_of,
    words_of,
)
from fastload.runtime.core.tensorflow import Checkpoint, parse_saved_model, tensorflow
from fastload.runtime.saved_model.object_paths import children
from fastload.source.saved_model_parts import read_functions

_LOOKUPS: Final = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
_INNER: Final = "_lookup_layer"
#: Names of the table: today, and in Keras 2.4 to 2.6.
_TABLES: Final = ("lookup_table", "_table")
_FILL: Final = "_initialize"
_IDF: Final = "idf_weights"
#: The mask of a `TextVectorization`, whose configuration names none.
_MASK_OF_TEXT: Final = ""


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

    def of(self, node: int, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of the lookup layer at *node* as arguments of one in Keras 3.

        Args:
            node: the layer's node.
            item: Keras's metadata of it.

        Raises:
            MigrationError: Keras 3 cannot hold its words.
        """
        parts = children(self.graph, node)
        parts = children(self.graph, parts[_INNER]) if _INNER in parts else parts
        table = next((parts[name] for name in _TABLES if name in parts), None)
        pairs = None if table is None else self._kept_pairs(table) or self._filled_pairs(table)
        if pairs is None:
            return {}
        words, first = _words_of(*pairs, item["config"])
        if not words:
            return {}
        if parts.get(_IDF) not in self.keys.variables:
            return {"vocabulary": words}
        # Those of unknown words may be the mean, which Keras 3 computes itself, or any others: it
        # takes them where the words have special tokens. After the words is what fills up.
        weights = self.checkpoint.read(self.keys.variables[parts[_IDF]]).ravel()
        # A damaged table may begin anywhere.
        unknown = [item["config"].get("oov_token", UNKNOWN)] * min(first, weights.size)
        return {"vocabulary": unknown + words, _IDF: weights[: first + len(words)].tolist()}

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
        found["config"]["name"]: tables.of(node, found)
        for node, found in metadata.items()
        if found.get("class_name") in _LOOKUPS
    }
    return _filled(item, {name: each for name, each in learnt.items() if each})


def with_vocabulary_files(item: Any, assets: Mapping[str, Path]) -> Any:
    """Return *item* with the content of each vocabulary file, from the SavedModel's own copy.

    Args:
        item: the configuration.
        assets: the files that the SavedModel lists, by name.

    Raises:
        MigrationError: Keras 3 cannot hold the words of one.
    """
    if isinstance(item, Mapping):
        found = {key: with_vocabulary_files(each, assets) for key, each in item.items()}
        config = found.get("config")
        if isinstance(config, Mapping) and isinstance(config.get("vocabulary"), str):
            path = assets.get(PurePosixPath(config["vocabulary"]).name)
            found["config"] = config if path is None else _with_words(found, config, path)
        return found
    return [with_vocabulary_files(each, assets) for each in item] if _is_list(item) else item


def _with_words(
    item: Mapping[str, Any], config: Mapping[str, Any], path: Path
) -> Mapping[str, Any]:
    try:
        lines = lines_of_table(path.read_bytes())
    except OSError:
        return {**config, "vocabulary": str(path)}
    # A table takes every line as a word; in a list, Keras looks for special tokens at the front.
    return {**config, "vocabulary": special_tokens(item) + words_of(lines, config)}


def _words_of(keys: Any, values: Any, config: Mapping[str, Any]) -> tuple[list[Any], int]:
    """Return the words of a table in order, and the number of the first."""
    is_inverted = bool(config.get("invert"))
    if object in (keys.dtype, values.dtype):
        is_inverted = values.dtype == object
    words, places = (values, keys) if is_inverted else (keys, values)
    order = np.argsort(places)
    # Until Keras 2.6 the mask was in the table.
    mask = config.get("mask_token", _MASK_OF_TEXT)
    found = [(_plain(words[at], config), int(places[at])) for at in order]
    kept = [(word, place) for word, place in found if word != mask]
    return [word for word, _ in kept], kept[0][1] if kept else 0


def _plain(word: Any, config: Mapping[str, Any]) -> Any:
    return text_of(word, config) if isinstance(word, bytes) else int(word)


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
