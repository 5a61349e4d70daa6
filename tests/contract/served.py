"""What is served: a record of a run of the zoo, and a page of the records of several versions.

FASTLOAD_CONTRACT_RECORD=tf28.json nox -s contract-2.8
python -m tests.contract.served docs/versions.md tf28.json tf212.json ...

Records of one environment and one Keras are of parts of the zoo (`-k`), and one row. A row of the
page stays where no record is of it.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.page import Markers
from tests.installed import version_of

MARKERS: Final = Markers("versions", "tests.contract.served")
SERVED: Final = "served"
#: The stock loader raises here, and fastload with it.
REFUSED: Final = "stock refuses"
_FUNCTIONS: Final = ("load_model", "load_saved_model", "load_predictor")
#: Of a path in a reason: they are of the run.
_FOLDERS: Final = re.compile(r"'/[^']*/")
_FORMATS: Final = {"tf": "SavedModel", "h5": "HDF5", "keras": "`.keras`"}
#: What computes, by its package.
_BACKENDS: Final = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
_KINDS: Final = tuple(
    (function, form)
    for function in _FUNCTIONS
    for form in _FORMATS
    if function != "load_saved_model" or form == "tf"
)
_HEADINGS: Final = (
    "environment",
    "with",
    *(f"`{function}`, {_FORMATS[form]}" for function, form in _KINDS),
    "models that differ",
    f"times faster: {', '.join(_FORMATS.values())}",
)
_GOES: Final = " goes to the stock loader for these reasons:"
#: The state in which a load tells most: the twin is there, and the process is new.
_STATE: Final = "load in another process"


def record(findings: Any, artefacts: Iterable[Any], failed: Iterable[str]) -> dict[str, Any]:
    """Return what a run of the zoo found, to be written as JSON.

    Args:
        findings: of the run.
        artefacts: what it was about.
        failed: ids of those of which a test failed.
    """
    loads = [
        {"model": each.id, "format": each.format, "function": function, "ended": ended}
        for each in artefacts
        if each.id not in findings.unsaved
        for function, ended in _ends(findings, each).items()
    ]
    return {"environment": _environment(), "failed": sorted(failed), "loads": loads}


def _environment() -> dict[str, str]:
    others = ("jax", "torch", "keras", "tf-keras", "numpy")
    found = {name: number for name in others if (number := version_of(name))}
    return {"tensorflow": version_of("tensorflow"), **found, "Python": platform.python_version()}


def _ends(findings: Any, artefact: Any) -> dict[str, str]:
    ends = {}
    ours = findings.ours.get((artefact.id, _STATE))
    if ours is not None:
        report = ours.get("report") or {}
        is_refused = ours["told"].get("load") is not None
        told = [report.get("outcome"), report.get("code"), report.get("reason")]
        ends["load_model"] = REFUSED if is_refused else _end(told)
    others = {"load_saved_model": findings.objects, "load_predictor": findings.predictors}
    for function, found in others.items():
        told = found.get(artefact.id, {})
        is_refused = bool({"error", "load"} & told.get("stock", {}).keys())
        if "hit report" in told and not is_refused:
            ends[function] = _end(told["hit report"])
        elif told:
            ends[function] = REFUSED
    return ends


def _end(told: Sequence[str | None]) -> str:
    outcome, code, reason = told
    return SERVED if outcome == "hit" else f"{code or outcome}: {reason}"


def joined(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one record for each environment and Keras, of all that there are of it.

    The zoo may be run in parts. What a later part tells of a model is what counts.
    """
    whole: dict[tuple[str, str], dict[str, Any]] = {}
    for part in (of_one for each in records for of_one in _by_generation(each)):
        name = json.dumps(part["environment"], sort_keys=True)
        nothing = {**part, "failed": [], "loads": []}
        found = whole.setdefault((name, part["generation"]), nothing)
        told_again = {load["model"] for load in part["loads"]}
        failing = [model for model in found["failed"] if model not in told_again]
        kept = [load for load in found["loads"] if load["model"] not in told_again]
        found["loads"] = [*kept, *part["loads"]]
        found["failed"] = [*failing, *part["failed"]]
    return list(whole.values())


def _by_generation(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is told of each Keras; the ids of models begin with it."""
    for generation in sorted({_generation(load["model"]) for load in found["loads"]}):
        loads = [load for load in found["loads"] if _generation(load["model"]) == generation]
        failed = [model for model in found["failed"] if _generation(model) == generation]
        told = {"generation": generation, "failed": failed, "loads": loads}
        times = found.get("times", {}).get(generation)
        yield {**found, **told, **({"times": times} if times else {})}


def _generation(model: str) -> str:
    return model.partition("-")[0]


def markdown(records: Sequence[Mapping[str, Any]], before: str = "") -> str:
    """Return a table of *records*, a row each: how much is served; and why the rest is not.

    Args:
        records: one for each environment and Keras, from `joined`.
        before: what this returned, of which the environments, and the formats of an environment,
            that *records* do not tell of are kept.
    """
    environments = _environments(before)
    for each in records:
        told = _Environment(_cells(each), _reasons(each))
        environments[_heads(each)] = told.beside(environments.get(_heads(each)))
    reasons = (each.reasons for each in environments.values())
    return "\n\n".join([_table(environments), *filter(None, reasons)])


@dataclass(frozen=True, slots=True)
class _Environment:
    """What is told of one environment.

    Attributes:
        cells: of its row, after the two that name it.
        reasons: a block of text, or nothing.
    """

    cells: Sequence[str]
    reasons: str

    def beside(self, before: _Environment | None) -> _Environment:
        """Return the same with what *before* told of the formats that nothing is told of now."""
        if before is None:
            return self
        cells = [new or old for new, old in zip(self.cells, before.cells, strict=True)]
        return _Environment(cells, self.reasons)


def _environments(text: str) -> dict[tuple[str, str], _Environment]:
    """Return what *text* tells, by the two cells that name it, as `markdown` wrote it."""
    table, _, below = text.partition("\n\n")
    rows = [line[2:-2].split(" | ") for line in table.splitlines()[2:]]
    told = {block.partition(_GOES)[0]: block for block in _blocks(below)}
    return {
        (title, beside): _Environment(cells, told.get(_named(title, beside), ""))
        for title, beside, *cells in rows
    }


def _blocks(text: str) -> list[str]:
    """Return the blocks of reasons; each is a line, and a list below it."""
    parts = text.split("\n\n")
    return ["\n\n".join(pair) for pair in zip(parts[::2], parts[1::2], strict=False)]


def _table(environments: Mapping[tuple[str, str], _Environment]) -> str:
    rows = [(*heads, *each.cells) for heads, each in environments.items()]
    lines = (_HEADINGS, ("---",) * len(_HEADINGS), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(found: Mapping[str, Any]) -> list[str]:
    served = [_cell(found, function, form) for function, form in _KINDS]
    times = [f"{found.get('times', {}).get(form, 0) or '-'}" for form in _FORMATS]
    return [*served, str(len(found["failed"])), ", ".join(times) if found.get("times") else ""]


def _heads(found: Mapping[str, Any]) -> tuple[str, str]:
    """Return the two cells that name an environment: its TensorFlow, and what is beside it."""
    rest = [item for item in found["environment"].items() if item[0] not in _BACKENDS]
    return _title(found), ", ".join(f"{name} {number}" for name, number in rest)


def _named(title: str, beside: str) -> str:
    return f"{title} with {beside}" if beside else title


def _title(found: Mapping[str, Any]) -> str:
    numbers = found["environment"]
    title = next(f"{_BACKENDS[name]} {numbers[name]}" for name in _BACKENDS if numbers.get(name))
    if "tf-keras" not in numbers:
        return title
    return title + (" and tf-keras" if found["generation"] == "keras2" else " beside tf-keras")


def _cell(found: Mapping[str, Any], function: str, form: str) -> str:
    """Say how many of the models that stock opens are served."""
    ends = [
        load["ended"]
        for load in found["loads"]
        if (load["function"], load["format"]) == (function, form) and load["ended"] != REFUSED
    ]
    return f"{ends.count(SERVED)} of {len(ends)}" if ends else ""


def _reasons(found: Mapping[str, Any]) -> str:
    """List why loads went to the stock loader, with how many models that is said of."""
    reasons = Counter(
        (load["function"], load["ended"])
        for load in found["loads"]
        if load["ended"] not in (SERVED, REFUSED)
    )
    if not reasons:
        return ""
    lines = [
        f"- `{function}`, {count}: {_short(reason)}"
        for (function, reason), count in sorted(reasons.items())
    ]
    return "\n".join([f"{_named(*_heads(found))}{_GOES}", "", *lines])


def _short(reason: str) -> str:
    line = _FOLDERS.sub("'", " ".join(reason.split()))
    return line if len(line) <= 200 else f"{line[:200]}..."


def main(arguments: list[str] | None = None) -> None:
    """Write the page that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.served", description=__doc__)
    parser.add_argument("page", type=Path, help="a page with markers")
    parser.add_argument("records", type=Path, nargs="+", help="JSON, in the order of the rows")
    asked = parser.parse_args(arguments)
    write(asked.page, MARKERS, asked.records)


def write(page: Path, markers: Markers, records: Iterable[Path]) -> None:
    """Write the table of *records* between *markers* of *page*; other rows stay."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in records]
    markers.write(page, markdown(joined(told), markers.read(page)))


if __name__ == "__main__":
    main()
