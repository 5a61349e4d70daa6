"""The SavedModels of the zoo in Keras 3: proved, or refused for a reason that stands here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from zoo.catalogue import KERAS2, artefacts

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(3000)]

TESTS: Final = Path(__file__).resolve().parents[1]

#: What a refusal says, by model.
REFUSED: Final = {
    "adapted_normalisation": "differ from the original's",  # the zoo changed it after its tracing
    "layer_without_config": "PassedWithoutConfig",
    "missing_file": "",
    "text_to_tf_idf": "differ from the original's",  # the zoo changed it after its tracing
    "unseeded_augmentation": "its shape is",
}
#: Why one is not proved.
UNPROVED: Final = {
    "conv_lstm": "UnresolvedObjectError",  # a cell of Keras's own that has no public name
    "odd_weights": "empty weight",
    "string_lookup_from_file": "InitializeTableFromTextFileV2",  # it could name any file
    "zero_size_weight": "empty weight",
}


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each SavedModel of the zoo, by name."""
    folder = tmp_path_factory.mktemp("zoo")
    entries = [each for each in artefacts(KERAS2) if each.format == "tf"]
    request = {
        "generation": KERAS2,
        "names": [each.name for each in entries],
        "folder": str(folder),
    }
    request["downloads"] = str(folder / "downloads")
    lines = _run("zoo/build.py", request, folder, "built")
    paths = {line["name"]: line["path"] for line in lines if line["format"] == "tf"}
    jobs = [
        {"name": each.name, "path": paths[each.name], "custom": list(each.model.custom)}
        for each in entries
        if paths.get(each.name)
    ]
    done = _run("keras2to3/worker.py", {"jobs": jobs, "folder": str(folder)}, folder, "migrated")
    return {line["name"]: line for line in done}


def _run(script: str, request: dict[str, Any], folder: Path, name: str) -> list[dict[str, Any]]:
    results = folder / f"{name}.jsonl"
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**request, "results": str(results)}))
    source = str(TESTS.parent / "src")
    variables = {"PYTHONPATH": source, "FASTLOAD_CACHE_DIR": str(folder / "cache")}
    subprocess.run([sys.executable, TESTS / script, path], env=os.environ | variables, check=True)
    return [json.loads(line) for line in results.read_text().splitlines()]


@pytest.mark.parametrize("name", [a.name for a in artefacts(KERAS2) if a.format == "tf"])
def test_a_saved_model_is_proved_or_refused(name: str, found: dict[str, dict[str, Any]]) -> None:
    if name not in found:
        pytest.skip("it could not be made here")
    told = found[name]
    if name in REFUSED:
        assert REFUSED[name] in told["told"]
        return

    proof = told["record"]["proof"]
    assert (told["outcome"], told["is_keras_3"]) == ("hit", True)
    assert (proof["unproved"] or "").find(UNPROVED.get(name, "")) >= 0
    assert (proof["against"] is None) == (name in UNPROVED)
    assert proof["relative"] <= proof["tolerance"] or "16" in name
