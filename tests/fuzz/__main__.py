"""Fuzz: `python -m tests.fuzz [--seconds 1200] [--seed 1] [--found FOLDER] [TARGET ...]`.

Every input is made of a model and a number. Two processes open it, one with the stock loader, one
with fastload, and have to say the same of it. What differs is kept in the folder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

from tests.fuzz.runs import fuzz, two_workers
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run each target for its time; return 1 if an input was not opened alike."""
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    parser.add_argument("--seconds", type=float, default=1200, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="open the input of one seed alone")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"))
    given = parser.parse_args()
    differ = False
    for name in given.targets or TARGETS:
        seeds = itertools.count(given.seed) if given.only is None else [given.only]
        with two_workers() as workers:
            tally = fuzz(TARGETS[name], given.seconds, seeds, given.found, workers)
        sys.stdout.write(json.dumps(tally.line()) + "\n")
        sys.stdout.flush()
        differ |= bool(tally.found)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
