"""Code that is not imported yet: whether it will be the code of a record.

That can be known of a record that was made, or found to hold, by a process that had imported
neither TensorFlow nor Keras before the load: then it is of the code in the installed files. It will
be the same code where these files are untouched, and nothing changes modules on their import.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.machinery import PathFinder
from typing import Any, Final

from fastload.imports.lazy_module import LazyModule
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.code_record import CodeRecord, OtherCodeError

_TENSORFLOW: Final = "tensorflow"
_SECOND_NS: Final = 10**9
_PACKAGES: Final = frozenset({_TENSORFLOW, "keras", "tf_keras"})
#: Whose finders change no module.
_KNOWN_FINDERS: Final = frozenset(
    {
        "_distutils_hack",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "absl",
        "fastload",
        "six",
    }
)


def modules_before() -> frozenset[str] | None:
    """Return which modules are imported; None if TensorFlow or Keras can have been changed.

    They cannot where they are not imported. A TensorFlow that waits to be run is not.
    """
    there = frozenset(sys.modules)
    found = there & _PACKAGES
    is_waiting = found == {_TENSORFLOW} and type(sys.modules[_TENSORFLOW]) is LazyModule
    return None if (found and not is_waiting) or _changes_imports() else there


def _changes_imports() -> bool:
    """Say whether a finder is there that nobody knows."""
    kinds = (each if isinstance(each, type) else type(each) for each in sys.meta_path)
    roots = {each.__module__.partition(".")[0] for each in kinds}
    return any(not root.startswith("__editable__") for root in roots - _KNOWN_FINDERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledCode:
    """What must be as it was for a record to hold where TensorFlow and Keras are not imported.

    Attributes:
        name: of the record.
        files: size and time of modification, by path.
        others: the record, of other packages' code.
        there_before: modules of these that were imported before the load that made it.
    """

    name: str
    files: Mapping[str, tuple[int, int]]
    others: CodeRecord
    there_before: frozenset[str]

    @classmethod
    def of(cls, record: CodeRecord, before: frozenset[str]) -> InstalledCode:
        """Return what *record*, which holds in this process, depends on.

        Args:
            record: the record.
            before: what `modules_before` said.

        Raises:
            OtherCodeError: a file cannot be looked at.
        """
        others = tuple(each for each in record.places if _root(each.module) not in _PACKAGES)
        return cls(
            name=record.name,
            files={path: _stamp(path) for path in sorted(set(_files_of(record)))},
            others=replace(record, places=others),
            there_before=before.intersection(each.module for each in others),
        )

    def require_untouched(self, package: str) -> None:
        """Check that the code will be that of the record.

        Args:
            package: the Keras that would be imported.

        Raises:
            OtherCodeError: it may not be.
        """
        spec = PathFinder.find_spec(package)  # other finders may run a TensorFlow that waits
        if spec is None or spec.origin not in self.files:
            raise OtherCodeError(f"{package} is installed elsewhere")
        for path, stamp in self.files.items():
            if not _is_same(stamp, _stamp(path)):
                raise OtherCodeError(f"{path} is not what it was")
        if not self.there_before <= sys.modules.keys():
            raise OtherCodeError("something may have been changed after its import")
        there = tuple(each for each in self.others.places if each.module in sys.modules)
        replace(self.others, places=there).require_here()

    def to_json(self) -> bytes:
        """Return it as a JSON document."""
        told = {
            "name": self.name,
            "files": self.files,
            "others": self.others.told(),
            "there_before": sorted(self.there_before),
        }
        return json.dumps(told, separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, content: bytes) -> InstalledCode:
        """Return what *content* describes.

        Raises:
            ValueError, TypeError, KeyError: it describes nothing.
        """
        told: Mapping[str, Any] = json.loads(content)
        return cls(
            name=told["name"],
            files={path: (size, time) for path, (size, time) in told["files"].items()},
            others=CodeRecord.of_told(told["others"]),
            there_before=frozenset(told["there_before"]),
        )


def _root(module: str) -> str:
    return module.partition(".")[0]


def _files_of(record: CodeRecord) -> Iterator[str]:
    """Yield the files of a record's modules and of the packages that they are in."""
    modules = {each.module for each in record.places}
    for name in modules | set(map(_root, modules)):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path is not None and _root(name) not in sys.stdlib_module_names:
            yield path


def _is_same(then: tuple[int, int], now: tuple[int, int]) -> bool:
    """Say whether a file is what it was, by size and time of modification.

    Images keep times to the second: those of a file that was in one have no fraction any more.
    """
    if then == now:
        return True
    kept = then[1] - then[1] % _SECOND_NS
    return now == (then[0], kept)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - `Path.stat` takes thrice as long for hundreds of files
    except OSError as error:
        raise OtherCodeError(f"{path} cannot be looked at: {error}") from error
    return found.st_size, found.st_mtime_ns
