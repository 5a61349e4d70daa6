"""Which entries of the cache the user means: by name, by the beginning of a name, or by model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import MIGRATED, CacheEntry
from fastload.cache.listing import StoredTwin, all_entries, entries
from fastload.cache.memo import known_paths
from fastload.errors import BypassError, EntryNotFoundError
from fastload.settings import Settings

#: How many digits of a name are shown.
SHOWN_DIGITS: Final = 12
_PREFIX: Final = re.compile(r"[0-9a-f]{1,32}")
_GENERATIONS: Final = ("keras2", "keras3", MIGRATED)


def located_cache() -> CacheDir:
    """Return the cache that the environment asks for.

    Raises:
        CacheUnwritableError: none is set and this user has no home folder.
        ValueError: a variable cannot be understood.
    """
    return CacheDir.locate(Settings.from_env(os.environ))


def shown_root(cache: CacheDir) -> Path:
    """Return the folder that is written; the one that would be, where it cannot be used."""
    return cache.root if cache.fault is None else cache.fault[0]


def by_last_use(stored: Iterable[StoredTwin]) -> list[StoredTwin]:
    """Return *stored*, the most recently used first."""
    return sorted(stored, key=lambda twin: (-twin.last_used_s, twin.name))


def selected(cache: CacheDir, words: Sequence[str], *, in_layers: bool = False) -> list[StoredTwin]:
    """Return the entries that *words* mean, each once.

    Args:
        cache: the folder.
        words: paths of models, or names of entries or their beginnings. A word that exists as a
            path is a path.
        in_layers: whether an entry of a layer may be meant.

    Raises:
        EntryNotFoundError: a word means no entry, or could mean several.
        BypassError: a path does not hold a model.
    """
    listed = all_entries(cache) if in_layers else entries(cache)
    stored = {twin.name: twin for twin in listed}
    names = [name for word in words for name in _names(cache, stored, word)]
    return [stored[name] for name in dict.fromkeys(names)]


def _names(cache: CacheDir, stored: Mapping[str, StoredTwin], word: str) -> list[str]:
    """Return the names of the entries that *word* means: several if a model has several twins."""
    if os.path.lexists(word):
        found = _names_by_content(cache, word) if stored else []
    elif _PREFIX.fullmatch(word):
        found = [_only_one(word, [name for name in stored if name.startswith(word)])]
    else:
        found = _names_by_memory(cache, word)
    known = [name for name in found if name in stored]
    if not known:
        raise EntryNotFoundError(f"{word!r} has no twin in the cache folder '{shown_root(cache)}'")
    return known


def _only_one(prefix: str, names: Sequence[str]) -> str:
    match sorted(names):
        case []:
            raise EntryNotFoundError(f"no entry of the cache begins with {prefix!r}")
        case [name]:
            return name
        case several:
            shown = ", ".join(name[:SHOWN_DIGITS] for name in several[:3])
            raise EntryNotFoundError(
                f"{len(several)} entries of the cache begin with {prefix!r} ({shown}, ...): "
                "give more digits"
            )


def _names_by_content(cache: CacheDir, path: str) -> list[str]:
    """Return the entries that a model on disk would be loaded from, by any Keras."""
    # Imported here because it imports numpy, which most verbs do without.
    from fastload.loading.plan import identify
    from fastload.source.detect import detect

    source, names = detect(path), []
    for generation in _GENERATIONS:
        with suppress(BypassError):  # it is known that this Keras cannot have it
            names.append(identify(cache, source, generation).entry.name)
    return names


def _names_by_memory(cache: CacheDir, path: str) -> list[str]:
    """Return the entries of a model that is no longer at *path* but remembered."""
    from fastload.cache.entry import entry_name
    from fastload.twin.format import FORMAT_VERSION

    gone = Path(os.path.realpath(path))
    digests = [digest for digest, paths in known_paths(cache).items() if gone in paths]
    return [entry_name(digest, kind, FORMAT_VERSION) for digest in digests for kind in _GENERATIONS]


def entry_of(cache: CacheDir, twin: StoredTwin) -> CacheEntry:
    """Return the entry of *twin*."""
    return CacheEntry(cache=cache, name=twin.name)
