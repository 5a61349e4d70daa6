"""A twin seen as h5py would show it, for loaders that were written against `h5py.Group`.

Keras's own HDF5 loaders run on this view. It opens no HDF5 file: groups and attributes come from
the twin's index, datasets are arrays over the mapped file. Where h5py gives a `Dataset` this gives
the array itself. fastload's own group is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from fastload.twin.format import AttributeValue, Manifest
from fastload.twin.weights import Array

if TYPE_CHECKING:
    from typing_extensions import Self

#: The group of everything that is fastload's own; no model has a group of this name at its root.
RESERVED_GROUP: Final = "fastload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The groups and weights of a twin, by path.

    Attributes:
        children: names directly under each group, sorted as HDF5 sorts them; `""` is the root.
        weights: the name of the weight at each dataset path; a link's path has another weight's
            name.
    """

    children: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, str]

    @classmethod
    def of(cls, manifest: Manifest, names: Iterable[str]) -> Tree:
        """Return the tree of the groups and links of *manifest* and of the weights called *names*.

        Groups that occur only within a longer path are added.

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
        """Say whether *path* exists."""
        return path in self.children or path in self.weights


def require_valid(path: str) -> None:
    """Check that HDF5 can hold an object at exactly *path*.

    Raises:
        ValueError: it cannot, or the path is reserved for fastload.

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
    """Return the names under the group at *path*; add it and its parents if necessary."""
    if path not in found:
        found[path] = []
        parent, _, name = path.rpartition("/")
        _group(found, parent).append(name)
    return found[path]


class HardLink:
    """Stands for `h5py.HardLink`: every link in a twin is one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """What the groups of one twin share; compared by identity.

    Attributes:
        tree: which names there are.
        attributes: attributes by group path.
        array: returns the weight called by a name.
    """

    tree: Tree
    attributes: Mapping[str, Mapping[str, AttributeValue]]
    array: Callable[[str], Array]


@dataclass(frozen=True, slots=True)
class TwinGroup(Mapping[str, Any]):
    """A read-only group of a twin; threads can share it.

    Attributes:
        contents: the contents of the twin.
        path: its path; `""` is the root.
    """

    contents: Contents = field(repr=False)
    path: str = ""

    @property
    def name(self) -> str:
        """The absolute path, as h5py spells it."""
        return f"/{self.path}"

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The attributes as they were written; lists that HDF5 holds in chunks are whole."""
        return MappingProxyType(dict(self.contents.attributes.get(self.path, {})))

    def __getitem__(self, path: str | bytes) -> Any:
        """Return the group or array at *path*: from here or, with a leading `/`, from the root.

        Raises:
            KeyError: there is none.
        """
        found = self.resolve(path)
        if found in self.contents.tree.children:
            return TwinGroup(self.contents, found)
        weight = self.contents.tree.weights.get(found)
        if weight is None:
            text = _text(path)
            raise KeyError(f"Unable to synchronously open object (object {text!r} doesn't exist)")
        return self.contents.array(weight)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, bytes)) and self.resolve(path) in self.contents.tree

    def __iter__(self) -> Iterator[str]:
        return iter(self.contents.tree.children[self.path])

    def __len__(self) -> int:
        return len(self.contents.tree.children[self.path])

    def __bool__(self) -> bool:
        """An open h5py group is true even if it is empty."""
        return True

    def get(
        self,
        name: str | bytes,
        default: Any = None,
        *,
        getclass: bool = False,
        getlink: bool = False,
    ) -> Any:
        """Return the object at *name*, as `h5py.Group.get` does.

        Args:
            name: a path.
            default: what to return if nothing is there.
            getclass: return the class of what would be returned.
            getlink: return the link instead of what it leads to.
        """
        if name not in self:
            return default
        found = HardLink() if getlink else self[name]
        return type(found) if getclass else found

    def close(self) -> None:
        """Do nothing: the arrays keep the file mapped, and nothing else is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def resolve(self, path: str | bytes) -> str:
        """Return the path from the root, without empty parts and `.`."""
        text = _text(path)
        direct = f"{self.path}/{text}" if self.path else text
        if direct in self.contents.tree:
            return direct
        start = "" if text.startswith("/") else self.path
        return "/".join(part for part in f"{start}/{text}".split("/") if part not in {"", "."})


class TwinFile(TwinGroup):
    """The root group of a twin; stands for `h5py.File`."""

    __slots__ = ()


def _text(path: str | bytes) -> str:
    return path.decode("utf-8") if isinstance(path, bytes) else path
