"""Which of Keras's own loaders reads which kind of source, in either Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastload.cache.entry import KERAS2
from fastload.errors import UnsupportedSourceError
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.source.kinds import ModelSource, SourceKind
from fastload.twin.reader import Twin

#: Stock loaders look at suffixes: what they would not open, fastload does not open either.
_SUFFIXES: Final[dict[tuple[str, SourceKind], frozenset[str] | None]] = {
    ("keras2", SourceKind.SAVED_MODEL): None,
    ("keras2", SourceKind.KERAS_HDF5): None,
    ("keras2", SourceKind.KERAS_ARCHIVE): frozenset({".keras"}),
    ("keras3", SourceKind.KERAS_HDF5): frozenset({".h5", ".hdf5"}),
    ("keras3", SourceKind.KERAS_ARCHIVE): frozenset({".keras"}),
}


def opens(chosen_name: str, source: ModelSource) -> bool:
    """Say whether the stock loader of this Keras opens such a source at all."""
    try:
        require_opens(chosen_name, source)
    except UnsupportedSourceError:
        return False
    return True


def require_opens(chosen_name: str, source: ModelSource) -> None:
    """Check that the stock loader of this Keras opens such a source at all.

    Raises:
        UnsupportedSourceError: it would not; the stock loader then says so itself.
    """
    if (chosen_name, source.kind) not in _SUFFIXES:
        raise UnsupportedSourceError("Keras 3 opens no SavedModel (use keras='tf_keras')")
    suffixes = _SUFFIXES[chosen_name, source.kind]
    if suffixes is not None and source.suffix not in suffixes:
        raise UnsupportedSourceError(
            f"{chosen_name} does not open a {source.kind.value} named '*{source.suffix}'"
        )


def new_tape(keras: Keras, recorded: Mapping[str, Any]) -> Any:
    """Return a tape of output specs for *keras* that knows *recorded*; None if it needs none."""
    # Imported here, as below: what makes no model does without.
    from fastload.runtime.keras2.output_specs import Tape

    return Tape(recorded) if keras.generation == KERAS2 else None


def run_loader(
    kind: SourceKind, keras: Keras, twin: Twin, request: RestoreRequest, tape: Any
) -> Any:
    """Run the stock loader for sources of *kind* over *twin* and return its model."""
    from fastload.runtime.core.rebuild import Rebuild, rebuilding

    if keras.generation == KERAS2:
        from fastload.runtime.keras2 import layers as keras2
        from fastload.runtime.keras2 import loaders as keras2_loader

        parts = keras2.keras2(keras.package)
        loaders: dict[SourceKind, Callable[[], Any]] = {
            SourceKind.SAVED_MODEL: lambda: keras2_loader.restore_saved_model(parts, twin, request),
            SourceKind.KERAS_HDF5: lambda: keras2_loader.restore_hdf5(parts, twin, request),
            SourceKind.KERAS_ARCHIVE: lambda: keras2_loader.restore_archive(parts, twin, request),
        }
        taps = keras2_loader.taps(parts)
    else:
        from fastload.runtime.keras3 import loaders3 as keras3

        parts3 = keras3.keras3()
        loaders = {
            SourceKind.KERAS_HDF5: lambda: keras3.restore_hdf5(parts3, twin, request),
            SourceKind.KERAS_ARCHIVE: lambda: keras3.restore_archive(parts3, twin, request),
        }
        taps = keras3.taps(parts3)
    with rebuilding(Rebuild(tape=tape), taps):
        return loaders[kind]()
