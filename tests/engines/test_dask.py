"""Dask: workers are warmed, and share one copy of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastload
from tests.engines.conftest import BATCH, WORKERS, assert_shared, misses, weights_bytes
from tests.engines.watched import with_process

distributed = pytest.importorskip("distributed", reason="see `nox -s engines`")
#: Engines warn of much, and Keras 3 of files of Keras 2; as errors, these would refuse the file.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def client(reference: fastload.Ref) -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def predict(reference: fastload.Ref, rows: Any) -> dict[str, Any]:
    found = reference.load_predictor().predict(rows, batch_size=BATCH)
    return with_process({"found": found}, len(rows))


def test_a_thousand_rows(client: Any, reference: fastload.Ref, rows: Any, expected: Any) -> None:
    """Outputs are those of one process; one conversion and one copy of the weights."""
    from fastload.fleet.dask import WarmWorkers

    client.register_plugin(WarmWorkers(reference))
    assert misses() == 1
    for _ in range(2):
        parts = [rows[n : n + BATCH] for n in range(0, len(rows), BATCH)]
        tasks = [client.submit(predict, reference, part, pure=False) for part in parts]
        found = client.gather(tasks)
        columns = {name: np.concatenate([each[name] for each in found]) for name in found[0]}

        assert misses() == 1
        assert columns["found"].tobytes() == expected.tobytes()
        assert_shared(columns, weights_bytes())


def test_a_reference_has_the_same_name_in_every_graph(reference: fastload.Ref) -> None:
    from dask.base import tokenize

    assert tokenize(reference) == tokenize(fastload.Ref.from_json(reference.to_json()))


def test_a_predictor_travels(client: Any, reference: fastload.Ref, rows: Any) -> None:
    predictor = reference.load_predictor()
    there = client.submit(lambda each: each.predict(rows[:BATCH], BATCH), predictor).result()

    assert there.tobytes() == predictor.predict(rows[:BATCH], BATCH).tobytes()
