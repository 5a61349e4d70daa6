"""Load and describe models in a process of its own: `python worker.py REQUEST`.

REQUEST is a JSON file: `generation`, `loader` (`stock`, `fastload`), `folder`, `results`, `jobs`,
each with `id`, `name` (in the catalogue), `path`, `full`, `custom` (pass the custom objects),
`registered` (leave those that Keras knows) and `arguments` for `load_model`. Each job leaves one
JSON line, so that a crash loses one job only.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract import description
from zoo.catalogue import Kit, catalogue, kit

#: Python's own word on how Keras 2.15 draws seeds: once more where stock starts over after us.
_PYTHON_ON_SEEDS = "non-integer arguments to randrange()"


class Recorder(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # Keras says the latter once a process, for whichever model comes first.
        if not (record.name.startswith("fastload") or message.startswith("Mixed precision")):
            self.lines.append([record.name, record.levelname, message])


@contextlib.contextmanager
def listening() -> Iterator[dict[str, Any]]:
    """Collect what is printed, warned and logged inside."""
    heard: dict[str, Any] = {}
    recorder, out = Recorder(), io.StringIO()
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl", "keras", "")]
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(out):
        warnings.simplefilter("always")
        for logger in loggers:
            logger.addHandler(recorder)
        try:
            yield heard
        finally:
            for logger in loggers:
                logger.removeHandler(recorder)
    heard["printed"] = out.getvalue()
    told = [[w.category.__name__, str(w.message)] for w in warned]
    heard["warned"] = [line for line in told if not line[1].startswith(_PYTHON_ON_SEEDS)]
    heard["logged"] = recorder.lines


def run(request: dict[str, Any]) -> None:
    """Do every job of *request*."""
    tools = kit(request["generation"], Path(request["folder"]), Path(request["folder"]))
    with Path(request["results"]).open("a", encoding="utf-8") as results:
        for job in request["jobs"]:
            print(json.dumps(do(job, tools, request["loader"])), file=results, flush=True)


def do(job: dict[str, Any], tools: Kit, loader: str) -> dict[str, Any]:
    """Load one model and describe it and what the load left behind."""
    with registry_of(job, tools):
        return _done(job, tools, loader)


@contextlib.contextmanager
def registry_of(job: dict[str, Any], tools: Kit) -> Iterator[None]:
    """Have Keras know, in the block, no class or function of a program's where *job* says so."""
    registry = tools.keras.utils.get_custom_objects()
    known = dict(registry)
    if not job["registered"]:
        registry.clear()
    try:
        yield
    finally:
        registry.update(known)


def _done(job: dict[str, Any], tools: Kit, loader: str) -> dict[str, Any]:
    load = _loader(loader, tools)
    arguments = _arguments(job, tools)
    tools.keras.backend.clear_session()
    gc.collect()
    tools.keras.utils.set_random_seed(3)
    loaded: list[Any] = []
    start = time.perf_counter()
    with listening() as heard:
        failure = description.guarded(lambda: loaded.append(load(job["path"], **arguments)))
    if failure is not None:
        # Ours tried it first: what Keras had logged by then, it logs again in the stock loader.
        heard["logged"] = [list(line) for line in dict.fromkeys(map(tuple, heard["logged"]))]
    told: dict[str, Any] = {"id": job["id"], "seconds": time.perf_counter() - start}
    told["report"] = _report() if loader == "fastload" else {}
    told["told"] = {"load": failure, "messages": heard, **_aftermath(tools)}
    if loaded:
        told["told"] |= _described(job, tools, loaded.pop())
    told["twin_after"] = _digest(told["report"].get("twin"))
    return told


def _aftermath(tools: Kit) -> dict[str, Any]:
    return {
        "randomness": description.guarded(lambda: description.randomness_after(tools)),
        "names": description.guarded(lambda: description.names_after(tools)),
        "switches": description.guarded(lambda: description.switches_after(tools)),
    }


def _described(job: dict[str, Any], tools: Kit, model: Any) -> dict[str, Any]:
    aspects = description.FULL if job["full"] else description.LIGHT
    subject = description.Subject(kit=tools, model=model, folder=tools.folder)
    return description.describe(subject, aspects)


def _loader(loader: str, tools: Kit) -> Any:
    if loader == "stock":
        return tools.keras.models.load_model
    return importlib.import_module("fastload").load_model


def _arguments(job: dict[str, Any], tools: Kit) -> dict[str, Any]:
    custom = catalogue()[job["name"]].custom if job["custom"] else ()
    objects = {name: getattr(tools.own, name) for name in custom}
    return {**job["arguments"], **({"custom_objects": objects} if objects else {})}


def _report() -> dict[str, Any]:
    report = importlib.import_module("fastload").last_load()
    if report is None:
        return {}
    twin = None if report.twin is None else str(report.twin)
    return {
        "outcome": report.outcome.value,
        "reason": report.reason,
        "code": report.code,
        "twin": twin,
        "twin_before": _digest(twin),
    }


def _digest(path: str | None) -> str | None:
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
