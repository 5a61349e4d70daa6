"""The table of fuzzing in docs/security.md: `python -m tests.fuzz.page FILE...`.

The files have what `python -m tests.fuzz` printed. Inputs that were not opened alike are opened
once more, alone, by fastload as it is now: a busy machine lets processes seem to hang.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.runs import fuzz, two_workers
from tests.fuzz.targets import TARGETS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- fuzzed -->", "<!-- end of fuzzed -->"
#: What is summed up under one heading.
_COLUMNS = {
    "inputs": ("inputs",),
    "crashes": ("crashes",),
    "hangs": ("hangs",),
    "differ": ("differs",),
    "stock's own": ("stock crashes", "stock hangs", "stock differs from itself"),
}
_AGAIN = ("crashes", "hangs", "differs")


def tally(lines: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return the counts of each target, with the minutes it ran."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        counts = {key: value for key, value in line.items() if isinstance(value, int)}
        found[line["target"]].update(counts)
    return found


def again(lines: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Open what was not opened alike once more; return what comes of it, by target."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for line in lines:
        seeds[line["target"]].update(line["found"])
    left = defaultdict(Counter[str])
    with tempfile.TemporaryDirectory() as folder:
        for target, numbers in seeds.items():
            for seed in sorted(numbers):
                with two_workers() as workers:
                    told = fuzz(TARGETS[target], 0, [seed], Path(folder), workers)
                left[target].update(told.counts)
    return left


def table(counts: dict[str, Counter[str]], left: dict[str, Counter[str]]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| target | minutes | {' | '.join(_COLUMNS)} | crashes, hangs, differ again |"
    yield "|---" + "|---:" * (2 + len(_COLUMNS)) + "|"
    for name in TARGETS:
        if name in counts:
            found = counts[name]
            cells = [f"{sum(found[each] for each in names):,}" for names in _COLUMNS.values()]
            remain = ", ".join(str(left[name][each]) for each in _AGAIN) if name in left else "-"
            minutes = round(found["seconds"] / 60)
            yield f"| `{name}` | {minutes} | {' | '.join(cells)} | {remain} |"


def main(*files: str) -> None:
    """Write the table."""
    lines = [json.loads(line) for file in files for line in Path(file).read_text().splitlines()]
    text = "\n".join(table(tally(lines), again(lines)))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
