"""What `fastload doctor` says of the versions that are installed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fastload.cli.versions import about_versions, facts_of_versions, is_compared
from fastload.runtime import internals
from fastload.runtime.importing import Feature, Part

INSTALLED = {"tensorflow-cpu": "2.21.0", "keras": "3.15.1", "tf-keras": "2.21.0"}


@pytest.fixture(autouse=True)
def one_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name of its two is missing."""
    feature = Feature("a short cut", {"json": Part(("json",), "load moved ?later>=3.0")})
    monkeypatch.setattr(internals, "FEATURES", (feature,))
    monkeypatch.setattr(internals, "light_import", SimpleNamespace(DEFERRED={}))
    monkeypatch.setattr(internals, "linking", SimpleNamespace(MEANWHILE={}))


def test_a_short_cut_that_is_off_is_named() -> None:
    found = about_versions(INSTALLED)

    assert found["off"] == [{"feature": "a short cut", "names": ["json.moved"]}]
    assert "a short cut: there is no json.moved" in dict(facts_of_versions(found))["Off here"]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("keras", "3.15.9", True),
        ("keras", "3.99.0", False),
        ("tf-keras", "", True),
        ("tf-keras", "2.20.1", False),
        ("tensorflow-cpu", "2.99.0", False),
    ],
)
def test_a_combination_is_told_by_minor_versions(name: str, version: str, expected: bool) -> None:
    run = {"tensorflow": "2.21.0", "keras": "3.15.1", "tf-keras": "2.21.0"}

    assert is_compared(INSTALLED | {name: version}, [run]) is expected


@pytest.mark.parametrize(("compared", "word"), [(True, "model by model"), (False, "never")])
def test_it_is_said_in_words(compared: bool, word: str) -> None:
    told = dict(facts_of_versions({"compared": compared, "off": []}))

    assert word in told["Versions"]
    assert told["Short cuts"] == "all in use"
