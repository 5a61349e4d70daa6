"""The TensorFlow that is installed, if it is one whose import is known; nothing of it is imported.

Only versions whose stock import was compared with what is left behind when a part came first:
docs/decisions/0016-deferred-tensorflow.md.
"""

from __future__ import annotations

import os
import site
import sys
from importlib.util import find_spec

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Mapping

#: For each version: what TensorFlow puts into the environment before all else, where it is not
#: there already.
SET_FIRST: Mapping[str, Mapping[str, str]] = {
    "2.15": {},
    "2.21": {"ENABLE_RUNTIME_UPTIME_TELEMETRY": "1"},
}
#: TensorFlow loads what these name before it can be used; that is left to its own import.
_PLUGIN_VARIABLES = ("TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_USE_MODULAR_FILESYSTEM")
_PLUGINS = "tensorflow-plugins"
_DISTRIBUTIONS = ("tensorflow", "tensorflow_cpu", "tensorflow_macos")


def expected() -> tuple[str, str] | None:
    """Return folder and version, as `2.21`, of the package if its import is known, or None."""
    spec = find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return None
    package = os.path.dirname(spec.origin)  # noqa: PTH120 - `pathlib` is not imported yet
    folder = os.path.dirname(package)  # noqa: PTH120
    version = _version_in(folder)
    return None if version not in SET_FIRST or _has_plugins(folder) else (package, version)


def prepare_environment(version: str) -> None:
    """Set what TensorFlow *version* sets before its libraries are linked."""
    for name, value in SET_FIRST[version].items():
        os.environ.setdefault(name, value)


def _version_in(folder: str) -> str:
    """Return the version, as `2.21`, of the TensorFlow that is installed in *folder*."""
    names = os.listdir(folder)  # noqa: PTH208 - a thousand names, no paths
    found = {".".join(version.split(".")[:2]) for name in names if (version := _version_of(name))}
    return found.pop() if len(found) == 1 else ""


def _version_of(name: str) -> str:
    """Return the version that the name of a folder of metadata tells, if it is TensorFlow's."""
    distribution, _, version = name.removesuffix(".dist-info").partition("-")
    is_metadata = name.endswith(".dist-info") and distribution in _DISTRIBUTIONS
    return version if is_metadata else ""


def _has_plugins(folder: str) -> bool:
    """Say whether TensorFlow's import would load libraries of others, devices for instance."""
    folders = {folder, *site.getsitepackages(), site.getusersitepackages(), *sys.path}
    return any(os.environ.get(name) for name in _PLUGIN_VARIABLES) or any(
        os.path.exists(os.path.join(each, _PLUGINS))  # noqa: PTH110, PTH118
        for each in folders
        if each
    )
