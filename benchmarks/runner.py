"""Measures one load in this process, which does nothing else, and prints one JSON line.

`python -m benchmarks.runner JOB` with a `Job` as JSON; `measure` starts one for each figure.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.cases import Function, Generation
from benchmarks.networks import SEED, stock_keras
from fastload.bench.outputs import digest, peak_bytes
from fastload.loading.behind import wait_for_all

_SIGNATURE: Final = "serving_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One load to measure.

    Attributes:
        case: name of the case.
        loader: name of the loader.
        path: the model.
        generation: value of the Keras generation that loads.
        input_shape: shape of the batch to predict.
        compile: passed to the loader.
        function: name of the function of fastload that is measured.
        started: `time.time()` just before this process was started.
    """

    case: str
    loader: str
    path: str
    generation: str
    input_shape: tuple[int, ...]
    compile: bool
    function: str
    started: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one load cost and gave.

    Attributes:
        case: name of the case.
        loader: name of the loader.
        load_s: wall seconds of the call, TensorFlow and Keras imported before.
        process_start_to_first_prediction_s: wall seconds, imports included.
        peak_rss_mib: largest resident memory of the process up to then, in MiB.
        weights_mib: bytes of the model's weights, in MiB.
        digest: SHA-256 of what the model predicted.
        outcome: `hit`, `miss` or `bypass`; `stock` for a stock loader.
        reason: why fastload left the load to the stock loader, or None.
    """

    case: str
    loader: str
    load_s: float
    process_start_to_first_prediction_s: float
    peak_rss_mib: float
    weights_mib: float
    digest: str
    outcome: str
    reason: str | None = None


def run(job: Job) -> Measurement:
    """Load, predict once, and say what it cost."""
    keras = stock_keras(Generation(job.generation))
    load, predict = _steps(job, keras)
    start = time.perf_counter()
    model = load()
    load_s = time.perf_counter() - start
    prediction = predict(model, _batch(job.input_shape))
    first_prediction_s = time.time() - job.started
    outcome, reason = _outcome(job.loader)
    return Measurement(
        case=job.case,
        loader=job.loader,
        load_s=load_s,
        process_start_to_first_prediction_s=first_prediction_s,
        peak_rss_mib=peak_bytes() / 2**20,
        weights_mib=_weights_nbytes(job, model) / 2**20,
        digest=digest(prediction),
        outcome=outcome,
        reason=reason,
    )


def _steps(job: Job, keras: Any) -> tuple[Callable[[], Any], Callable[[Any, Any], Any]]:
    """Return what loads and what predicts."""
    is_stock = job.loader.startswith("stock_")
    if job.function != Function.LOAD_MODEL.value:
        tf = importlib.import_module("tensorflow")
        load = tf.saved_model.load if is_stock else getattr(_fastload(), job.function)
        return lambda: load(job.path), _call_signature
    load = keras.models.load_model if is_stock else _fastload().load_model
    return lambda: load(job.path, compile=job.compile), _predict


def _fastload() -> Any:
    return importlib.import_module("fastload")


def _predict(model: Any, batch: Any) -> Any:
    return model.predict(batch, verbose=0)


def _call_signature(loaded: Any, batch: Any) -> Any:
    function = loaded.signatures[_SIGNATURE]
    is_predictor = hasattr(function, "input_specs")
    (name,) = function.input_specs if is_predictor else function.structured_input_signature[1]
    tf = importlib.import_module("tensorflow")
    return {key: value.numpy() for key, value in function(**{name: tf.constant(batch)}).items()}


def _weights_nbytes(job: Job, model: Any) -> int:
    if job.function == Function.LOAD_MODEL.value:
        return sum(map(_nbytes, model.weights))
    function = model.signatures[_SIGNATURE]
    if hasattr(function, "variables"):
        return sum(map(_nbytes, function.variables))
    size: int = _fastload().last_load().size_bytes  # a predictor has no variables
    return size


def _outcome(loader: str) -> tuple[str, str | None]:
    if loader.startswith("stock_"):
        return "stock", None
    report = _fastload().last_load()
    if report is None:
        raise RuntimeError("fastload left no report")
    return report.outcome.value, report.reason


def _batch(shape: tuple[int, ...]) -> Any:
    import numpy as np

    return np.random.default_rng(SEED).random(shape, dtype=np.float32)


def _nbytes(weight: Any) -> int:
    import numpy as np

    # `dtype` is a name in Keras 3 and an object of TensorFlow in Keras 2.
    dtype: np.dtype[Any] = np.dtype(getattr(weight.dtype, "name", weight.dtype))
    elements: int = math.prod(weight.shape)
    return elements * dtype.itemsize


def main(text: str) -> None:
    """Run the job that *text* describes; standard output carries the JSON line alone."""
    job = Job(**json.loads(text))
    with redirect_stdout(sys.stderr):
        measurement = run(job)
    sys.stdout.write(json.dumps(asdict(measurement)) + "\n")
    sys.stdout.flush()
    wait_for_all()  # or the next process would find no twin
    # Taking TensorFlow down takes longer than some loads, and nothing is left to measure.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
