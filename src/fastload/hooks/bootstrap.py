"""The start of a process with `FASTLOAD=1`: wait for TensorFlow or Keras, then install the hooks.

A `.pth` file of the distribution calls `start` in every Python process that has the variable. Most
of these never load a model. So this module imports only what a bare interpreter has imported, and
the rest is imported when a package that can load models is about to be imported.
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
_complaints: "list[str]" = []


def start() -> None:
    """Install the hooks, now or later, if the environment asks for it. Never fails."""
    try:
        wanted = flag(os.environ, OPT_IN) and not flag(os.environ, DISABLE)
    except ValueError as error:
        _complain(f"fastload: {error}. fastload is off.\n")
        return
    if not wanted or any(isinstance(finder, Watch) for finder in sys.meta_path):
        return
    if any(name in sys.modules for name in _PACKAGES):
        _install()
    else:
        sys.meta_path.insert(0, Watch())


def _complain(message: str) -> None:
    """Write *message* to standard error, once; Python may read the file that calls us twice."""
    if message not in _complaints:
        _complaints.append(message)
        _tell(message)


def _tell(message: str) -> None:
    """Write *message* to standard error where that takes it; a program must run without one too."""
    try:  # noqa: SIM105 - `contextlib` is not imported yet
        sys.stderr.write(message)
    except Exception:  # noqa: BLE001, S110 - None under `pythonw`; closed; full
        pass


def on_import(_module: "ModuleType") -> None:
    """Install the hooks when a module was imported: the entry point for `autowrapt`."""
    _install()


class Watch:
    """A finder that installs the hooks just before TensorFlow or Keras is imported.

    It returns the specs of the other finders, with another loader: a program that only looks for
    TensorFlow, to see whether it is installed, does not import it.

    Attributes:
        is_waiting: the hooks are not installed yet.
        about_to_run: the spec of the module that they are being installed for.
    """

    def __init__(self) -> None:
        self.is_waiting = True
        self.about_to_run: ModuleSpec | None = None

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        """Return the spec of a package that can load models; None for all others."""
        if self.about_to_run is not None and self.about_to_run.name == name:
            return self.about_to_run  # no finder behind this one is asked a second time
        if name not in _PACKAGES or not self.is_waiting:
            return None
        # The finders before this one have been asked already, or are asking this one.
        finders = list(sys.meta_path)
        rest = finders[finders.index(self) + 1 :] if self in finders else finders
        spec: ModuleSpec | None = _find(rest, name, path, target)
        if spec is not None:
            self._wait_for(spec)
        return spec

    def _wait_for(self, spec: "ModuleSpec") -> None:
        from fastload.hooks.noticing import NoticingLoader

        if hasattr(spec.loader, "exec_module"):
            spec.loader = NoticingLoader(spec.loader, self._end)  # type: ignore[assignment]
        else:  # an unusual loader: do not wait for the import
            self.is_waiting = False
            _install()

    def _end(self, spec: "ModuleSpec") -> None:
        """Install the hooks; the finders that come with them may give *spec* a loader of theirs."""
        self.is_waiting = False
        before = {id(finder) for finder in sys.meta_path}
        _install()
        self.about_to_run = spec
        try:
            new = [finder for finder in sys.meta_path if id(finder) not in before]
            found = _find(new, spec.name, None, None)
            spec.loader = spec.loader if found is None else found.loader
        finally:
            self.about_to_run = None


def _find(finders: "list[Any]", name: str, path: "Any", target: "Any") -> "Any":
    """Return the first spec that *finders* find, as the import system does."""
    for finder in finders:
        if isinstance(finder, Watch) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _install() -> None:
    """Install the hooks; an error of ours must not fail the program's import."""
    try:
        from fastload.hooks.installation import install

        install()
    except Exception as error:  # noqa: BLE001 - see above
        _tell(f"fastload: off: {type(error).__name__}: {error}\n")
