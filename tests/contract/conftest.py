"""The findings about the zoo, made once a session for the tests that were selected."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

# The workers and the tests share the packages `zoo` and `contract`, which are not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.runs import Findings, Workplace, investigate
from contract.served import record
from zoo.catalogue import GENERATIONS, Artefact, artefacts
from zoo.selection import SMOKE, sample

from tests.installed import version_of

#: `stock` compares the stock loader with itself: what differs then is the suite's fault, or chance.
_LOADER_VARIABLE = "FASTLOAD_CONTRACT_LOADER"
#: A file to record in what is served; see `served`.
_RECORD_VARIABLE = "FASTLOAD_CONTRACT_RECORD"
#: What the sample of a run is drawn by; without it there is none.
_SAMPLE_VARIABLE = "ZOO_SAMPLE"
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
    return pytest.param(artefact, id=artefact.id, marks=marks)


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


@pytest.fixture(scope="session")
def findings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Findings]:
    """What the workers found out about every artefact that a selected test is about."""
    params = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = {spec.params["artefact"] for spec in params if spec and "artefact" in spec.params}
    here = [artefact for artefact in sorted(wanted) if _has_generation(artefact.generation)]
    cache = request.config.cache
    assert cache is not None
    downloads = cache.mkdir("zoo-downloads")
    place = Workplace(folder=tmp_path_factory.mktemp("zoo"), downloads=downloads)
    found = investigate(here, place, os.environ.get(_LOADER_VARIABLE, "fastload"))
    yield found
    if _RECORD_VARIABLE in os.environ:
        told = record(found, here, request.session.stash.get(_FAILED, frozenset()))
        Path(os.environ[_RECORD_VARIABLE]).write_text(json.dumps(told, indent=1), encoding="utf-8")


@pytest.fixture
def require(findings: Findings) -> Callable[[Artefact], None]:
    """Skip the test where the artefact cannot exist here, and say why."""

    def check(artefact: Artefact) -> None:
        if not _has_generation(artefact.generation):
            pytest.skip(f"no {artefact.generation} in this environment")
        if artefact.generation == "keras3" and "migrated" in artefact.model.tags:
            pytest.skip("stock Keras 3 refuses it, and fastload migrates it: see tests/keras2to3")
        if artefact.id in findings.unsaved:
            pytest.skip(findings.unsaved[artefact.id])

    return check


def _has_generation(generation: str) -> bool:
    return generation in _installed_generations()


@functools.cache
def _installed_generations() -> frozenset[str]:
    versions = [version_of(name) for name in ("keras", "tf-keras")]
    generations = {version.split(".")[0] for version in versions}
    return frozenset(f"keras{generation}" for generation in generations if generation)
