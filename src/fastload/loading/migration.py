"""Keras 2 models in Keras 3: which calls get one, and the twin that it is kept in."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from fastload import registry
from fastload.cache.directory import CacheDir
from fastload.errors import BypassError, CacheError, MigrationError, MissingTensorFlowError
from fastload.loading.request import ModelCall
from fastload.loading.store import Identity, identify, migration_of, open_twin
from fastload.report import Outcome
from fastload.runtime.core.keras import KERAS3, Keras, is_known, keras_of
from fastload.source.detect import detect
from fastload.source.kinds import ModelSource, SourceKind
from fastload.twin.format import MIGRATION
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")
T = TypeVar("T")


def may_migrate(call: ModelCall, keras: Keras) -> bool:
    """Say whether *call* may be answered with a migrated model: it called fastload, not Keras."""
    return keras.generation == KERAS3 and not call.is_of_stock and not call.stock_only


def is_migrated(identity: Identity, *, compiled: bool = True) -> bool:
    """Say whether stock refuses a source: every SavedModel, and what it was seen to refuse.

    Args:
        identity: the source.
        compiled: whether the model is to be compiled. Some files stock opens uncompiled only.

    Raises:
        CacheError: the twin cannot be read.
    """
    if identity.source.kind is SourceKind.SAVED_MODEL:
        return True
    path = migration_of(identity).entry.path
    if compiled or not path.exists():
        return path.exists()
    return bool(_document(Twin.open(path))["refused_uncompiled"])


def is_file_of_keras2(source: ModelSource) -> bool:
    """Say whether Keras 2 wrote a file, by what the file says.

    Raises:
        BypassError: it is damaged or unsafe.
    """
    from fastload.keras2to3.keras2_files import keras_version

    return source.kind is not SourceKind.SAVED_MODEL and keras_version(source).startswith("2.")


def open_migrated(call: ModelCall, identity: Identity, keras: Keras) -> tuple[Twin, Outcome]:
    """Open the twin of a migrated model, migrating it first where there is none.

    Raises:
        MigrationError: Keras 3 has nothing that does the same.
        CacheError: the cache cannot be used.
        BypassError: the source is damaged or unsafe.
    """

    def write(path: Path) -> None:
        from fastload.keras2to3.migrate import Order, migrate

        order = Order(
            source=identity.source,
            fingerprint=identity.content,
            keras=keras,
            resolve=_resolving(call, keras),
            compiled=call.compile,
        )
        migrate(path, order)

    twin, outcome = open_twin(identity, call.settings, call.weights, write)
    if outcome is Outcome.MISS:
        _logger.info("%s is a Keras 3 model now: %s", call.filepath, _told(twin))
    return twin, outcome


def rescued(
    call: ModelCall, stock_error: Exception, load: Callable[[Identity, Keras], T]
) -> T | None:
    """Load the Keras 2 file that this Keras 3 refuses; None where that is no way.

    Args:
        call: the call of the stock loader.
        stock_error: what that raised. It gets a note where the file cannot be migrated.
        load: loads the migrated model.
    """
    try:
        keras = keras_of(call.keras)
        if not may_migrate(call, keras) or isinstance(stock_error, (MemoryError, MigrationError)):
            return None
        source = detect(call.filepath)
        if not is_file_of_keras2(source):
            return None
        return load(identify(CacheDir.locate(call.settings), source, keras.generation), keras)
    except (CacheError, BypassError, MissingTensorFlowError) as error:
        if isinstance(error, MigrationError) and hasattr(stock_error, "add_note"):
            stock_error.add_note(f"fastload: {error.explanation()}")
        return None


def with_own_names(call: ModelCall) -> ModelCall:
    """Return *call* with its custom objects under their own names too.

    The Keras 2 file has the names of the classes that were, the twin those of their ports.
    """
    given = dict(call.custom_objects or {})
    own = {item.__name__: item for item in given.values() if hasattr(item, "__name__")}
    return replace(call, custom_objects=own | given) if given else call


def unproved(twin: Twin) -> str | None:
    """Return why the outputs of a migrated model were not compared with the original's, or None."""
    reason = _document(twin)["proof"]["unproved"]
    return None if reason is None else f"migrated from Keras 2 and not proved: {reason}"


def _told(twin: Twin) -> str:
    proof = _document(twin)["proof"]
    if proof["unproved"] is not None:
        return f"not proved, because {proof['unproved']}"
    return f"its outputs differ by {proof['relative']:.2g} at most from {proof['against']}"


def _document(twin: Twin) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(twin.document(MIGRATION))
    return found


def _resolving(call: ModelCall, keras: Keras) -> Callable[[Iterable[str]], Mapping[str, Any]]:
    """Return a function that finds the custom objects for the names a configuration uses."""
    given = dict(call.custom_objects or {})

    def resolve(names: Iterable[str]) -> Mapping[str, Any]:
        found = registry.resolve(names, lambda name: name in given or is_known(keras, name))
        return found | given

    return resolve
