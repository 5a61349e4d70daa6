"""The `signatures` of a model that came from a SavedModel, created on first access.

The stock loader leaves `model.signatures`, a mapping of concrete functions that share the model's
variables. Few users of a Keras model access it, and it is what costs most. The mapping that
fastload leaves is of the same class; it runs TensorFlow's loader over the twin's functions, the
first time it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastload import unfinished
from fastload.runtime.requirements import SIGNATURES
from fastload.twin.reader import Twin


def attach_signatures(root: Any, twin: Twin, path: str, variables: Mapping[int, Any]) -> None:
    """Set `root.signatures` to those of the SavedModel in *twin*, made when first used.

    Args:
        root: the model.
        twin: a twin with a function section.
        path: the SavedModel's folder, where its assets are.
        variables: the variables of the live model, by node id in the SavedModel's object graph.
    """
    signatures = SIGNATURES.part("signature_serialization")._SignatureMap()
    SIGNATURES.check(signatures, "_SignatureMap()")
    folder = str(Path(path).absolute())  # the program may change its folder before that
    root.signatures = signatures  # still empty: Keras looks into what it is given
    signatures._signatures = _SignaturesOnAccess(partial(_made, twin, folder, variables))


class _SignaturesOnAccess(Mapping[str, Any]):
    """A mapping that a function makes on first access."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make
        self._lock = unfinished.lock()
        self._made: Mapping[str, Any] | None = None

    def _all(self) -> Mapping[str, Any]:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(dict(self._all()))


def _made(twin: Twin, folder: str, variables: Mapping[int, Any]) -> Mapping[str, Any]:
    # Imported here: a load does without.
    from fastload.runtime.saved_model.late_signatures import load_signatures

    return load_signatures(twin, folder, variables)
