"""`python -m tests.published` opens published Keras 2 models where there is only Keras 3.

Each model has processes of its own. Files are run in tf-keras before, which has to lie in a folder
of its own (`--keras2`); SavedModels are compared with their serving function. The exit status is 1
where a model neither is right nor refused as described, or where fewer than nine of ten are right.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.published.findings import Finding
from tests.published.packages import PACKAGES, FetchError, Package, models, unpacked
from tests.published.page import Result, has_enough, markdown, problems, write_page

logger = logging.getLogger("published")

ROOT: Final = Path(__file__).resolve().parents[2]
#: The largest SavedModel takes one and a half minutes.
_TIMEOUT_S: Final = 900


def main(arguments: Sequence[str] | None = None) -> int:
    """Open what the command line asks for, print the figures, and write the page if asked."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asked = _parse(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in PACKAGES if each.name in asked.packages]
    try:
        results = [result for each in chosen for result in _results(each, asked)]
    except (FetchError, subprocess.SubprocessError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1
    logger.info("\n%s\n", markdown(results))
    if asked.page:
        write_page(results, asked.page)
    wrong = problems(results)
    if chosen == list(PACKAGES) and not has_enough(results):
        wrong.append("fewer than nine of ten models opened and are right")
    for problem in wrong:
        logger.error("%s", problem)
    return 1 if wrong else 0


def _results(package: Package, asked: argparse.Namespace) -> list[Result]:
    folder = unpacked(package, asked.work)
    top = folder / package.folder
    return [
        Result(
            package=package.requirement,
            model=path.relative_to(top).as_posix() if path != top else path.name,
            finding=_finding(package, path, asked),
        )
        for path in models(package, folder)
    ]


def _finding(package: Package, path: Path, asked: argparse.Namespace) -> Finding:
    """Return what became of the model in *path*; asked once, and kept in the work folder."""
    kept = asked.work / "findings" / f"{package.name}-{path.stem}.json"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        finding = _asked(package, path, asked)
        kept.write_text(json.dumps(finding.to_json()), encoding="utf-8")
    finding = Finding.from_json(json.loads(kept.read_text(encoding="utf-8")))
    logger.info("%s: %s: %s %s", package.name, path.name, finding.way.value, finding.reason)
    return finding


def _asked(package: Package, path: Path, asked: argparse.Namespace) -> Finding:
    made = _inputs(package, path, asked) if asked.train or path.is_file() else None
    inputs = () if made is None else (str(made),)
    environment = {"FASTLOAD_CACHE_DIR": str(asked.work / "cache")}
    told = _run(["tests.published.keras3", str(path), package.name, *inputs], environment)
    return Finding.from_json(json.loads(told.splitlines()[-1]))


def _inputs(package: Package, path: Path, asked: argparse.Namespace) -> Path | None:
    """Return the file with made-up inputs, and what Keras 2 makes of them.

    None for a SavedModel that Keras 2 itself does not open.
    """
    target: Path = asked.work / "inputs" / f"{package.name}-{path.stem}.npz"
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        folder = asked.work / "packages" / f"{package.name}-{package.version}"
        sources = [str(folder / source) for source in package.sources]
        environment = {"PYTHONPATH": str(asked.keras2), "TF_USE_LEGACY_KERAS": "1"}
        command = [str(path), str(target), *(["--train"] if asked.train else [])]
        try:
            _run(["tests.published.keras2", *command, *sources], environment)
        except subprocess.SubprocessError as error:
            if not path.is_dir():
                raise
            logger.info("%s: Keras 2 does not open it: %s", path.name, error)
            return None
    return target


def _run(arguments: Sequence[str], environment: dict[str, str]) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOAD")}
    path = [str(ROOT / "src"), str(ROOT), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=kept | environment | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise subprocess.SubprocessError(f"{arguments}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.published", description=__doc__)
    add = parser.add_argument
    names = [each.name for each in PACKAGES]
    add("--packages", nargs="+", choices=names, default=names, help="which packages (all)")
    add("--keras2", type=Path, required=True, help="the folder that tf-keras is installed in")
    add("--train", action="store_true", help="compare two steps of training as well")
    add("--work", type=Path, default=ROOT / "benchmarks" / ".work" / "keras2", help="what is kept")
    add("--page", type=Path, help="write the figures into this page (docs/migration.md)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
