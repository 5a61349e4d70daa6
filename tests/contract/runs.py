"""Runs of worker processes: the zoo, built once, loaded by stock and by fastload, told as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from zoo.catalogue import Artefact
from zoo.framework import backend

_TESTS: Final = Path(__file__).resolve().parents[1]
#: How many processes work at once on the zoo: one beside another worker of pytest-xdist.
_SHARDS: Final = int(os.environ.get("ZOO_SHARDS", "1"))
#: Of one process: half of the zoo, on a machine that has other work too.
_TIMEOUT_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One way of loading an artefact with fastload.

    Attributes:
        name: for ids and messages.
        process: which worker process of the shard loads it; a cache outlives processes.
        outcome: what the report says of a load that fastload can serve.
        full: trained and saved again as well, which takes longer.
        custom: custom objects are passed.
        registered: classes that a program registers with Keras are there.
        arguments: for `load_model`, on both sides, but for those that only fastload has.
        ours: further arguments, for fastload alone.
    """

    name: str
    process: int
    outcome: str
    full: bool = False
    custom: bool = True
    registered: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stock_variant(self) -> str:
        """Name of the stock load that this state has to equal."""
        told = sorted(self.arguments.items())
        bare = "" if self.custom else " bare"
        return f"{told}{bare}{'' if self.registered else ' unregistered'}"


_ALL_STATES: Final = (
    State(name="first load", process=0, outcome="miss"),
    State(name="second load in one process", process=0, outcome="hit"),
    State(name="load in another process", process=1, outcome="hit", full=True),
    State(name="eager weights", process=1, outcome="hit", ours={"weights": "eager"}),
    State(name="not compiled", process=1, outcome="hit", arguments={"compile": False}),
    State(name="no custom objects", process=1, outcome="hit", custom=False),
    State(name="no class at hand", process=1, outcome="hit", custom=False, registered=False),
)
#: ZOO_STATE takes one alone, after the first load, which makes the twin.
STATES: Final = tuple(
    state
    for state in _ALL_STATES
    if os.environ.get("ZOO_STATE", state.name) in state.name or state is _ALL_STATES[0]
)


def states_of(artefact: Artefact) -> list[State]:
    """Return the states that say something new about *artefact*."""
    full = is_full(artefact)
    model = artefact.model
    told = {True: model.custom, False: model.custom or model.has_own_classes}
    return [
        s
        for s in STATES
        if (s.custom or told[s.registered]) and (full or "compile" not in s.arguments)
    ]


def is_full(artefact: Artefact) -> bool:
    """Say whether it is trained and saved again: the first format of a model that can be."""
    if "untrainable" in artefact.model.tags:
        return False
    return artefact.format == artefact.model.formats[artefact.generation][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where the workers of a test session put their files.

    Attributes:
        folder: fresh for this session.
        downloads: kept between sessions.
    """

    folder: Path
    downloads: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that the workers told.

    Attributes:
        unsaved: why an artefact does not exist, by artefact id.
        stock: results by artefact id and stock variant.
        ours: results by artefact id and name of the state.
        objects: what TensorFlow's own loader and fastload make of SavedModels, by artefact id.
        predictors: what stock functions and predictors compute, by artefact id.
    """

    unsaved: dict[str, str]
    stock: dict[tuple[str, str], dict[str, Any]]
    ours: dict[tuple[str, str], dict[str, Any]]
    objects: dict[str, dict[str, Any]]
    predictors: dict[str, dict[str, Any]]


def investigate(artefacts: Sequence[Artefact], place: Workplace, loader: str) -> Findings:
    """Build, load and describe *artefacts* in as many processes at once as there are shards.

    Args:
        artefacts: what to look at.
        place: where files go.
        loader: what loads "ours": `fastload`, or `stock` to test the comparison itself.
    """
    by_generation: dict[str, list[Artefact]] = {}
    for artefact in artefacts:
        by_generation.setdefault(artefact.generation, []).append(artefact)
    shards = [
        _Shard(
            generation=generation, number=number, place=place, names=tuple(names[number::_SHARDS])
        )
        for generation, found in by_generation.items()
        for names in [list(dict.fromkeys(artefact.name for artefact in found))]
        for number in range(_SHARDS)
    ]
    findings = Findings(unsaved={}, stock={}, ours={}, objects={}, predictors={})
    with ThreadPoolExecutor(_SHARDS) as pool:
        work = [pool.submit(shard.work, artefacts, findings, loader) for shard in shards]
        for done in work:
            done.result()
    return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """A part of one generation's models, worked on by one process after the other."""

    generation: str
    number: int
    place: Workplace
    names: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.place.folder / f"{self.generation}-{self.number}"

    def work(self, artefacts: Sequence[Artefact], findings: Findings, loader: str) -> None:
        """Build this shard's models, load them every way, and add to *findings*."""
        if not self.names:
            return
        mine = [a for a in artefacts if a.generation == self.generation and a.name in self.names]
        saved = self._build(findings)
        there = [(a, saved[a.name, a.format]) for a in mine if (a.name, a.format) in saved]
        findings.stock.update(self._load("stock", self._stock_jobs(there)))
        for process in sorted({state.process for state in STATES}):
            findings.ours.update(self._load(loader, self._our_jobs(there, process)))
        findings.objects.update(self._compare("objects", [x for x in there if x[0].format == "tf"]))
        if self.generation == "keras2" or backend() == "tensorflow":
            findings.predictors.update(self._compare("predictors", there))

    def _build(self, findings: Findings) -> dict[tuple[str, str], str]:
        folder = self.folder / "models"
        folder.mkdir(parents=True)
        request = {"names": self.names, "downloads": str(self.place.downloads)}
        lines = self._run("zoo/build.py", {**request, "folder": str(folder)})
        for line in lines:
            if line["error"]:
                artefact = Artefact(
                    generation=self.generation, name=line["name"], format=line["format"]
                )
                findings.unsaved[artefact.id] = line["error"]
        return {(line["name"], line["format"]): line["path"] for line in lines if line["path"]}

    def _stock_jobs(self, there: list[tuple[Artefact, str]]) -> list[dict[str, Any]]:
        jobs = {}
        for artefact, path in there:
            for state in states_of(artefact):
                job = _job(artefact, path, state, state.stock_variant)
                earlier = jobs.get((artefact.id, state.stock_variant))
                jobs[artefact.id, state.stock_variant] = max(earlier or job, job, key=_fullness)
        return list(jobs.values())

    def _our_jobs(self, there: list[tuple[Artefact, str]], process: int) -> list[dict[str, Any]]:
        return [
            _job(artefact, path, state, state.name, state.ours)
            for artefact, path in there
            for state in states_of(artefact)
            if state.process == process
        ]

    def _load(self, loader: str, jobs: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
        results: dict[tuple[str, str], Any] = {}
        while len(results) < len(jobs):
            rest = jobs[len(results) :]
            lines = self._run("contract/worker.py", {"loader": loader, "jobs": rest})
            results |= {tuple(line["id"]): line for line in lines}
            if len(lines) < len(rest):
                results[tuple(rest[len(lines)]["id"])] = {"told": {"load": "the process died"}}
        return results

    def _compare(
        self, subject: str, there: list[tuple[Artefact, str]]
    ) -> dict[str, dict[str, Any]]:
        """Have a worker load models in both ways; one that crashes is told with whose code."""
        script = f"contract/{subject}_worker.py"
        jobs = [{"id": a.id, "name": a.name, "path": p, "format": a.format} for a, p in there]
        legacy = {"TF_USE_LEGACY_KERAS": "1"} if self.generation == "keras2" else {}
        results: dict[str, dict[str, Any]] = {}
        while len(results) < len(jobs):
            rest = jobs[len(results) :]
            # A cache of their own: a twin that a Keras loader wrote would be a hit at once.
            environment = {**legacy, "FASTLOAD_CACHE_DIR": str(self.folder / f"{subject} cache")}
            request = {"environment": environment, "jobs": rest}
            lines = self._run(script, request)
            results |= {line["id"]: line for line in lines}
            if len(lines) < len(rest):
                culprit = rest[len(lines)]
                alone = {**request, "jobs": [culprit], "only_stock": True}
                by_stock = not self._run(script, alone)
                results[culprit["id"]] = {"died": "in stock" if by_stock else "with fastload"}
        return results

    def _run(self, script: str, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a worker script and return its lines; fewer than asked for means that it died."""
        results = self.folder / "results.jsonl"
        results.write_text("", encoding="utf-8")
        whole = {"generation": self.generation, "results": str(results), "folder": str(self.folder)}
        asked = self.folder / "request.json"
        asked.write_text(json.dumps({**whole, **request}), encoding="utf-8")
        with (self.folder / "output.txt").open("ab") as output:
            command = [sys.executable, str(_TESTS / script), str(asked)]
            environment = {**os.environ, "FASTLOAD_CACHE_DIR": str(self.folder / "cache")}
            subprocess.run(
                command,
                check=False,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
            )
        return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def _job(
    artefact: Artefact, path: str, state: State, label: str, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "id": [artefact.id, label],
        "name": artefact.name,
        "path": path,
        "full": state.full and is_full(artefact),
        "custom": state.custom,
        "registered": state.registered,
        "arguments": {**artefact.model.arguments, **state.arguments, **(more or {})},
    }


def _fullness(job: dict[str, Any]) -> bool:
    return bool(job["full"])
