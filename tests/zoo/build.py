"""Build artefacts of the zoo in a process of their own: `python build.py REQUEST`.

REQUEST is a JSON file with `generation`, `names`, `folder`, `downloads`, `results`; each artefact
leaves one JSON line there.
"""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo import published
from zoo.catalogue import SUFFIXES, Kit, ZooModel, catalogue, kit


def build_all(request: dict[str, Any]) -> None:
    """Build every model that *request* names and note where each format went, or why not."""
    folder = Path(request["folder"])
    tools = kit(request["generation"], folder, Path(request["downloads"]))
    with Path(request["results"]).open("a", encoding="utf-8") as results:
        for name in request["names"]:
            for line in build_one(tools, catalogue()[name], request["generation"], folder / name):
                print(json.dumps(line), file=results, flush=True)


def build_one(tools: Kit, entry: ZooModel, generation: str, folder: Path) -> list[dict[str, Any]]:
    """Make one model and save it in each of its formats; return a line for each."""
    formats = entry.formats[generation]
    folder.mkdir(parents=True, exist_ok=True)
    tools.keras.backend.clear_session()
    tools.keras.utils.set_random_seed(1)
    try:
        made = entry.build(replace(tools, folder=folder))
        if not entry.is_files:
            give_seeded_weights(made)
    except published.UnavailableError as error:
        return [_line(entry, name, error=str(error)) for name in formats]
    except Exception as error:
        return [_line(entry, name, error=f"cannot be built: {error!r}") for name in formats]
    if entry.is_files:
        return [_line(entry, name, path=made) for name in formats]
    return [_save(entry, made, name, folder) for name in formats]


def give_seeded_weights(model: Any) -> None:
    """Fill every floating weight with numbers of its own, so that no two can be mixed up unseen."""
    random = np.random.default_rng(17)
    for weight in model.weights if model.built else ():
        # Tables of words count as weights in Keras 2, but cannot be assigned.
        is_table = not hasattr(weight, "assign")
        if is_table or "float" not in str(weight.dtype) or "seed_generator" in weight.name:
            continue
        values = random.normal(scale=0.5, size=np.asarray(weight).shape)
        # Variances and their like have to stay positive.
        weight.assign(abs(values) + 0.5 if "variance" in weight.name else values)


def _save(entry: ZooModel, model: Any, format_name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"model{SUFFIXES[format_name]}"
    try:
        if format_name == "tf":
            traced = "untraced" not in entry.tags
            model.save(str(path), save_format="tf", save_traces=traced)
        else:
            model.save(str(path))
    except Exception as error:
        return _line(entry, format_name, error=f"stock cannot save it: {error!r}")
    if format_name == "keras" and not zipfile.is_zipfile(path):  # up to Keras 2.12
        return _line(entry, format_name, error="this Keras writes HDF5 under this name")
    return _line(entry, format_name, path=path)


def _line(
    entry: ZooModel, format_name: str, path: Path | None = None, error: str | None = None
) -> dict[str, Any]:
    saved = None if path is None else str(path)
    return {"name": entry.name, "format": format_name, "path": saved, "error": error}


if __name__ == "__main__":
    build_all(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
