"""`doctor --internals`: which private names that fastload leans on are found here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from fastload.cli.output import say

_STATE_WIDTH: Final = 20


def report_internals(*, as_json: bool) -> bool:
    """Print each private name as found or missing, and say whether none is missing."""
    found = _rows()
    missing = [each for each in found if each["state"] == "missing"]
    say({"internals": found}, _text(found, len(missing)), as_json=as_json)
    return not missing


def _rows() -> Sequence[Mapping[str, Any]]:
    from fastload.runtime.internals import examine, rows

    return [
        {
            "feature": row.feature.what,
            "module": row.module,
            "name": row.name.path,
            "parameters": row.name.parameters,
            "versions": row.versions,
            "is_needed": row.name.is_needed,
            "state": examine(row).value,
        }
        for row in rows()
    ]


def _text(found: Sequence[Mapping[str, Any]], missing: int) -> Iterator[str]:
    for feature, rows in groupby(found, itemgetter("feature")):
        yield f"\n{feature}"
        for row in rows:
            yield f"  {row['state']:<{_STATE_WIDTH}}{_described(row)}"
    yield f"\n{missing} of {len(found)} names are missing that should be here"


def _described(row: Mapping[str, Any]) -> str:
    name = f"{row['module']}.{row['name']}".rstrip(".")
    parameters = f"[{', '.join(row['parameters'])}]" if row["parameters"] else ""
    needed = "" if row["is_needed"] else "(can do without)"
    return "  ".join(filter(None, (f"{name}{parameters}", row["versions"], needed)))
