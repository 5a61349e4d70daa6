"""Measurements that nobody took: for what is told of them."""

from __future__ import annotations

from typing import Any

from fastload.bench.job import Told
from fastload.bench.profile import LoadProfile
from fastload.bench.result import Bench, Comparison, Timing

STOCK_PHASES = {
    "parse": 0.02,
    "functions": 1.4,
    "tracing": 0.9,
    "initialisation": 0.3,
    "restore": 0.28,
    "compile": 0.1,
    "python": 0.4,
}
LATER_PHASES = {"detect": 0.0002, "identify": 0.0004, "twin": 0.001, "restore": 0.25, "rest": 0.01}
FIRST_PHASES = {"detect": 0.0002, "identify": 0.09, "twin": 1.1, "restore": 0.4, "rest": 0.02}


def told(load_s: float, wall_s: float, **others: Any) -> Told:
    """Return what a process might tell."""
    return Told(
        load_s=load_s,
        wall_s=wall_s,
        **{"import_s": 2.0, "predict_s": 0.3, "cpu_s": wall_s, "peak_bytes": 2**29, **others},
    )


def timing(load_s: float, wall_s: float, **others: Any) -> Timing:
    """Return three processes, of which the second is in the middle."""
    shares = (1.3, 1.0, 0.9)
    return Timing(samples=tuple(told(load_s * s, wall_s * s, **others) for s in shares))


def comparison(
    stock_s: float = 3.4, first_s: float = 4.6, later_s: float = 0.26, **others: Any
) -> Comparison:
    """Return a function that is worth it, or as the seconds say."""
    return Comparison(
        function="load_model",
        stock_name="tf.keras.models.load_model",
        **{
            "stock": timing(stock_s, stock_s + 3),
            "first": timing(first_s, first_s + 3, peak_bytes=1.21 * 2**30),
            "later": timing(later_s, later_s + 2.5, phases=LATER_PHASES),
            **others,
        },
    )


def profile() -> LoadProfile:
    """Return where the time of these loads goes."""
    return LoadProfile(
        path="m",
        function="load_model",
        stock=STOCK_PHASES,
        first=FIRST_PHASES,
        later=LATER_PHASES,
    )


def bench(*comparisons: Comparison) -> Bench:
    """Return what a bench of a model with a long name and some markup in it might find."""
    return Bench(
        path="/srv/models/<b>a & b</b>/a_rather_long_name_of_a_model_that_somebody_gave_it.keras",
        kind="keras_archive",
        size_bytes=102_400_000,
        weights_bytes=102_000_000,
        rounds=3,
        machine={"date": "2026-01-02", "CPU": "some processor with a long name, 2 cores"},
        comparisons=comparisons,
    )


def everything() -> Bench:
    """Return one that has all that a page can have."""
    return bench(
        comparison(profile=profile()),
        comparison(stock_s=0.02, first_s=0.3, later_s=0.021),
        comparison(stock=None, refusal="File format not supported: x", uncompared="no stock"),
        comparison(stock=None, first=None, later=None, reason="options= was given", code="FL206"),
        comparison(later_s=3.3, first_s=9.0, compiled=False, uncompared="inputs cannot be made up"),
    )
