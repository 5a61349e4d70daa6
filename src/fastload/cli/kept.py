"""What is kept beside a twin, and where it is used: for `info`. Needs no numpy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastload.cache.entry import CacheEntry, CacheFile
from fastload.cache.listing import companion
from fastload.cli.output import counted
from fastload.errors import CacheError
from fastload.twin.format import FUNCTION_DESCRIPTION, FUNCTION_REFUSAL
from fastload.twin.index import read_document, read_index

#: What a file is, by the beginning of its kind. Others are listed as such.
_FUNCTION: Final = "function of predictors"
_OPTIMIZED: Final = "optimized function of predictors"
_TRACE: Final = "trace of predict"
_KINDS: Final = {
    "code": "code record",
    "calls": "list of output specs",
    "failures": "list of failed restores",
    "ports": "number of ports",
    "stock": "time of the stock loader",
    "refused": "refusal",
}


def kept_beside(entry: CacheEntry) -> list[dict[str, Any]]:
    """Return what JSON output has of each file beside a twin, in the cache and in layers."""
    return [_document(entry, name) for name in sorted(_names(entry))]


def kept_facts(kept: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield how many files of each kind there are, and where those are used that are not always."""
    counts = Counter((each["what"], _conditions(each["for"])) for each in kept)
    title = "Kept beside"
    for (what, conditions), count in sorted(counts.items()):
        yield title, counted(count, what) + (f", for {conditions} only" if conditions else "")
        title = ""


def _names(entry: CacheEntry) -> set[str]:
    folders = (entry.cache.root, *entry.cache.layers)
    found = {each.name for folder in folders for each in folder.glob(f"{entry.name}.*")}
    return {name for name in found if companion(name) not in {None, "used"}}


def _document(entry: CacheEntry, name: str) -> dict[str, Any]:
    path = CacheFile(cache=entry.cache, name=name).found
    kind = companion(name) or ""
    what, conditions = _function(path, kind) if kind.endswith(".flat") else (_what(kind), {})
    return {
        "file": path,
        "layer": entry.cache.layer_of(path),
        "what": what,
        "for": conditions,
        "size_bytes": path.stat().st_size if path.exists() else 0,
    }


def _what(kind: str) -> str:
    begins = (what for start, what in _KINDS.items() if kind.startswith(start))
    return next(begins, kind)


def _function(path: Path, kind: str) -> tuple[str, Mapping[str, str]]:
    """Return what a file with a function is, and which TensorFlow and processor it is for."""
    is_trace = kind.startswith("predict")
    try:
        index = read_index(path)
        if read_document(path, index, FUNCTION_REFUSAL) is not None:
            return "reason why there is no function", {}
        told = json.loads(read_document(path, index, FUNCTION_DESCRIPTION) or b"{}")
    except (CacheError, OSError, ValueError):
        return "damaged function", {}
    if is_trace:
        return _TRACE, told.get("for", {})
    return (_OPTIMIZED if told.get("is_optimized") else _FUNCTION), told.get("for", {})


def _conditions(told: Mapping[str, str]) -> str:
    return " and ".join(f"{what} {which}" for what, which in told.items())
