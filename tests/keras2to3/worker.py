"""Migrate models of the zoo in a process of Keras 3: `python worker.py REQUEST`.

REQUEST is a JSON file with `jobs` (`name`, `path`, `custom`, `safe`), `folder` and `results`; each
job leaves one JSON line there: the record of the migration, or the error.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.catalogue import Kit, kit


def run(request: dict[str, Any]) -> None:
    """Do every job of *request*."""
    folder = Path(request["folder"])
    tools = kit("keras3", folder, folder)
    with Path(request["results"]).open("a", encoding="utf-8") as results:
        for job in request["jobs"]:
            print(json.dumps({"name": job["name"], **do(job, tools)}), file=results, flush=True)


def do(job: dict[str, Any], tools: Kit) -> dict[str, Any]:
    """Load one model twice, and say what became of it."""
    fastload = importlib.import_module("fastload")
    tools.keras.backend.clear_session()
    objects = {name: getattr(tools.own, name) for name in job["custom"]}
    try:
        for _ in range(2):
            model = fastload.load_model(job["path"], objects or None, keras="keras")
    except Exception as error:
        return {"error": type(error).__name__, "told": str(error)}
    report = fastload.last_load()
    record = importlib.import_module("fastload.loading.plan").migration_record(
        importlib.import_module("fastload.twin.reader").Twin.open(report.twin)
    )
    return {
        "outcome": report.outcome.value,
        "is_keras_3": isinstance(model, tools.keras.Model),
        "record": record,
    }


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
