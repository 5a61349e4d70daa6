"""Compare SavedModels as TensorFlow and as fastload loads them: `python objects_worker.py REQUEST`.

REQUEST is a JSON file: `results`, `environment`, `only_stock`, `jobs`, each an `id` and a `path`.
Each job leaves one JSON line, so that a crash loses one job only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.saved_objects import portrait


def run(request: dict[str, Any]) -> None:
    """Do every job of *request*."""
    os.environ.update(request["environment"])
    tf = importlib.import_module("tensorflow")
    with Path(request["results"]).open("a", encoding="utf-8") as results:
        for job in request["jobs"]:
            told = {"id": job["id"], "stock": _stock(tf, job["path"])}
            if not request.get("only_stock"):
                told |= _ours(tf, job["path"])
            print(json.dumps(told), file=results, flush=True)


def _stock(tf: Any, path: str) -> dict[str, str]:
    return portrait(tf, lambda: tf.saved_model.load(path))


def _ours(tf: Any, path: str) -> dict[str, Any]:
    fastload = importlib.import_module("fastload")
    told: dict[str, Any] = {}
    for expected in ("miss", "hit"):
        told[expected] = portrait(tf, lambda: fastload.load_saved_model(path))
        report = fastload.last_load()
        told[f"{expected} report"] = [report.outcome.value, report.code, report.reason]
    return told


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
