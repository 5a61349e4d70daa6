"""Compare fastload with stock on the versions that people have: `nox -s matrix`.

    nox -s matrix                                   # every cell, nightlies too; docs/versions.md
    nox -s matrix -- --newest                       # the same without writing the page
    nox -s matrix -- --cells '2.16*' --rounds 0     # some cells, without how much faster they are
    nox -s matrix -- --cells '2.17*' --whole        # some cells, with all tests that have no mark
    nox -s matrix -- --sample COMMIT                # the cells that CI takes for a commit

Each cell is an environment: it is made, the smoke models of the zoo are compared in it, in every
format that its stock writes, and it is deleted. Packages are downloaded once, by uv.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from benchmarks.page import Markers
from tests.contract.served import write
from tests.matrix.cells import CELLS, NEWEST, Cell, sample
from tests.matrix.compared import COMPARED, in_words, note_compared
from tests.matrix.environment import ROOT, Environment

MARKERS: Final = Markers("matrix", "tests.matrix")
README: Final = ROOT / "README.md"
README_MARKERS: Final = Markers("compared", "tests.matrix")
#: How many cells CI takes for a commit.
SAMPLED: Final = 2


def look_at(cell: Cell, folder: Path, rounds: int, *, whole: bool) -> bool:
    """Make the environment of *cell*, compare, record in *folder*; say whether all is well."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as made:
        environment = Environment(folder=Path(made), cell=cell)
        environment.make()
        is_well = environment.compare(in_full=rounds > 0, whole=whole)
        if rounds:
            environment.measure(rounds)
        if environment.record.exists():
            _record(cell, folder).write_bytes(environment.record.read_bytes())
    return is_well


def _record(cell: Cell, folder: Path) -> Path:
    return folder / f"{cell.name}.json"


def chosen(asked: argparse.Namespace) -> tuple[Cell, ...]:
    """Return the cells that the command line asks for."""
    if asked.sample:
        return sample(asked.sample, SAMPLED)
    cells = (*CELLS, *NEWEST) if asked.newest else CELLS
    return tuple(each for each in cells if fnmatch(each.name, asked.cells))


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--cells", default="*", help="a pattern of names (all)")
    parser.add_argument("--newest", action="store_true", help="pre-releases and nightlies besides")
    parser.add_argument("--sample", help="a commit, by which a few cells are drawn")
    parser.add_argument(
        "--rounds", type=int, default=2, help="loads to time, of each kind; 0 for quick"
    )
    parser.add_argument("--whole", action="store_true", help="all tests without a mark besides")
    parser.add_argument("--page", type=Path, help="a page with markers, such as docs/versions.md")
    parser.add_argument("--records", type=Path, help="a folder to keep what was found in")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Look at the cells that were asked for."""
    asked = parsed(arguments)
    cells = chosen(asked)
    with tempfile.TemporaryDirectory(prefix="matrix-records-") as own:
        folder = asked.records or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        failed = [cell.name for cell in cells if not _told(cell, folder, asked)]
        if asked.page is not None:
            records = [path for cell in cells if (path := _record(cell, folder)).exists()]
            write(asked.page, MARKERS, records)
            compared = note_compared(COMPARED, records)
            README_MARKERS.write(README, in_words(compared))
    if failed:
        sys.exit(f"different from stock, or unavailable: {', '.join(failed)}")


def _told(cell: Cell, folder: Path, asked: argparse.Namespace) -> bool:
    sys.stdout.write(f"\n--- {cell.name}\n")
    sys.stdout.flush()
    try:
        return look_at(cell, folder, asked.rounds, whole=asked.whole)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{cell.name}: {error}\n")
        return False


if __name__ == "__main__":
    main()
