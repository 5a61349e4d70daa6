"""Twins that go, or are replaced, while lazy weights are made of them."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import RestoreError
from fastload.lazy_weights.pages import MappedPages, ReadPages
from fastload.loading import answer as loading_answer
from fastload.loading.opening import Opened, open_plan
from tests.conftest import SavedOnce
from tests.needs import NEEDS_LENDING
from tests.small_models import INPUTS, KERAS3_ARCHIVE, SAVED_MODEL, Form, SavedModel

pytest.importorskip("tensorflow")
pytestmark = [pytest.mark.usefixtures("tidy"), NEEDS_LENDING]

LOADS: list[Callable[..., Any]] = [fastload.load_model, fastload.load_predictor]
#: More than the models take; but it is shared, so their weights are lent.
ROOM = 2**20


@pytest.fixture(params=[SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)
def small(request: pytest.FixtureRequest, saved_once: SavedOnce) -> SavedModel:
    """A model, not to be edited."""
    form: Form = request.param
    return SavedModel(form=form, path=saved_once(form))


def when_opened(act: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have *act* done to each twin as soon as a load has mapped it."""

    def opened(*arguments: Any, **options: Any) -> Opened:
        made = open_plan(*arguments, **options)
        act(made.twin.path)
        return made

    monkeypatch.setattr(loading_answer, "open_plan", opened)


def check_load(load: Callable[..., Any], small: SavedModel, reason: str) -> None:
    """Check that stock stands in, for *reason*; or that it is raised, if stock may not."""
    stock = np.asarray(small.load_stock()(INPUTS))
    fastload.set_memory_budget(ROOM)
    arguments = {"keras": small.form.package, "weights": "lazy"}
    loaded = load(small.path, **arguments)
    report = fastload.last_load()

    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", "FL105")
    assert re.search(reason, str(report.reason))
    assert np.allclose(stock, loaded(INPUTS), atol=1e-6)
    with pytest.raises(RestoreError, match=reason):
        load(small.path, strict=True, **arguments)


@pytest.mark.parametrize("load", LOADS)
def test_a_twin_that_is_removed_meanwhile(
    load: Callable[..., Any], small: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process had too little room in the cache."""
    when_opened(Path.unlink, monkeypatch)

    check_load(load, small, "it cannot be read: .*No such file")


@pytest.mark.parametrize("load", LOADS)
def test_a_twin_that_is_replaced_meanwhile(
    load: Callable[..., Any],
    small: SavedModel,
    saved_once: SavedOnce,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """By one of as many bytes, whose weights are at the same places."""
    beside = tmp_path / "beside"
    fastload.load_model(saved_once(small.form, seed=2), keras=small.form.package, strict=True)
    shutil.copyfile(str(fastload.last_load().twin), beside)

    def replace(path: Path) -> None:
        before = path.read_bytes()
        beside.replace(path)
        beside.write_bytes(before)  # for the next time

    when_opened(replace, monkeypatch)

    check_load(load, small, "it was replaced while it was restored")


@pytest.mark.parametrize("load", LOADS)
def test_a_disk_that_fails_meanwhile(
    load: Callable[..., Any], small: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small weights are read into memory at once."""

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for kind in (MappedPages, ReadPages):
        monkeypatch.setattr(kind, "content", fail)

    check_load(load, small, "it cannot be read: .*Input/output error")
