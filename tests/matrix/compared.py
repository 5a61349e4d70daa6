"""Which versions were compared and found equal: `fastload doctor` and the README tell of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.matrix.environment import ROOT

#: What `doctor` reads.
COMPARED: Final = ROOT / "src" / "fastload" / "cli" / "compared.json"
_TOLD: Final = ("tensorflow", "keras", "tf-keras")

Versions = dict[str, str]


def note_compared(known: Path, records: Iterable[Path]) -> list[Versions]:
    """Add the environments of *records* in which nothing differed to the file *known*.

    Returns:
        All that are in it now, in order.
    """
    found = {_key(each): each for each in json.loads(known.read_text(encoding="utf-8"))}
    for path in records:
        record = json.loads(path.read_text(encoding="utf-8"))
        environment = {name: record["environment"].get(name, "") for name in _TOLD}
        found.pop(_key(environment), None)
        if not record["failed"]:
            found[_key(environment)] = environment
    kept = [found[key] for key in sorted(found)]
    known.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return kept


def _key(versions: Versions) -> tuple[tuple[int, ...], ...]:
    """Return the minor versions; patch releases replace one another."""
    return tuple(_minor(versions.get(name, "")) for name in _TOLD)


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2]) if version else ()


def in_words(compared: Sequence[Versions]) -> str:
    """Return the versions as a sentence.

    Example:
        >>> in_words([{"tensorflow": "2.8.4", "keras": "2.8.0"},
        ...           {"tensorflow": "2.21.0", "keras": "3.15.1", "tf-keras": "2.21.0"}])
        'Compared with stock, model by model: TensorFlow 2.8, 2.21, with the Keras 2 that it \
brings (2.8), tf-keras (2.21) and Keras 3 (3.15).'
    """
    of_keras = [each["keras"] for each in compared]
    parts = {
        "the Keras 2 that it brings": [each for each in of_keras if each.startswith("2.")],
        "tf-keras": [each.get("tf-keras", "") for each in compared],
        "Keras 3": [each for each in of_keras if not each.startswith("2.")],
    }
    told = [f"{name} ({_span(found)})" for name, found in parts.items() if any(found)]
    tensorflow = _span(each["tensorflow"] for each in compared)
    with_what = " and ".join(filter(None, [", ".join(told[:-1]), told[-1]]))
    return f"Compared with stock, model by model: TensorFlow {tensorflow}, with {with_what}."


def _span(versions: Iterable[str]) -> str:
    """Return minor versions as text; only those that follow one another are a range."""
    runs: list[list[tuple[int, ...]]] = []
    for each in sorted({_minor(version) for version in versions if version}):
        if runs and runs[-1][-1] == (each[0], each[1] - 1):
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(" to ".join(_texts(run)) for run in runs)


def _texts(run: Sequence[tuple[int, ...]]) -> list[str]:
    return [".".join(map(str, each)) for each in dict.fromkeys((run[0], run[-1]))]
