"""Open attacks with every function, and print as JSON what came of each.

`python -m tests.security.attack_runs FOLDER PACKAGE`, in a process that may come to harm.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fastload
from fastload.cli.main import commands
from tests.security.attacks import ATTACKS, MIB, MODULE, Attack, Place, make_secrets

_IN_OPEN = 0x20
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Says whether a file of a folder, or of a folder in it, was opened since."""

    def __init__(self, folder: Path) -> None:
        self._file = _LIBC.inotify_init1(os.O_NONBLOCK)
        for each in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            _LIBC.inotify_add_watch(self._file, os.fsencode(each), _IN_OPEN)

    def fired(self) -> bool:
        if not select.select([self._file], [], [], 0)[0]:
            return False
        return bool(os.read(self._file, 2**16))

    def close(self) -> None:
        os.close(self._file)


def _peak() -> int:
    """Return the most memory that was taken since the last reset, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _stock(place: Place) -> Any:
    return place.keras.models.load_model(str(place.model))


def _stock_objects(place: Place) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(str(place.model))


def _info(place: Place) -> None:
    with suppress(SystemExit):  # there is no twin
        commands.main(["info", str(place.model), "--json"], standalone_mode=False)


def _explain(place: Place) -> None:
    fastload.explain(place.model, keras=place.package)


FUNCTIONS: dict[str, Callable[[Place], Any]] = {
    "stock": _stock,
    "stock objects": _stock_objects,
    "load_model": lambda place: fastload.load_model(place.model, keras=place.package),
    "load_predictor": lambda place: fastload.load_predictor(place.model, keras=place.package),
    "load_saved_model": lambda place: fastload.load_saved_model(place.model),
    "explain": _explain,
    "warm": lambda place: fastload.warm(place.model, keras=place.package),
    "info": _info,  # last: of the twin that was made just before
}
#: What opens folders only.
OF_SAVED_MODELS = ("stock objects", "load_saved_model")


@contextmanager
def _own_state() -> Iterator[None]:
    """Undo what an attack does to the process, so that the next one meets a fresh one."""
    import keras
    import tf_keras

    before = set(sys.modules)
    try:
        yield
    finally:
        for package in (keras, tf_keras):
            library = sys.modules[f"{package.__name__}.src.saving.serialization_lib"]
            is_safe = library.in_safe_mode()
            assert is_safe is None, f"{package.__name__} is left with safe_mode={is_safe}"
        for name in set(sys.modules) - before:
            if name.startswith(MODULE):
                del sys.modules[name]


def run(attack: Attack, suffix: str, name: str, folder: Path) -> dict[str, Any]:
    """Open the attack with one function; say what was raised, and whether the canary fired."""
    place = Place(folder=folder, package=attack.package, suffix=suffix)
    place.canary.unlink(missing_ok=True)
    if name != "info":
        shutil.rmtree(os.environ["FASTLOAD_CACHE_DIR"], ignore_errors=True)
    watch, before, raised = Watch(place.secrets), _reset_peak(), None
    with _own_state():
        # Twice: the second is a hit, or a refusal that is remembered.
        for _ in range(1 if name.startswith("stock") else 2):
            try:
                FUNCTIONS[name](place)
                raised = None
            except Exception as error:
                raised = type(error).__name__
    fired = [
        *["ran"] * place.canary.exists(),
        *["read"] * watch.fired(),
        *["memory"] * (_peak() - before > 200 * MIB),
    ]
    watch.close()
    return {"raised": raised, "fired": fired}


def runs(root: Path, package: str) -> Iterator[dict[str, Any]]:
    for number, attack in enumerate(each for each in ATTACKS if each.package == package):
        for suffix in attack.suffixes:
            folder = root / f"{package}-{number}{suffix or '-folder'}"
            place = Place(folder=folder, package=package, suffix=suffix)
            make_secrets(place)
            attack.make(place)
            sys.path.insert(0, str(folder))
            results = {
                name: run(attack, suffix, name, folder)
                for name in FUNCTIONS
                if not suffix or name not in OF_SAVED_MODELS
            }
            sys.path.remove(str(folder))
            yield {"name": attack.name, "suffix": suffix, "results": results}


if __name__ == "__main__":
    gc.freeze()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what commands and loaders print is not for the reader
    json.dump(list(runs(Path(sys.argv[1]), sys.argv[2])), out)
    out.close()
