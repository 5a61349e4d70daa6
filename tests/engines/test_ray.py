"""Ray Data: actors of several processes predict on batches of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastload
from tests.engines.conftest import BATCH, WORKERS, assert_shared, misses, weights_bytes
from tests.engines.watched import WatchedBatches

ray = pytest.importorskip("ray", reason="see `nox -s engines`")
#: Engines warn of much, and Keras 3 of files of Keras 2; as errors, these would refuse the file.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def cluster(reference: fastload.Ref) -> Iterator[None]:
    """Ray's processes, with the environment of the test."""
    ray.init(num_cpus=WORKERS + 1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_a_thousand_rows(reference: fastload.Ref, rows: Any, expected: Any) -> None:
    """Outputs are those of one process; one conversion and one copy of the weights."""
    for times in ("cold", "warm"):
        data = ray.data.from_numpy([rows[n : n + BATCH] for n in range(0, len(rows), BATCH)])
        data = data.zip(ray.data.range(len(rows)))
        predicted = data.map_batches(
            WatchedBatches,
            fn_constructor_args=[reference],
            fn_constructor_kwargs={"outputs": {"output_0": "found"}, "keep": ["id"]},
            batch_size=BATCH,
            concurrency=WORKERS,
        )
        found = predicted.to_pandas().sort_values("id")

        assert misses() == 1, times
        assert np.stack(found["found"]).tobytes() == expected.tobytes()
        assert_shared(found, weights_bytes())
