"""The walks over HDF5 files: a legacy file by the names that it lists, trees of variables whole.

Every object is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import h5py
from h5py import h5d, h5g, h5o

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5_attributes import read_attributes
from fastload.source.hdf5_budget import Budget
from fastload.source.hdf5_guard import check_depth, check_link, check_storage, dtype_name
from fastload.source.hdf5_texts import HeaderReader
from fastload.source.limits import most_objects, most_objects_without_config
from fastload.twin.format import AttributeValue, WeightSpec

_MODEL: Final = ("model_config", "training_config", "keras_version", "backend")
_WEIGHTS: Final = "model_weights"
_WEIGHTS_OF_NO_LAYER: Final = ("model_weights/top_level_model_weights", "optimizer_weights")
_VARIABLES: Final = "vars"
#: What Keras reads of the groups of a file of weights: lists of names, which may be in parts, and
#: what wrote it.
_LISTS: Final = ("layer_names", "weight_names")
_WRITERS: Final = ("keras_version", "backend")


class Walk:
    """What a walk has found so far.

    Args:
        file: the open file.
        headers: reads the headers of its objects, where it has lists of texts.

    Attributes:
        groups, specs, links: as in `HDF5Source`.
        budget: what may still be read of the file.
    """

    def __init__(self, file: h5py.File, headers: HeaderReader | None = None) -> None:
        self.budget = Budget(int(file.id.get_filesize()), headers)
        self.groups: dict[str, dict[str, AttributeValue]] = {}
        self.specs: list[WeightSpec] = []
        self.links: dict[str, str] = {}
        self._first_path: dict[object, str] = {}

    def _enter(self, path: str, group: h5g.GroupID) -> None:
        """Add a group."""
        first = self._first_path.setdefault(_address(group), path)
        if first != path:
            raise UnsafeSourceError(f"the group {path!r} in the HDF5 file is {first!r} again")
        self.groups[path] = {}

    def _read_attributes(self, path: str, group: h5g.GroupID, names: Iterable[str]) -> None:
        self.groups[path] |= read_attributes(group, path, names, self.budget)

    def _listed(self, path: str, group: h5g.GroupID, attribute: str) -> list[str]:
        """Return a list of names in a group's attribute, or in several that are numbered."""
        if self._has(path, group, attribute):
            return _texts(self.groups[path][attribute], path, attribute)
        names: list[str] = []
        number = 0
        while (part := f"{attribute}{number}") and self._has(path, group, part):
            names += _texts(self.groups[path][part], path, part)
            number += 1
        return names

    def _has(self, path: str, group: h5g.GroupID, attribute: str) -> bool:
        """Read an attribute, and say whether there is one."""
        self._read_attributes(path, group, [attribute])
        return attribute in self.groups[path]

    def _open(self, group: h5g.GroupID, name: bytes, path: str) -> Any:
        """Open the entry *name* of *group*, which is at *path*."""
        self.budget.take_text(len(path))
        check_link(group, name, path)
        return h5o.open(group, name)

    def _add_dataset(self, path: str, dataset: Any) -> None:
        if not isinstance(dataset, h5d.DatasetID):
            raise UnconvertibleModelError(f"{path!r} in the HDF5 file is not a dataset")
        first = self._first_path.setdefault(_address(dataset), path)
        if first != path:
            self.links[path] = first
            return
        check_storage(dataset, path, self.budget)
        dtype = dtype_name(dataset, path, self.budget)
        self.specs.append(WeightSpec(name=path, dtype=dtype, shape=dataset.shape))


class ModelWalk(Walk):
    """A walk over a legacy file as Keras takes it: by the lists of names in its attributes.

    Args:
        file: the open file.
        raw: the same file, open for reading bytes.
    """

    def __init__(self, file: h5py.File, raw: BinaryIO) -> None:
        super().__init__(file, HeaderReader(file, raw))
        self._opened: dict[str, h5g.GroupID | None] = {}
        self._root = h5g.open(file.id, b"/")
        self._seen: set[str] = set()

    def run(self) -> None:
        """Find what Keras reads."""
        self._opened[""] = self._root
        self._enter("", self._root)
        self._read_attributes("", self._root, _MODEL)
        config = self.groups[""].get("model_config", b"")
        text = config.encode() if isinstance(config, str) else config
        self.budget.most_objects = most_objects(
            self.budget.file_bytes, text if isinstance(text, bytes) else b""
        )
        layers = [f"{_WEIGHTS}/{name}" for name in self._names(_WEIGHTS, "layer_names")]
        if _WEIGHTS in self.groups:
            self._read_attributes(_WEIGHTS, self._opened[_WEIGHTS], ("keras_version", "backend"))
        for layer in (*layers, *_WEIGHTS_OF_NO_LAYER):
            for name in self._names(layer, "weight_names"):
                self._find_dataset(f"{layer}/{name}")

    def _names(self, path: str, attribute: str) -> list[str]:
        """Return a list of names in a group's attribute, or in several that are numbered."""
        group = self._group(path)
        return [] if group is None else self._listed(path, group, attribute)

    def _find_dataset(self, path: str) -> None:
        if path in self._seen:
            return
        self._seen.add(path)
        found = self._find(path)
        if found is not None:
            self._add_dataset(path, found)

    def _group(self, path: str) -> h5g.GroupID | None:
        """Return the group at *path*; None if nothing is there."""
        if path not in self._opened:
            found = self._find(path)
            if found is not None:
                if not isinstance(found, h5g.GroupID):
                    raise UnconvertibleModelError(f"{path!r} in the HDF5 file is not a group")
                self._enter(path, found)
            self._opened[path] = found
        return self._opened[path]

    def _find(self, path: str) -> Any:
        """Open what is at *path*; None if nothing is there."""
        self.budget.take_objects(1)
        check_depth(path)  # each level is a call
        parent, _, name = path.rpartition("/")
        group = self._group(parent)
        if group is None or not group.links.exists(name.encode()):
            return None
        return self._open(group, name.encode(), path)


class StateWalk(Walk):
    """A walk over the whole tree of variables in a `.keras` archive.

    Args:
        file: the open file.
        config: the configuration of the model, as JSON.
        headers: as for `Walk`.
    """

    def __init__(self, file: h5py.File, config: bytes, headers: HeaderReader | None = None) -> None:
        super().__init__(file, headers)
        self.budget.most_objects = most_objects(self.budget.file_bytes, config)
        self._root = h5g.open(file.id, b"/")

    def run(self) -> None:
        """Find every group and dataset."""
        pending = [("", self._root)]
        while pending:
            path, group = pending.pop()
            self._enter(path, group)
            self.describe(path, group)
            pending += self._subgroups(path, group)

    def describe(self, path: str, group: h5g.GroupID) -> None:
        """Read the attributes of a group."""
        if path.rpartition("/")[2] == _VARIABLES:
            self._read_attributes(path, group, ["name"])

    def _subgroups(self, path: str, group: h5g.GroupID) -> list[tuple[str, h5g.GroupID]]:
        """Add the datasets of a group; return its subgroups."""
        self.budget.take_objects(group.get_num_objs())
        subgroups = []
        for name in group:
            child = f"{path}/{name.decode()}" if path else name.decode()
            found = self._open(group, name, child)
            if isinstance(found, h5g.GroupID):
                subgroups.append((child, found))
            else:
                self._add_dataset(child, found)
        return subgroups[::-1]


class WeightsWalk(StateWalk):
    """A walk over a whole file of weights: a tree of variables, or a legacy file's layers.

    Which of its groups Keras would read depends on the model, and on the name of the file.

    Args:
        file: the open file.
        raw: the same file, open for reading bytes.
    """

    def __init__(self, file: h5py.File, raw: BinaryIO) -> None:
        super().__init__(file, b"", HeaderReader(file, raw))
        self.budget.most_objects = most_objects_without_config(self.budget.file_bytes)

    def describe(self, path: str, group: h5g.GroupID) -> None:
        """Read the attributes of a group."""
        super().describe(path, group)
        self._read_attributes(path, group, _WRITERS)
        for attribute in _LISTS:
            self._listed(path, group, attribute)


def _address(found: Any) -> object:
    """Return a value that is equal for all names of one object."""
    return h5o.get_info(found).addr


def _texts(values: AttributeValue, path: str, attribute: str) -> list[str]:
    """Return the names in an attribute, after checking that each is a plain path.

    Raises:
        UnconvertibleModelError: they are no list, or one is spelled as Keras spells none.
    """
    names = []
    for value in values if isinstance(values, (list, tuple)) else [None]:
        name = value.decode() if isinstance(value, bytes) else value
        if name is None or not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise UnconvertibleModelError(
                f"the attribute {attribute!r} of {path!r} in the HDF5 file lists no plain names"
            )
        names.append(name)
    return names
