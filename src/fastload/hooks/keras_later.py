"""Whether Keras may wait for its first use when TensorFlow asks for it, and what cannot wait.

The last thing that TensorFlow does when it is imported is to import Keras, and it goes on where
that cannot be imported. It was made for the Keras that registers its optimisers with TensorFlow;
Keras 3 registers nothing there. See docs/decisions/0013-lighter-import.md.
"""

import os
import sys

from fastload.hooks import as_it_was

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.machinery import ModuleSpec
    from types import FrameType

NAME = "keras"
_ASKED_FOR = "keras.src.optimizers"
_OF_THE_IMPORT_SYSTEM = ("importlib", "_frozen_importlib", "_frozen_importlib_external")
_LEGACY = "TF_USE_LEGACY_KERAS"

#: What Keras's import does to others, done when TensorFlow asks for Keras: the first puts itself
#: in the place of `tf.experimental`; the next two read variables which a program may change later;
#: the last draws a number from `random`.
IN_ITS_STEAD = ("tensorflow.experimental", "matplotlib", "PIL.Image", "rich.default_styles")

#: The settings with which Keras's import cannot fail, nor do anything else to the process.
_PLAIN_VARIABLES = {"KERAS_BACKEND": ("", "tensorflow"), "KERAS_HOME": None}
_PLAIN_SETTINGS = {
    "floatx": ("float16", "float32", "float64"),
    "epsilon": None,
    "backend": ("tensorflow",),
    "image_data_format": ("channels_last", "channels_first"),
}


def may_wait(spec: "ModuleSpec") -> bool:
    """Say whether Keras, as *spec* finds it, is Keras 3 with settings that let it wait."""
    if _LEGACY in os.environ or not as_it_was.is_supported():
        return False
    try:
        return _is_keras_3(spec) and _are_plain(as_it_was.settings(os.environ))
    except (OSError, ValueError):
        return False


def is_asked_for_by_tensorflow(frame: "FrameType | None") -> bool:
    """Say whether *frame* belongs to the import by which TensorFlow ends.

    Args:
        frame: of what the import system called.
    """
    asked_for = None
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.partition(".")[0] not in _OF_THE_IMPORT_SYSTEM:
            break
        if name == "importlib" and frame.f_code.co_name == "import_module":
            asked_for = frame.f_locals.get("name")
        frame = frame.f_back
    else:
        return False
    is_body = name == "tensorflow" and frame.f_code.co_name == "<module>"
    return is_body and asked_for == _ASKED_FOR


def load_in_its_stead() -> bool:
    """Load what Keras would load for others to see; say whether that worked.

    What is not installed, Keras does without.
    """
    try:
        for name in IN_ITS_STEAD:
            try:
                __import__(name)
            except ImportError:
                continue
    except Exception:  # noqa: BLE001 - the error is Keras's to raise
        return False
    return "tensorflow.experimental" in sys.modules


def _is_keras_3(spec: "ModuleSpec") -> bool:
    """Look into the file that has had the version since Keras 3; Keras 2 has none there."""
    path = os.path.join(os.path.dirname(spec.origin or ""), "src", "version.py")  # noqa: PTH118, PTH120
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - `pathlib` is no part of a bare Python
        return any(line.startswith('__version__ = "3.') for line in file)


def _are_plain(variables: "dict[str, str]") -> bool:
    for name, value in variables.items():
        if name.startswith("KERAS_") and not _is_plain(_PLAIN_VARIABLES, name, value):
            return False
    home = variables.get("KERAS_HOME")
    if home is None:
        home = os.path.join(_writable_home(), ".keras")  # noqa: PTH118
    return _is_plain_file(os.path.expanduser(os.path.join(home, "keras.json")))  # noqa: PTH111, PTH118


def _writable_home() -> str:
    home = os.path.expanduser("~")  # noqa: PTH111
    return home if os.access(home, os.W_OK) else "/tmp"  # noqa: S108 - where Keras looks


def _is_plain_file(path: str) -> bool:
    """Say whether the settings file at *path* is not there, or has nothing unusual."""
    import json

    if not os.path.exists(path):  # noqa: PTH110
        return True
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        found = json.load(file)
    return (
        isinstance(found, dict)
        and isinstance(found.get("epsilon", 0.0), float)
        and all(_is_plain(_PLAIN_SETTINGS, name, value) for name, value in found.items())
    )


def _is_plain(known: "Mapping[str, tuple[str, ...] | None]", name: str, value: object) -> bool:
    """Say whether *name* is known, and *value* one of those it may have; None allows any."""
    values = known.get(name, ())
    return values is None or value in values
