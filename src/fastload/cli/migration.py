"""What `info` says of a Keras 2 model that is a Keras 3 model in its twin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fastload.twin.format import MIGRATION

_SOURCES: Final = {
    "saved_model": "a Keras 2 SavedModel",
    "keras_hdf5": "a Keras 2 HDF5 file",
    "keras_archive": "a Keras 2 .keras archive",
}


def migration_document(read: Callable[[str], bytes | None]) -> dict[str, Any] | None:
    """Return the record of a migration, or None where there was none.

    Args:
        read: returns a document of the twin, or None where it has none of that name.
    """
    content = read(MIGRATION)
    found: dict[str, Any] | None = None if content is None else json.loads(content)
    return found


def migration_facts(found: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what was migrated, by which rules, and how near the outputs are."""
    if found is None:
        return
    yield "Migrated from", _SOURCES.get(found["from"], found["from"])
    rules = (f"{name} ({count})" for name, count in found["rules"].items())
    yield "Rules", ", ".join(rules) or "none"
    yield "Proof", _proof(found["proof"])
    for what, why in found["left_out"].items():
        yield "Left out", f"{what}: {why}"


def _proof(proof: Mapping[str, Any]) -> str:
    if proof["unproved"] is not None:
        return f"none: {proof['unproved']}"
    return (
        f"outputs of {proof['against']} differ by {proof['absolute']:.2g} at most, "
        f"{proof['relative']:.2g} of the largest ({proof['tolerance']:.0e} is allowed)"
    )
