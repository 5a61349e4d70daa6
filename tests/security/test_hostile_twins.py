"""A twin that somebody put into the cache is opened with the same loaders as a file, as safely."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.security.attacks import ATTACKS, KERAS2, KERAS3, Place, make_secrets
from tests.small_models import Form, assert_same_weights, functional_model, save

pytest.importorskip("keras")
pytest.importorskip("tf_keras")

FORMS = (Form(generation=3, suffix=".keras"), Form(generation=2, suffix=".keras"))
_BY_CODE = {each.package: each for each in ATTACKS if "byte code in a `Lambda`" in each.name}


@pytest.fixture(params=FORMS, ids=lambda form: form.id)
def swapped(
    request: pytest.FixtureRequest, tmp_path: Path, cache_root: Path
) -> tuple[Form, Any, Place]:
    """A harmless file with the twin of one that holds byte code."""
    form = request.param
    package = KERAS3 if form.generation == 3 else KERAS2
    place = Place(folder=tmp_path / "evil", package=package, suffix=form.suffix)
    make_secrets(place)
    _BY_CODE[package].make(place)
    evil = fastload.warm(place.model, keras=form.package).twin
    harmless = tmp_path / f"harmless{form.suffix}"
    save(functional_model(form.stock), harmless)
    twin = fastload.warm(harmless, keras=form.package).twin
    assert evil is not None
    assert twin is not None
    twin.unlink()
    shutil.copy(evil, twin)
    return form, harmless, place


def test_a_twin_with_byte_code_is_refused_as_a_file_is(swapped: tuple[Form, Any, Place]) -> None:
    """Twice: what was found in it does not stay."""
    form, harmless, place = swapped

    for _ in range(2):
        loaded = fastload.load_model(harmless, keras=form.package)
        assert not place.canary.exists()
        assert_same_weights(form.stock.models.load_model(harmless), loaded)


def test_nothing_of_it_runs_in_a_predictor(swapped: tuple[Form, Any, Place]) -> None:
    form, harmless, place = swapped

    fastload.load_predictor(harmless, keras=form.package)

    assert not place.canary.exists()
