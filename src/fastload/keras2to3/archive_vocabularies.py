"""What lookup layers have learnt, which an archive of Keras 2 keeps beside the configuration."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

from fastload.keras2to3.rules.graph import is_network, is_sequential
from fastload.keras2to3.tf_file_weights import named_layers
from fastload.keras2to3.vocabularies import lines_of_archive, words_of
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
        found = [name for name in self._archive.assets if name.startswith(folder)]
        files = [name for name in found if PurePosixPath(name).name == _WORDS]
        if not files or "vocabulary" not in layer["config"]:
            return layer
        # The inner layer of a `TextVectorization` writes the same vocabulary and weights again.
        words = words_of(
            lines_of_archive(self._archive.assets[min(files, key=len)]), layer["config"]
        )
        learnt = {"vocabulary": words, **self._weights_of(folder, len(words))}
        return {**layer, "config": {**layer["config"], **learnt}}

    def _weights_of(self, folder: str, count: int) -> dict[str, list[float]]:
        names = {f"{folder}vars/{_IDF}", f"{folder}_lookup_layer/vars/{_IDF}"} & self._weights
        if not names:
            return {}
        self.taken |= names
        weights = self._archive.weights.read(min(names, key=len))
        # After those of the words is what fills up to `max_tokens`.
        return {_IDF: weights.ravel()[:count].tolist()}
