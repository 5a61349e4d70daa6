"""What came of each attack, measured, and the table of it in docs/security.md.

`python -m tests.security.refusals` writes the table.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.security.attacks import ATTACKS, KERAS2, KERAS3

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- refusals -->", "<!-- end of refusals -->"
_DISTRIBUTIONS = {KERAS3: "keras", KERAS2: "tf-keras"}
_COLUMNS = ("stock", "load_model", "load_predictor", "stock objects", "load_saved_model", "warm")
_VERBS = {"ran": "**runs it**", "read": "**reads it**", "memory": "takes memory"}
_FORMATS = {"": "SavedModel"}

Record = dict[str, Any]


def measured(package: str, folder: Path) -> list[Record]:
    """Open every attack on *package* in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if "FASTLOAD" not in key}
    environment |= {
        "FASTLOAD_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "tests.security.attack_runs", str(folder), package]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Record] = json.loads(done.stdout)
    return found


def versions() -> str:
    """Return what the table was measured with."""
    names = [*_DISTRIBUTIONS.values()]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def tables(records: dict[str, list[Record]]) -> str:
    """Return the text between the marks of the page."""
    parts = [f"Measured with {versions()}."]
    for package, found in records.items():
        parts.append(f"\n### {_DISTRIBUTIONS[package]}\n")
        parts.extend(_table(package, found))
    return "\n".join(parts)


def _table(package: str, records: list[Record]) -> Iterator[str]:
    columns = [each for each in _COLUMNS if any(each in row["results"] for row in records)]
    yield f"| attack | known as | in | {' | '.join(columns)} | explain, info |"
    yield "|---" * (4 + len(columns)) + "|"
    for attack in ATTACKS:
        if attack.package == package:
            rows = [(each["suffix"], each) for each in records if each["name"] == attack.name]
            for suffixes, cells in _grouped(rows, columns):
                yield f"| {attack.name} | {attack.what} | {suffixes} | {' | '.join(cells)} |"


def _grouped(
    rows: Iterable[tuple[str, Record]], columns: list[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Put formats of which the same came into one row."""
    found: dict[tuple[str, ...], list[str]] = {}
    for suffix, row in rows:
        results = row["results"]
        quiet = not (results["explain"]["fired"] or results["info"]["fired"])
        cells = [_cell(results.get(name)) for name in columns]
        cells[-1] = cells[-1].replace("opens", "converts")
        cells.append("nothing" if quiet else "**act**")
        found.setdefault(tuple(cells), []).append(_FORMATS.get(suffix, f"`{suffix}`"))
    return ((", ".join(suffixes), cells) for cells, suffixes in found.items())


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "-"
    if result["fired"]:
        return ", ".join(_VERBS[each] for each in result["fired"])
    return "refuses" if result["raised"] else "opens"


def main() -> None:
    """Measure, and write the table into the page."""
    with tempfile.TemporaryDirectory() as folder:
        records = {each: measured(each, Path(folder, each)) for each in (KERAS3, KERAS2)}
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{tables(records)}\n{END}{after}")


if __name__ == "__main__":
    main()
