"""What a load would do, found out without TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fastload.cache.directory import CacheDir
from fastload.errors import BypassError, CacheError
from fastload.loading.migration import is_migrated
from fastload.loading.request import current_settings, require_enabled
from fastload.loading.store import Identity, identify, migration_of, require_section
from fastload.report import Outcome
from fastload.runtime.core.keras import KERAS3, KerasChoice, expected_generation
from fastload.runtime.restore_keras import require_opens
from fastload.settings import Settings
from fastload.source.detect import detect
from fastload.source.kinds import ModelSource
from fastload.twin.reader import Twin


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a load of a path would do now.

    Attributes:
        path: the path as given.
        outcome: `hit`, `miss` or `bypass`.
        reason: why, in a sentence.
        code: code of the error behind a bypass, or None.
        kind: what is on disk (`saved_model`, `keras_archive`, `keras_hdf5`), or None.
        twin: where its twin is or would be, or None.
    """

    path: str
    outcome: Outcome
    reason: str
    code: str | None = None
    kind: str | None = None
    twin: Path | None = None


def explain(path: str | os.PathLike[str], *, keras: KerasChoice = "auto") -> Explanation:
    """Say what `load_model(path)` would do, without TensorFlow and without converting anything.

    Args:
        path: what would be given to `load_model`.
        keras: as in `load_model`; `auto` is told by the installed version of TensorFlow and
            `TF_USE_LEGACY_KERAS`.

    Returns:
        The expected outcome. A `miss` may still turn into a bypass: what cannot be converted is
        found by trying, and remembered.

    Example:
        >>> import fastload
        >>> fastload.explain("nowhere").outcome.value
        'bypass'
    """
    kind = None
    try:
        settings = current_settings()
        require_enabled(settings)
        source = detect(path)
        kind = source.kind.value
        identity = _identify(source, settings, keras)
        exists = _has_twin(identity)
    except (CacheError, BypassError) as error:
        return Explanation(
            path=str(path),
            outcome=Outcome.BYPASS,
            reason=error.explanation(),
            code=error.code,
            kind=kind,
        )
    return Explanation(
        path=str(path),
        outcome=Outcome.HIT if exists else Outcome.MISS,
        reason="its twin is there" if exists else "it has no twin yet; the first load writes it",
        kind=kind,
        twin=identity.entry.path,
    )


def _has_twin(identity: Identity) -> bool:
    try:
        require_section(Twin.open(identity.entry.path), identity.section)
    except FileNotFoundError:
        return False
    return True


def _identify(source: ModelSource, settings: Settings, keras: KerasChoice) -> Identity:
    name = expected_generation(keras, os.environ)
    if name != KERAS3:
        require_opens(name, source)
    identity = identify(CacheDir.locate(settings), source, name)
    if name == KERAS3 and is_migrated(identity):
        return migration_of(identity)
    require_opens(name, source)
    return identity
