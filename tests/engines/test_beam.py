"""Beam: `RunInference` in several processes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastload
from tests.engines.conftest import BATCH, WORKERS, assert_shared, misses, weights_bytes

beam = pytest.importorskip("apache_beam", reason="see `nox -s engines`")
#: Engines warn of much, and Keras 3 of files of Keras 2; as errors, these would refuse the file.
pytestmark = pytest.mark.filterwarnings("default")


def watched_handler(reference: fastload.Ref) -> Any:
    from fastload.fleet.beam import PredictorHandler

    class Watched(PredictorHandler):
        """Tells which process predicted."""

        def run_inference(
            self, batch: Sequence[Any], model: Any, inference_args: Mapping[str, Any] | None = None
        ) -> Iterator[Any]:
            from tests.engines.watched import with_process

            signals = [row["signal"] for row in batch]
            results = list(super().run_inference(signals, model, inference_args))
            told = with_process({}, len(batch))
            for number, (row, result) in enumerate(zip(batch, results, strict=True)):
                of_row = {name: int(column[number]) for name, column in told.items()}
                (found,) = result.inference.values()
                yield {"id": row["id"], "rows": len(batch), "found": found.tolist(), **of_row}

    return Watched(reference, min_batch_size=BATCH, max_batch_size=BATCH)


def test_a_thousand_rows(reference: fastload.Ref, rows: Any, expected: Any, tmp_path: Path) -> None:
    """Outputs are those of one process; one conversion and one copy of the weights."""
    from apache_beam.ml.inference.base import RunInference
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(
        runner="DirectRunner",
        direct_running_mode="multi_processing",
        direct_num_workers=WORKERS,
        save_main_session=False,
    )
    elements = [{"id": n, "signal": row} for n, row in enumerate(rows)]
    for times in ("cold", "warm"):
        with beam.Pipeline(options=options) as pipeline:
            found = (
                pipeline
                | beam.Create(elements, reshuffle=True)
                | RunInference(watched_handler(reference))
                | beam.Map(json.dumps)
            )
            _ = found | beam.io.WriteToText(str(tmp_path / times))
        told = list(_read(tmp_path, times))

        assert sorted(each["id"] for each in told) == list(range(len(rows)))
        assert misses() == 1
        for each in told:
            np.testing.assert_allclose(each["found"], expected[each["id"]], rtol=1e-5)
        columns = {name: [each[name] for each in told] for name in ("pid", "mapped", "own")}
        assert_shared(columns, weights_bytes())


def _read(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{name}-*")):
        yield from map(json.loads, path.read_text().splitlines())


def test_a_handler_is_sent_as_a_reference(reference: fastload.Ref, rows: Any) -> None:
    from fastload.fleet.beam import PredictorHandler

    handler = PredictorHandler(reference, max_batch_size=7)
    sent = pickle.loads(pickle.dumps(handler))
    model = sent.load_model()
    results = list(sent.run_inference(list(rows[:3]), model))

    assert sent.batch_elements_kwargs() == {"max_batch_size": 7}
    assert sent.get_num_bytes(list(rows[:3])) == rows[:3].nbytes
    assert not sent.share_model_across_processes()
    assert {result.model_id for result in results} == {reference.digest}
    (name,) = results[0].inference
    together = model.signatures[model.signature].predict(rows[:3])[name]
    assert np.stack([each.inference[name] for each in results]).tobytes() == together.tobytes()
    with pytest.raises(ValueError, match="takes no arguments"):
        list(sent.run_inference(list(rows[:3]), model, {"temperature": 1}))


def test_a_row_of_several_inputs_is_a_dictionary() -> None:
    """An array would be given to each of them."""
    from fastload.fleet.beam import _columns_of

    two: Any = SimpleNamespace(inputs={"left": "left", "right": "right"})
    row = {"left": np.zeros(1), "right": np.ones(1)}

    assert _columns_of([row, row], two)["right"].tolist() == [[1], [1]]
    with pytest.raises(TypeError, match=r"give a row as \{'left': \.\.\., 'right': \.\.\.\}"):
        _columns_of([np.zeros(1)], two)
