"""`python -m fastload.bench.child JOB`: loads once, predicts once, and prints one line of JSON.

It imports nothing early that a program of the user's would not: what a load imports is part of the
figure.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fastload
from fastload.bench.job import Job, Told
from fastload.bench.outputs import peak_bytes
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastload.runtime.core.keras import Keras


def run(job: Job) -> Told:
    """Load and predict as *job* says; what a load raises is told."""
    try:
        model, told = _by_stock(job) if job.is_stock else _by_fastload(job)
    except FastloadError as error:
        return Told(error={"code": error.code, "message": error.explanation()})
    except Exception as error:  # noqa: BLE001 - whatever a stock loader raises
        kind = type(error).__name__
        return Told(error={"code": kind, "message": f"{kind}: {error}"})
    if job.predicts:
        from fastload.bench.predict import predicted

        told = predicted(job, model, told)
    return replace(told, cpu_s=time.process_time(), peak_bytes=peak_bytes())


def _by_fastload(job: Job) -> tuple[Any, Told]:
    """Load as a program does that has asked fastload for nothing yet: its imports count."""
    start = time.perf_counter()
    model = _loaded(job)
    took_s = time.perf_counter() - start
    report = fastload.last_load()
    assert report is not None  # noqa: S101 - every load leaves one
    told = Told(
        outcome=report.outcome.value,
        reason=report.reason if report.twin is None else None,
        code=report.code,
        entry=None if report.twin is None else report.twin.stem,
        weights_bytes=report.size_bytes,
        compile=job.compile is not False,
        import_s=report.import_seconds,
        load_s=took_s - report.import_seconds,
        phases={name: s for name, s in report.phases.items() if name != "import"},
    )
    return model, told


def _loaded(job: Job) -> Any:
    if job.function == "load_model":
        return fastload.load_model(job.path, compile=job.compile is not False, keras=job.keras)
    if job.function == "load_saved_model":
        return fastload.load_saved_model(job.path)
    return fastload.load_predictor(job.path, job.signature, keras=job.keras)


def _by_stock(job: Job) -> tuple[Any, Told]:
    """Load with the stock loader; where that is left open, without compiling if it cannot."""
    start = time.perf_counter()
    keras, load = _of_keras(job) if job.function == "load_model" else _of_tensorflow(job)
    import_s = time.perf_counter() - start
    compiled = job.compile is not False
    try:
        model, load_s, phases = _timed(job, keras, lambda: load(compiled))
    except Exception as error:
        if job.compile is not None:
            raise
        compiled = False
        try:
            model, load_s, phases = _timed(job, keras, lambda: load(compiled))
        except Exception:  # noqa: BLE001 - the first one says more
            raise error from None
    told = Told(outcome="stock", compile=compiled, import_s=import_s, load_s=load_s, phases=phases)
    return model, told


def _timed(
    job: Job, keras: Keras | None, load: Callable[[], Any]
) -> tuple[Any, float, dict[str, float]]:
    if job.is_profiled:
        # Imported here: only such a process is asked where the time goes.
        from fastload.runtime.core.stock_phases import taken_apart

        return taken_apart(load, keras)
    start = time.perf_counter()
    model = load()
    return model, time.perf_counter() - start, {}


def _of_keras(job: Job) -> tuple[Keras, Callable[[bool], Any]]:
    from fastload.runtime.core.keras import keras_of

    chosen = keras_of(job.keras)
    load, objects = chosen.load_model, _objects(job, chosen)
    return chosen, lambda compiled: load(job.path, custom_objects=objects, compile=compiled)


def _objects(job: Job, chosen: Keras) -> dict[str, Any] | None:
    """Return what fastload finds by itself, and the stock loader has to be given."""
    from fastload import registry
    from fastload.runtime.core.keras import is_known

    return registry.resolve(job.objects, lambda name: is_known(chosen, name)) or None


def _of_tensorflow(job: Job) -> tuple[None, Callable[[bool], Any]]:
    from fastload.runtime.core.tensorflow import load_saved_model, tensorflow

    tensorflow()
    return None, lambda _: load_saved_model(job.path)


def main(text: str) -> None:
    """Do the job that *text* describes; standard output carries what is told alone."""
    with redirect_stdout(sys.stderr):
        told = run(Job.of_json(text))
    sys.stdout.write(told.to_json() + "\n")
    sys.stdout.flush()
    from fastload.loading.behind import wait_for_all

    wait_for_all()  # or the next process would find no twin
    # Taking TensorFlow down takes longer than some loads, and is no part of them.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
