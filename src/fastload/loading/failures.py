"""What a restore could not do, remembered beside the twin, so that it is tried once.

The same versions, arguments and custom classes would fail again. What fails in stock as well, such
as a fault of the program's own, is not remembered, nor is anything that a passing fault had a part
in. `fastload warm` forgets all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import fastload
from fastload.cache.entry import CacheEntry, CacheFile
from fastload.errors import CacheError, RestoreError
from fastload.loading.opening import FAILURES, Opened
from fastload.loading.plan import Plan
from fastload.loading.request import WeightsRequest
from fastload.runtime.core.eager import scope_name
from fastload.runtime.requirements import EAGER

_logger: Final = logging.getLogger("fastload")
#: The oldest go first.
MOST: Final = 16


def raise_known(opened: Opened) -> None:
    """Raise what an earlier load like this one raised; a request that stock cannot answer tries.

    Raises:
        RestoreError: what was raised then.
    """
    reason = _read(_file(opened.plan)).get(_key(opened) or "")
    if reason is not None and not opened.plan.request.must_be_served:
        raise RestoreError(opened.twin.path, str(reason), is_known=True)


def reasons(entry: CacheEntry) -> tuple[str, ...]:
    """Return what is remembered of loads from *entry*, oldest first, but not of which."""
    return tuple(map(str, _read(entry.side(FAILURES)).values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A restore that failed.

    Attributes:
        file: where it may be noted.
        key: what stands for all that the restore depended on.
    """

    file: CacheFile
    key: str

    @classmethod
    def of(cls, opened: Opened) -> Failure | None:
        """Return what stands for a load like this one; None if what it depends on is unknown."""
        key = _key(opened)
        return None if key is None else cls(file=_file(opened.plan), key=key)

    def remember(self, reason: str) -> None:
        """Have later loads like it go to stock at once, which has loaded the model."""
        kept = list(_read(self.file).items())[1 - MOST :]
        with suppress(CacheError):
            self.file.keep(json.dumps(dict([*kept, (self.key, reason)])).encode())


def forget(plan: Plan) -> None:
    """Have the next load try again, whatever failed before."""
    file = _file(plan)
    file.discard()
    with suppress(CacheError):
        if file.is_there():  # in a layer: an empty one is found before it
            file.keep(b"{}")


def _file(plan: Plan) -> CacheFile:
    return plan.identity.entry.side(FAILURES)


def _read(file: CacheFile) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(opened: Opened) -> str | None:
    """Return what stands for all that a restore depends on besides the twin; None if unknown.

    Whether weights fit depends on a model that the program has made.
    """
    request = opened.plan.request
    if isinstance(request, WeightsRequest):
        return None
    asked = (type(request).__name__, request.compile, request.safe_mode, request.weights)
    try:
        facts = (fastload.__version__, sys.version, *asked, *_rest(opened))
    except Exception:  # describing custom classes runs code of the program
        _logger.debug("%s: what fails is not remembered", opened.twin.path, exc_info=True)
        return None
    return hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()[:32]


def _rest(opened: Opened) -> Iterator[object]:
    """Yield the other arguments, versions, Keras's settings, and what stands for custom code."""
    plan = opened.plan
    yield from (plan.request.device, getattr(plan.request, "tags", None))
    yield plan.request.allows_partial
    yield getattr(plan.request, "signature", None)
    yield scope_name()
    modules = (sys.modules.get(name) for name in ("numpy", "h5py", "jax", "torch"))
    yield from (getattr(each, "__version__", "") for each in modules)
    yield getattr(EAGER.loaded("versions"), "__version__", "")
    # Imported here: only what failed before needs it, or fails now.
    from fastload.runtime.core.custom_code import number_of
    from fastload.runtime.core.keras import Keras, tracing_choices
    from fastload.runtime.core.restore_request import program_objects

    if isinstance(plan.keras, Keras):
        yield from (plan.keras.backend, *tracing_choices(plan.keras))
        yield number_of(program_objects(opened.twin, plan.keras, plan.custom_objects))
    elif plan.keras is not None:
        yield from plan.keras.choices
