"""Bytes that came by before: a twin of them is kept only where it pays.

A model that is copied by pickling it is other bytes each time, and a twin of them would serve
nobody. So bytes that stock was called with get a twin when they come again; and only if to hash
them, which each load from the twin has to, takes a small part of what stock took
(docs/decisions/0035-twins-of-what-is-held.md has the figures).
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any, Final

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheFile
from fastload.errors import (
    BypassError,
    CacheError,
    FastloadError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedRequestError,
)
from fastload.loading.request import Request

#: Somewhat less than what a core with SHA instructions hashes.
HASHED_BYTES_PER_S: Final = 1e9
#: Below this, what a twin saves is not worth its file.
_LEAST_S: Final = 0.05
#: The part of stock's time that hashing may take.
_SHARE: Final = 0.25
#: A model that is copied twice within the second is the same bytes, which never come again.
_APART_S: Final = 10.0
#: The oldest go first.
_MOST: Final = 256
#: When the bytes came first, how long stock took the last time, and why they have no twin.
_COLUMNS: Final = 3


def pays(size_bytes: int, stock_seconds: float) -> bool:
    """Say whether a twin of so many bytes pays, where stock takes so long for them.

    Example:
        >>> pays(20_000_000, 0.5), pays(2_000_000_000, 1.5), pays(20_000, 0.02)
        (True, False, False)
    """
    hashing_s = size_bytes / HASHED_BYTES_PER_S
    return stock_seconds >= _LEAST_S and hashing_s <= _SHARE * stock_seconds


def require_worth(request: Request) -> None:
    """Check that a twin of what the caller holds pays, where the caller does not ask for one.

    Raises:
        UnsupportedRequestError: these bytes come for the first time, or it does not pay.
        BypassError: they were found unconvertible before.
    """
    held = request.held
    if held is None or held.content is None or request.stock is None:
        return
    match _read(_file(request)).get(held.key):
        case [float(first), float(seconds), None] if time.time() - first >= _APART_S:
            if pays(len(held.content), seconds):
                return
            raise UnsupportedRequestError("a twin of its bytes would save too little")
        case [float(), float(), [fastload.__version__, str(code), str(reason)]]:
            kinds = {kind.code: kind for kind in _REFUSED}
            raise kinds.get(code, BypassError)(reason)
    raise UnsupportedRequestError("its bytes are new: they get a twin when they come again")


#: What follows from the bytes themselves.
_REFUSED: Final = (UnconvertibleModelError, UnsafeSourceError)


def remember(request: Request, stock_seconds: float, reason: FastloadError) -> None:
    """Remember how long stock took for the bytes that the caller holds, and why it was called."""
    with suppress(CacheError, BypassError):  # it may be there no more
        _remember(request, stock_seconds, reason)


def _remember(request: Request, stock_seconds: float, reason: FastloadError) -> None:
    held = request.held
    if held is None or held.content is None or request.settings.disabled:
        return
    refused = isinstance(reason, _REFUSED)
    if stock_seconds < _LEAST_S and not refused:  # many copies of a small model: nothing is written
        return
    told = [fastload.__version__, reason.code, reason.explanation()] if refused else None
    file = _file(request)
    rows = _read(file)
    first, *_ = rows.pop(held.key, [time.time()])
    rows[held.key] = [first, stock_seconds, told]
    file.cache.ensure()
    file.keep(json.dumps(dict([*rows.items()][-_MOST:])).encode())


def _file(request: Request) -> CacheFile:
    cache = CacheDir.locate(request.settings)
    return CacheFile(cache=cache, name=f"{cache.memo_dir.name}/held")


def _read(file: CacheFile) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes()) if file.cache.trusted() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {key: row for key, row in rows if isinstance(row, list) and len(row) == _COLUMNS}
