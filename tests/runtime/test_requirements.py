"""The table of private names: each is here, and a message says which one is not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import fastload
from fastload.errors import MissingTensorFlowError, UnsupportedRuntimeError
from fastload.runtime import internals
from fastload.runtime.importing import Feature, Name, Part
from fastload.runtime.keras2 import keras2_parts
from fastload.runtime.keras3 import keras3_loaders
from fastload.runtime.requirements import FIRST_PREDICT, KERAS2_LOADS, KERAS3_LOADS
from tests.small_models import INPUTS, SavedModel

ROWS = list(internals.rows())


def named(row: internals.Row) -> str:
    return f"{row.feature.what}-{row.part.modules[0]}.{row.name.path}".replace(" ", "_")


@pytest.mark.parametrize("row", ROWS, ids=map(named, ROWS))
def test_each_name_is_found_where_its_row_says_so(row: internals.Row) -> None:
    """Without one, `fastload doctor --internals` says which feature is turned off here."""
    pytest.importorskip("tensorflow")

    assert internals.examine(row) is not internals.State.MISSING


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of a package that is there."""

    class Loader:
        def load(self, path: str) -> None:
            self._path = path

        @property
        def _late(self) -> object:
            return self._found

    module = ModuleType("fastload.library")
    vars(module).update(Loader=Loader)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def feature(names: str, *modules: str) -> Feature:
    return Feature("the test", {"library": Part(modules or ("fastload.library",), names)})


def test_a_part_is_its_module(library: ModuleType) -> None:
    found = feature("Loader.load[path]", "fastload.elsewhere", "fastload.library")

    assert found.part("library") is library
    assert found.optional("library") is library
    assert found.loaded("library") is library


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("Loader.moved", "fastload.library has no 'Loader.moved'"),
        ("gone.for.good", "fastload.library has no 'gone.for.good'"),
        ("Loader.load[path,tags]", "fastload.library.Loader.load takes no 'tags'"),
    ],
)
def test_a_missing_name_is_told_with_the_feature_that_needs_it(
    names: str, message: str, library: ModuleType
) -> None:
    with pytest.raises(UnsupportedRuntimeError) as refused:
        feature(names).part("library")

    assert refused.value.explanation() == (
        f"{message}, which the test needs: this version is not known to fastload"
    )
    with pytest.raises(UnsupportedRuntimeError, match=r"which the test needs"):
        feature(names).optional("library")


def test_a_missing_module_is_told_with_all_its_places() -> None:
    with pytest.raises(UnsupportedRuntimeError) as refused:
        feature("", "fastload.here", "fastload.there").part("library")

    assert refused.value.explanation() == (
        "there is no module fastload.here or fastload.there, which the test needs: "
        "this version is not known to fastload"
    )


def test_a_missing_module_that_can_be_done_without_is_none() -> None:
    found = feature("name", "fastload.here")

    assert found.optional("library") is None
    assert found.loaded("library") is None


def test_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(MissingTensorFlowError):
        feature("", "not_installed.here").part("library")


def test_a_name_that_can_be_done_without_may_be_missing(library: ModuleType) -> None:
    assert feature("?Loader.moved ?gone[a]").part("library") is library


def test_attributes_of_instances_are_checked_on_instances(library: ModuleType) -> None:
    """Their class need not have them."""
    found = feature("Loader()._path ?Loader()._other")
    loader = library.Loader()

    assert found.part("library") is library
    with pytest.raises(UnsupportedRuntimeError, match=r"Loader has no '_path', which the test"):
        found.check(loader, "Loader()")
    loader.load("here")
    found.check(loader, "Loader()")


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("", True),
        ("Loader", True),
        ("Loader.load[path]", True),
        ("Loader.load[tags]", False),
        ("Loader.moved", False),
        ("Loader()._path", True),
        ("Loader()._found", True),
        ("Loader()._moved", False),
        ("Moved()._path", False),
    ],
)
def test_what_instances_have_is_seen_in_the_code_of_their_class(
    name: str, is_found: bool, library: ModuleType
) -> None:
    part = Part(("fastload.library",), name)
    row = internals.Row(feature=feature(""), part=part, name=Name.parsed(name))

    expected = internals.State.FOUND if is_found else internals.State.MISSING
    assert internals.examine(row) is expected


@pytest.mark.parametrize(
    ("written", "version", "is_expected"),
    [
        ("name", "2.8.4", True),
        ("name>=2.12", "2.8.4", False),
        ("name>=2.12", "2.12.0", True),
        ("name>=2.9", "2.12.0", True),
        ("name<2.12", "2.8.4", True),
        ("name<2.12", "2.12.1", False),
        ("name>=2.12<2.15", "2.13.0-dev20260101", True),
    ],
)
def test_a_row_says_in_which_versions_it_is_expected(
    written: str, version: str, is_expected: bool
) -> None:
    row = internals.Row(feature=feature(""), part=Part(("a",)), name=Name.parsed(written))

    assert row.is_expected_in(version) == is_expected
    assert row.versions == written.removeprefix("name").replace("2<", "2,<")


def lacking(monkeypatch: pytest.MonkeyPatch, found: Feature, part: str) -> None:
    """Have one name more be needed of *part*, which it has not."""
    stock = found.parts[part]
    more = Part(stock.modules, f"{stock.listed} moved", stock.since, stock.before)
    monkeypatch.setitem(found.parts, part, more)


def test_without_a_name_that_a_restore_needs_the_stock_loader_loads(
    model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    if model.form.generation == 2:
        keras2_parts.keras2.cache_clear()
        lacking(monkeypatch, KERAS2_LOADS, "functional")
    else:
        keras3_loaders.keras3.cache_clear()
        lacking(monkeypatch, KERAS3_LOADS, "layer")
    fastload.load_model(model.path, keras=model.form.package)
    fastload.load_model(model.path, keras=model.form.package)
    report = fastload.last_load()

    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", "FL204")
    assert "has no 'moved', which restoring Keras" in str(report.reason)


def test_without_a_name_that_a_first_predict_needs_it_is_traced(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load is a hit all the same."""
    pytest.importorskip("tensorflow")
    lacking(monkeypatch, FIRST_PREDICT, "concrete_function")
    expected = saved_model.load_stock().predict(INPUTS, verbose=0)
    package = saved_model.form.package
    found = [fastload.load_model(saved_model.path, keras=package) for _ in range(2)]
    report = fastload.last_load()

    assert report is not None
    assert report.outcome.value == "hit"
    for each in found:
        assert (each.predict(INPUTS, verbose=0) == expected).all()
    assert not list(cache_root.glob("*.predict-*"))
