"""The findings about the zoo, made once for the models that were selected.

The tests about models of one group run in one worker of pytest-xdist, which alone investigates
them; ZOO_GROUPS=2 makes two groups of each generation.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# The workers and the tests share the packages `zoo` and `contract`, which are not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.runs import Findings, Workplace, investigate, nothing_found
from contract.served import record
from zoo.catalogue import GENERATIONS, Artefact, artefacts, catalogue
from zoo.selection import SMOKE, sample

#: `stock` compares the stock loader with itself: what differs then is the suite's fault, or chance.
_LOADER_VARIABLE = "FASTLOAD_CONTRACT_LOADER"
#: A file to record in what is served; each worker of pytest-xdist adds its name. See `served`.
_RECORD_VARIABLE = "FASTLOAD_CONTRACT_RECORD"
#: What the sample of a run is drawn by; without it there is none.
_SAMPLE_VARIABLE = "ZOO_SAMPLE"
_GROUPS = int(os.environ.get("ZOO_GROUPS", "1"))
#: Ids of the artefacts of which a test failed in this session.
_FAILED: pytest.StashKey[set[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Make the suite's mark known."""
    config.addinivalue_line("markers", "published: needs models from the package index")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests that ask for an `artefact` each one of the zoo."""
    if "artefact" in metafunc.fixturenames:
        metafunc.parametrize("artefact", [_param(a) for f in GENERATIONS for a in artefacts(f)])


def _param(artefact: Artefact) -> object:
    marks = [getattr(pytest.mark, name) for name in _mark_names(artefact)]
    return pytest.param(artefact, id=artefact.id, marks=[*marks, _group_mark(artefact)])


def _mark_names(artefact: Artefact) -> Iterator[str]:
    is_smoke = artefact.name in SMOKE
    if is_smoke:
        yield "smoke"
    if is_smoke or "quick" in artefact.model.tags:
        yield "quick"
    if not is_smoke and artefact.name not in _sample():
        yield "zoo"
    if "published" in artefact.model.tags:
        yield "published"


@functools.cache
def _sample() -> frozenset[str]:
    seed = os.environ.get(_SAMPLE_VARIABLE)
    return sample(seed) if seed else frozenset()


def _group_mark(artefact: Artefact) -> pytest.MarkDecorator:
    return pytest.mark.xdist_group(_group(artefact))


def _group(artefact: Artefact) -> str:
    number = list(catalogue()).index(artefact.name) % _GROUPS
    return f"zoo-{artefact.generation}-{number}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember what artefact a failed test is about."""
    report = yield
    spec = getattr(item, "callspec", None)
    if report.failed and spec is not None and "artefact" in spec.params:
        item.session.stash.setdefault(_FAILED, set()).add(spec.params["artefact"].id)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigation:
    """What is known of the groups that were looked at in this process.

    Attributes:
        folder: for files of this session.
        downloads: kept between sessions.
        wanted: all that a selected test is about, and can be here.
        findings: about the groups in `done`.
        done: names of groups.
    """

    folder: Path
    downloads: Path
    wanted: list[Artefact]
    findings: Findings = field(default_factory=nothing_found)
    done: set[str] = field(default_factory=set)

    def of_group(self, group: str) -> Findings:
        """Return the findings, which include those about *group*."""
        if group not in self.done:
            place = Workplace(folder=self.folder / group, downloads=self.downloads)
            members = [artefact for artefact in self.wanted if _group(artefact) == group]
            loader = os.environ.get(_LOADER_VARIABLE, "fastload")
            investigate(members, place, loader, self.findings)
            self.done.add(group)
        return self.findings


@pytest.fixture(scope="session")
def investigation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Investigation]:
    """What the workers find out, group by group."""
    params = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = {spec.params["artefact"] for spec in params if spec and "artefact" in spec.params}
    here = [artefact for artefact in sorted(wanted) if _has_generation(artefact.generation)]
    cache = request.config.cache
    assert cache is not None
    downloads = cache.mkdir("zoo-downloads")
    made = Investigation(folder=tmp_path_factory.mktemp("zoo"), downloads=downloads, wanted=here)
    yield made
    if _RECORD_VARIABLE in os.environ:
        seen = [artefact for artefact in here if _group(artefact) in made.done]
        failed = request.session.stash.get(_FAILED, frozenset())
        path = _record_path(Path(os.environ[_RECORD_VARIABLE]))
        path.write_text(json.dumps(record(made.findings, seen, failed), indent=1), encoding="utf-8")


def _record_path(path: Path) -> Path:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return path if worker is None else path.with_stem(f"{path.stem}-{worker}")


@pytest.fixture
def findings(artefact: Artefact, investigation: Investigation) -> Findings:
    """What the workers found out about the artefact of this test, among others."""
    if not _has_generation(artefact.generation):
        pytest.skip(f"no {artefact.generation} in this environment")
    return investigation.of_group(_group(artefact))


@pytest.fixture
def require(findings: Findings) -> Callable[[Artefact], None]:
    """Skip the test where the artefact cannot exist here, and say why."""

    def check(artefact: Artefact) -> None:
        if artefact.generation == "keras3" and "migrated" in artefact.model.tags:
            pytest.skip("stock Keras 3 refuses it, and fastload migrates it: see tests/keras2to3")
        if artefact.id in findings.unsaved:
            pytest.skip(findings.unsaved[artefact.id])

    return check


def _has_generation(generation: str) -> bool:
    return generation in _installed_generations()


@functools.cache
def _installed_generations() -> frozenset[str]:
    """Tell by package metadata: importing TensorFlow into the test process would cost seconds."""
    versions = {name: _version(name) for name in ("keras", "tf-keras")}
    generations = {version.split(".")[0] for version in versions.values()}
    return frozenset(f"keras{generation}" for generation in generations if generation)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
