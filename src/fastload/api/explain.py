"""What a load would do, found out without TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fastload.cache.entry import CacheEntry
from fastload.cache.publish import cache_faults
from fastload.errors import BypassError, CacheError, TwinCorruptError
from fastload.loading.plan import Identity
from fastload.loading.plan_keras import identity_for_keras
from fastload.loading.request import Request, current_settings, require_served
from fastload.loading.store import require_section
from fastload.report import Outcome
from fastload.runtime.core.keras import KerasChoice, expected_generation
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
        The expected outcome. It may still turn into a bypass: a `miss` where the model cannot be
        converted, a `hit` where this Keras fails over the twin. Both are found by trying, and
        remembered.

    Example:
        >>> import fastload
        >>> fastload.explain("nowhere").outcome.value
        'bypass'
    """
    kind = None
    try:
        request = Request(filepath=path, keras=keras, settings=current_settings())
        require_served(request)
        source = request.source()
        kind = source.kind.value
        identity = identity_for_keras(request, source, expected_generation(keras, os.environ))
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
        reason=_reason(identity.entry, exists=exists),
        kind=kind,
        twin=identity.entry.twin.found if exists else identity.entry.path,
    )


def _reason(entry: CacheEntry, *, exists: bool) -> str:
    if exists and entry.cache.layer_of(entry.twin.found) is not None:
        return "its twin is there, in a read-only layer"
    return "its twin is there" if exists else "it has no twin yet; the first load writes it"


def _has_twin(identity: Identity) -> bool:
    twin = identity.entry.twin
    if not twin.is_there():
        return False
    with cache_faults(twin.cache.root):
        try:
            require_section(Twin.open(twin.found), identity.section)
        except TwinCorruptError as error:
            if twin.cache.layer_of(error.path) is None:
                raise
            return False  # it is converted instead
    return True
