"""The start of a process with `FASTLOAD=1`: wait for TensorFlow or Keras, then install.

A `.pth` file of the distribution calls `start` at the start of every Python process that has the
variable. Most of these never load a model, so this module imports what a bare interpreter has, and
all else waits until a package that can load models is about to run.
"""

import os
import sys

from fastload.flags import DISABLE, OPT_IN, flag

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_PACKAGES = ("tensorflow", "keras", "tf_keras")


def start() -> None:
    """Do what the environment asks for; never fail the start of the process."""
    try:
        wanted = flag(os.environ, OPT_IN) and not flag(os.environ, DISABLE)
    except ValueError as error:
        sys.stderr.write(f"fastload: {error}. fastload is off.\n")
        return
    if not wanted or any(isinstance(finder, Watch) for finder in sys.meta_path):
        return
    if any(name in sys.modules for name in _PACKAGES):
        _install()
    else:
        sys.meta_path.insert(0, Watch())


def on_import(_module: "ModuleType") -> None:
    """Install when a module was imported: the entry point for `autowrapt`."""
    _install()


class Watch:
    """A finder that finds what the others find, and notices when TensorFlow or Keras is to run.

    That somebody looks for them is not enough: programs do so to see whether they are installed.
    """

    def __init__(self) -> None:
        self.is_waiting = True

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        """Find a package that loads models; nothing else."""
        if name not in _PACKAGES or not self.is_waiting:
            return None
        # Those before this one have been asked; one of them may be asking for its part.
        finders = list(sys.meta_path)
        rest = finders[finders.index(self) + 1 :] if self in finders else finders
        spec: ModuleSpec | None = _find(rest, name, path, target)
        if spec is not None:
            try:
                spec.loader = _noticing(self, spec.loader)
            except (TypeError, AttributeError):  # a loader that is no ordinary object: no waiting
                self.is_waiting = False
                _install()
        return spec


def _noticing(watch: Watch, loader: "Any") -> "Any":
    """Return a loader that is *loader*, but installs the hooks before it runs a module."""

    class Noticing(type(loader)):  # type: ignore[misc]
        def exec_module(self, module: "ModuleType") -> None:
            watch.is_waiting = False
            _install()
            # What was installed may have a loader of its own for this package.
            spec: Any = module.__spec__
            found = _find(list(sys.meta_path), spec.name, None, None)
            spec.loader = module.__loader__ = loader if found is None else found.loader
            spec.loader.exec_module(module)

    noticing = object.__new__(Noticing)
    noticing.__dict__.update(loader.__dict__)
    return noticing


def _find(finders: "list[Any]", name: str, path: "Any", target: "Any") -> "Any":
    """Ask *finders*, as the import system would."""
    for finder in finders:
        if isinstance(finder, Watch) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _install() -> None:
    """Install the hooks; a fault of ours must not fail the program's import."""
    try:
        from fastload.hooks.installation import install

        install()
    except Exception as error:  # noqa: BLE001 - see above
        sys.stderr.write(f"fastload: off: {type(error).__name__}: {error}\n")
