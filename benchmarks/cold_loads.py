"""Loads alone of predictors, against stock's: no process start, no imports."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.cases import HIT, Format, select, stock_loader
from benchmarks.measure import check_output, measure_once, prepare

HEADINGS: Final = (
    "network",
    "n",
    "`tf_keras` `load_model` s",
    "`load_predictor` s",
    "times faster",
)
#: Names of networks with a SavedModel of Keras 2.
LOADS: Final = ("resnet50", "sleepecg", "efficientnetb7", "panopticnet")
_STOCK: Final = stock_loader(Format.SAVED_MODEL)


def load_rows(names: Sequence[str], rounds: int, work: Path) -> Iterator[tuple[str, ...]]:
    """Yield a row for each network: the loads take turns, each in a process of its own.

    `benchmarks.runner` takes the time of each: TensorFlow, Keras and fastload are imported before,
    and fastload sees to it that the model is what it was.

    Args:
        names: of networks.
        rounds: how often each load is measured.
        work: the folder that keeps models and caches.

    Raises:
        BenchmarkError: a load failed, or the predictor predicts other bytes than the signature.
    """
    for name in names:
        seconds = {
            loader: statistics.median(each) for loader, each in _seconds(name, rounds, work).items()
        }
        stock_s = seconds[_STOCK]
        ours_s = seconds[HIT]
        yield name, str(rounds), f"{stock_s:.3f}", f"{ours_s:.4f}", f"{stock_s / ours_s:.0f}"


def _seconds(name: str, rounds: int, work: Path) -> dict[str, list[float]]:
    """Return the times of each loader."""
    model, predictor = select(name)[0], select(f"{name}-predictor")[0]
    for case in (model, predictor):
        prepare(case, work)
    expected: dict[str, str] = {}
    # Not counted: what `tf.saved_model.load` gives, for the predictor to be compared with.
    check_output(measure_once(predictor, _STOCK, work), expected)
    loads = [(model, _STOCK), (predictor, HIT)]
    seconds: dict[str, list[float]] = {loader: [] for _, loader in loads}
    for _ in range(rounds):
        for case, loader in loads:
            found = measure_once(case, loader, work)
            check_output(found, expected)
            seconds[loader].append(found.load_s)
    return seconds
