"""The tree of names in a twin: which path is a group, which a weight, what lies under a group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fastload.twin.format import Manifest

#: Everything of fastload's own lies under this group; no model has one of that name at its root.
RESERVED_GROUP: Final = "fastload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The groups and weights of a twin by path.

    Attributes:
        children: names directly under each group, sorted as HDF5 sorts them; `""` is the root.
        weights: the name of the weight at each dataset path; a link is a path to a weight of
            another name.
    """

    children: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, str]

    @classmethod
    def of(cls, manifest: Manifest, names: Iterable[str]) -> Tree:
        """Make the tree of the groups and links of *manifest* and of the weights called *names*.

        Groups that are only named in a longer path are added.

        Raises:
            ValueError: a path is a group and a weight at once, or a link leads nowhere.
        """
        weights = {name: name for name in names}
        for link, target in manifest.links.items():
            if target not in weights:
                raise ValueError(f"the link {link!r} leads to no weight: {target!r}")
            if link in weights:
                raise ValueError(f"the link {link!r} has the name of a weight")
        weights |= manifest.links
        children = _children(manifest.groups, weights)
        if both := weights.keys() & children.keys():
            raise ValueError(f"{min(both)!r} is a weight and a group")
        return cls(children=children, weights=weights)

    def __contains__(self, path: str) -> bool:
        """Say whether anything is at *path*."""
        return path in self.children or path in self.weights


def require_valid(path: str) -> None:
    """Check that HDF5 can hold an object at *path* under that very name.

    Raises:
        ValueError: it cannot, or the path belongs to fastload.

    Example:
        >>> require_valid("model_weights/conv1/kernel:0")
    """
    parts = path.split("/")
    if "\0" in path or "" in parts or "." in parts:
        raise ValueError(f"{path!r} is not a path in HDF5")
    if parts[0] == RESERVED_GROUP:
        raise ValueError(f"{path!r} lies in fastload's own group")


def _children(groups: Iterable[str], weights: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the sorted names under each group, groups without any included."""
    found: dict[str, list[str]] = {"": []}
    for path in groups:
        _group(found, path)
    for path in weights:
        parent, _, name = path.rpartition("/")
        _group(found, parent).append(name)
    return {path: tuple(sorted(names)) for path, names in found.items()}


def _group(found: dict[str, list[str]], path: str) -> list[str]:
    """Return the names under the group at *path*, which is added if need be, as are those above."""
    if path not in found:
        found[path] = []
        parent, _, name = path.rpartition("/")
        _group(found, parent).append(name)
    return found[path]
