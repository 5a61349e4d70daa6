"""A pool of processes, each with a cache of its own, and a store between them."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from tests.conftest import SRC
from tests.remote import hosts
from tests.small_models import SavedModel

pytest.importorskip("tensorflow")

pytestmark = pytest.mark.slow
ROWS, BATCH, WORKERS = 1000, 20, 3


@pytest.fixture
def predicts(tmp_path: Path) -> Callable[..., list[tuple[int, str, str | None, Any]]]:
    """Predict rows in the workers of a new pool, whose caches are in a new folder."""

    def run(name: str, reference: fastload.Ref, rows: Any) -> list[Any]:
        with ProcessPoolExecutor(
            WORKERS,
            multiprocessing.get_context("spawn"),
            initializer=hosts.begin,
            initargs=(str(tmp_path / name),),
        ) as pool:
            parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
            return list(pool.map(hosts.predict, [reference] * len(parts), parts))

    return run


def test_a_thousand_rows_in_three_hosts(
    saved_model: SavedModel,
    cache_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    predicts: Callable[..., list[tuple[int, str, str | None, Any]]],
) -> None:
    """With an empty store, hosts convert until one has put it there; with it, none, and no model.

    Outputs are those of one process, to the bit.
    """
    monkeypatch.setenv("PYTHONPATH", f"{SRC}:{SRC.parent}")
    reference = fastload.ref(saved_model.path)
    rows = np.random.default_rng(1).normal(size=(ROWS, 4)).astype("float32")
    alone = fastload.load_predictor(saved_model.path)
    parts = [rows[start : start + BATCH] for start in range(0, ROWS, BATCH)]
    expected = np.concatenate([alone.predict(part, batch_size=BATCH) for part in parts])
    store = (tmp_path / "store").as_uri()
    monkeypatch.setenv("FASTLOAD_REMOTE", store)
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")

    cold = predicts("cold", reference, rows)
    loads = {pid: (outcome, where) for pid, outcome, where, _ in cold}
    assert {("miss", None)} <= set(loads.values()) <= {("miss", None), ("hit", store)}
    assert np.concatenate([found for *_, found in cold]).tobytes() == expected.tobytes()
    twins = list((tmp_path / "store").rglob("h5.*"))
    assert len(twins) == 1

    shutil.rmtree(saved_model.path)
    warm = predicts("warm", reference, rows)
    assert {(outcome, where) for _, outcome, where, _ in warm} == {("hit", store)}
    assert np.concatenate([found for *_, found in warm]).tobytes() == expected.tobytes()
