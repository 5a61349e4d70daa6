"""`python -m tests.published.keras3 MODEL PACKAGE [INPUTS]` opens a Keras 2 model in Keras 3 alone.

It prints a `Finding` as a line of JSON. INPUTS is what `tests.published.keras2` wrote.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import fastload
from fastload.errors import MigrationError
from fastload.keras2to3.difference import Difference, difference
from fastload.source.detect import detect
from fastload.twin.format import MIGRATION
from fastload.twin.reader import Twin
from tests.published.calling import called
from tests.published.findings import Finding, Way
from tests.published.ports import PORTS
from tests.published.training import apart, losses

_NOTE = "fastload: "
_WAYS = ('keras="tf_keras"', "fastload.load_predictor")


def main(path: str, package: str, inputs: str = "") -> None:
    """Open the model, compare it, and print the finding."""
    tf.get_logger().setLevel(logging.ERROR)
    if importlib.util.find_spec("tf_keras") is not None:
        raise SystemExit("tf_keras is here, so this says nothing of Keras 3 alone")
    finding = found(Path(path), PORTS.get(package, {}), Path(inputs) if inputs else None)
    sys.stdout.write(f"{json.dumps(finding.to_json())}\n")


def found(path: Path, ports: Mapping[str, Any], inputs: Path | None) -> Finding:
    """Open *path* without ports, or with them, and say how near it is to what Keras 2 makes."""
    model, refusal = _opened(path, {})
    needs_ports = model is None and bool(ports)
    if needs_ports:
        model, refusal = _opened(path, ports)
    known = {"kind": detect(path).kind.value, "ports": needs_ports}
    if model is None:
        return Finding(
            **known,
            way=Way.REFUSED,
            reason=refusal,
            names_both_ways=all(way in refusal for way in _WAYS),
            has_predictor=_has_predictor(path),
        )
    report = fastload.last_load()
    migration = _migration(report)
    known |= {"way": Way.STOCK if migration is None else Way.MIGRATED, "seconds": report.seconds}
    # What is compared is the model of a hit: it came out of the twin.
    model = _opened(path, ports if needs_ports else {})[0]
    if inputs is not None:
        known["training"] = _training(model, inputs)
    if inputs is None or path.is_dir():
        return Finding(**known, **_proof(migration))
    return Finding(**known, **_compared(_opened(path, ports if needs_ports else {})[0], inputs))


def _training(model: Any, inputs: Path) -> float | None:
    """Return how far losses are apart from those of Keras 2; None if it has none."""
    with np.load(inputs) as saved:
        values = [saved[f"input_{place}"] for place in range(_count(saved, "input"))]
        expected = [float(each) for each in saved["losses"]]
    return apart(losses(keras, model, values), expected) if expected else None


def _opened(path: Path, ports: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the model, or None and what fastload says of it."""
    try:
        return fastload.load_model(path, custom_objects=dict(ports)), ""
    except MigrationError as error:
        return None, str(error)
    except Exception as error:
        notes = [each for each in getattr(error, "__notes__", []) if each.startswith(_NOTE)]
        return None, notes[0].removeprefix(_NOTE) if notes else str(error)


def _migration(report: Any) -> dict[str, Any] | None:
    twin = None if report.twin is None else Twin.open(report.twin)
    if twin is None or MIGRATION not in twin.manifest.documents:
        return None
    document: dict[str, Any] = json.loads(twin.document(MIGRATION))
    return document


def _proof(migration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the migration found when it compared the model with the original."""
    proof = {} if migration is None else migration["proof"]
    if proof.get("against") is None:
        return {"reason": proof.get("unproved") or "nothing to compare it with"}
    excess = proof["relative"] / proof["tolerance"]
    return {**{name: proof[name] for name in ("against", "outputs", "relative")}, "excess": excess}


def _compared(model: Any, inputs: Path) -> dict[str, Any]:
    with np.load(inputs) as saved:
        values = [saved[f"input_{place}"] for place in range(_count(saved, "input"))]
        expected = [saved[f"output_{place}"] for place in range(_count(saved, "output"))]
    apart = Difference()
    for left, right in zip(expected, called(model, values), strict=True):
        apart |= difference(left, right)
    return {
        "against": "tf-keras",
        "outputs": len(expected),
        "relative": apart.relative,
        "excess": apart.excess,
    }


def _count(names: Any, kind: str) -> int:
    return sum(name.startswith(kind) for name in names)


def _has_predictor(path: Path) -> bool:
    try:
        fastload.load_predictor(path)
    except Exception:
        return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
