"""What a migration reads of a SavedModel: its objects, its configuration, its variables."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastload.convert.object_graph import checkpoint_keys
from fastload.keras2to3.layer_nodes import with_nodes
from fastload.keras2to3.lookup_tables import Tables, with_vocabularies, with_vocabulary_files
from fastload.keras2to3.tf_saved_model_weights import SavedVariables
from fastload.runtime.core.tensorflow import Checkpoint
from fastload.source.saved_model_parts import read_asset_names

#: What Keras 2 writes in place of the configuration of an object that has none.
_NO_CONFIG: Final = "layer was saved without config"


@dataclass(frozen=True, kw_only=True)
class KerasSavedModel:
    """A SavedModel.

    Attributes:
        path: its folder.
        graph: its object graph.
        metadata: Keras's metadata by node id.
        root: those of the model.
    """

    path: Path
    graph: Any
    metadata: Mapping[int, Any]
    root: Mapping[str, Any]

    @functools.cached_property
    def tables(self) -> Tables:
        """Its lookup tables."""
        checkpoint = Checkpoint(self.path / "variables" / "variables")
        keys = checkpoint_keys(self.graph, checkpoint.object_graph())
        return Tables(path=self.path, graph=self.graph, keys=keys, checkpoint=checkpoint)

    @property
    def saved(self) -> SavedVariables:
        """Its variables."""
        return SavedVariables(keys=self.tables.keys.variables, checkpoint=self.tables.checkpoint)

    @property
    def configuration(self) -> Any:
        """The configuration of the model, with its words and the nodes of its layers; or None."""
        config = self.root.get("config")
        if not config or _NO_CONFIG in config:
            return None
        names = read_asset_names(self.path / "saved_model.pb")
        assets = {name: self.path / "assets" / name for name in names}
        item = {"class_name": self.root["class_name"], "config": config}
        item = with_vocabularies(with_vocabulary_files(item, assets), self.metadata, self.tables)
        return with_nodes(item, self.graph, self.metadata)
