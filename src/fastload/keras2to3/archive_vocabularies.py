"""What lookup layers have learnt, which an archive of Keras 2 keeps beside the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from fastload.keras2to3.rules.graph import is_network, is_sequential
from fastload.keras2to3.tf_file_weights import named_layers
from fastload.keras2to3.vocabularies import lines_of_archive, special_tokens, words_of
from fastload.source.keras_archive import KerasArchive

_WORDS: Final = "vocabulary.txt"
_IDF: Final = "idf_weights"


class LearntVocabularies:
    """The vocabularies of an archive.

    Attributes:
        taken: names of the weights that are part of them, and no variables in Keras 3.
    """

    def __init__(self, archive: KerasArchive) -> None:
        self._archive = archive
        self._weights = {spec.name for spec in archive.weights.specs}
        self.taken: set[str] = set()

    def within(self, item: Any, place: str = "") -> Any:
        """Return *item* with the vocabularies of its lookup layers.

        Args:
            item: the configuration of a model; whatever else it is, it is returned as it is.
            place: the model's folder in the archive, with a slash at the end.

        Raises:
            MigrationError: Keras 3 cannot hold the words of one.
        """
        if not (is_network(item) or is_sequential(item)):
            return item
        layers = []
        for name, layer in named_layers(item):
            folder = f"{place}layers/{name}/"
            layers.append(self._of_layer(self.within(layer, folder), folder))
        return {**item, "config": {**item["config"], "layers": layers}}

    def _of_layer(self, layer: Any, folder: str) -> Any:
        config = layer.get("config")
        if not isinstance(config, Mapping) or "vocabulary" not in config:
            return layer
        words = self._words_in(folder, config) or config["vocabulary"]
        if not isinstance(words, list):
            return layer
        learnt = {"vocabulary": words, **self._weighted(layer, folder, words)}
        return {**layer, "config": {**config, **learnt}}

    def _words_in(self, folder: str, config: Mapping[str, Any]) -> list[Any]:
        found = [name for name in self._archive.assets if name.startswith(folder)]
        files = [name for name in found if PurePosixPath(name).name == _WORDS]
        if not files:
            return []
        # The inner layer of a `TextVectorization` writes the same vocabulary and weights again.
        return words_of(lines_of_archive(self._archive.assets[min(files, key=len)]), config)

    def _weighted(self, layer: Any, folder: str, words: list[Any]) -> dict[str, Any]:
        """Return *words* with their weights, which the special tokens have too."""
        names = {f"{folder}vars/{_IDF}", f"{folder}_lookup_layer/vars/{_IDF}"} & self._weights
        if not names:
            return {}
        self.taken |= names
        tokens = special_tokens(layer)
        known = words if words[: len(tokens)] == tokens else tokens + words
        weights = self._archive.weights.read(min(names, key=len)).ravel()
        # After those of the words is what fills up to `max_tokens`.
        return {"vocabulary": known, _IDF: weights[: len(known)].tolist()}
