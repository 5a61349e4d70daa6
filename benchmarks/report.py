"""Turns measurements into `docs/benchmarks.md` and its chart."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.cases import CASES, HIT, MISS, TINY, Function, stock_loader
from benchmarks.page import Markers
from benchmarks.runner import Measurement

MARKERS: Final = Markers("benchmarks", "benchmarks")
CHART_NAME: Final = "benchmarks.svg"

_COLUMNS: Final = (
    "case",
    "weights MiB",
    "loader",
    "outcome",
    "n",
    "load: median s",
    "p95 s",
    "stock / this",
    "start to first prediction: median s",
    "stock / this",
    "peak RSS MiB",
)
_COLOURS: Final = {
    "stock_savedmodel": "#8c8c8c",
    "stock_h5": "#b3b3b3",
    "stock_keras": "#8c8c8c",
    MISS: "#e6a55c",
    HIT: "#2f6fb0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one loader in one case; ratios are to the stock loader of the same format.

    Attributes:
        case, loader: what was measured.
        outcome: how fastload served it; several, joined, if rounds differ.
        rounds: number of measurements.
        weights_mib, peak_rss_mib: medians, in MiB.
        load_s, load_p95_s, first_prediction_s: wall seconds.
        load_ratio, first_prediction_ratio: how many times faster than stock.
    """

    case: str
    loader: str
    outcome: str
    rounds: int
    weights_mib: float
    load_s: float
    load_p95_s: float
    load_ratio: float
    first_prediction_s: float
    first_prediction_ratio: float
    peak_rss_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was measured in one go.

    Attributes:
        machine: where, on what.
        measurements: the figures.
    """

    machine: Mapping[str, str]
    measurements: Sequence[Measurement]


def read_results(paths: Sequence[Path]) -> list[Run]:
    """Read files of results: one line about the machine, then one a measurement.

    A case that several files have is taken from the last of them.
    """
    runs = [_read_run(path) for path in paths]
    last = {each.case: run for run in runs for each in run.measurements}
    return [
        Run(
            machine=run.machine,
            measurements=[each for each in run.measurements if last[each.case] is run],
        )
        for run in runs
    ]


def _read_run(path: Path) -> Run:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    measurements = [Measurement(**line) for line in lines[1:]]
    return Run(machine=lines[0]["machine"], measurements=measurements)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of *values* that *percent* of them do not exceed.

    Example:
        >>> percentile([3.0, 1.0, 2.0, 4.0], 95)
        4.0
    """
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def summarise(measurements: Sequence[Measurement]) -> list[Row]:
    """Return one row for each case and loader, in the order in which they were measured."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault((measurement.case, measurement.loader), []).append(measurement)
    source = {case.name: stock_loader(case.source) for case in (*CASES, TINY)}
    return [_row(group, groups[case, source[case]]) for (case, _), group in groups.items()]


def _row(group: Sequence[Measurement], stock: Sequence[Measurement]) -> Row:
    load_s, first_s = _load_s(group), _first_prediction_s(group)
    return Row(
        case=group[0].case,
        loader=group[0].loader,
        outcome=", ".join(sorted({each.outcome for each in group})),
        rounds=len(group),
        weights_mib=group[0].weights_mib,
        load_s=load_s,
        load_p95_s=percentile([each.load_s for each in group], 95),
        load_ratio=_load_s(stock) / load_s,
        first_prediction_s=first_s,
        first_prediction_ratio=_first_prediction_s(stock) / first_s,
        peak_rss_mib=median(each.peak_rss_mib for each in group),
    )


def _load_s(group: Sequence[Measurement]) -> float:
    return median(each.load_s for each in group)


def _first_prediction_s(group: Sequence[Measurement]) -> float:
    return median(each.process_start_to_first_prediction_s for each in group)


def markdown(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """Return a line on each run, the chart and the table."""
    headers = [_header(run, is_only=len(runs) == 1) for run in runs if run.measurements]
    table = [_COLUMNS, tuple("---" for _ in _COLUMNS), *(_cells(row) for row in rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    chart = f"![Seconds to load, by case and loader]({CHART_NAME})"
    return "\n".join(["\n\n".join(headers), "", chart, "", *lines])


def _header(run: Run, *, is_only: bool) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in run.machine.items())
    cases = ", ".join(dict.fromkeys(each.case for each in run.measurements))
    return f"Measured on: {facts}." if is_only else f"{cases}: measured on: {facts}."


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.case,
        f"{row.weights_mib:.1f}",
        row.loader.replace("_", " "),
        row.outcome,
        str(row.rounds),
        f"{row.load_s:.3f}",
        f"{row.load_p95_s:.3f}",
        _ratio(row, row.load_ratio),
        f"{row.first_prediction_s:.2f}",
        _ratio(row, row.first_prediction_ratio),
        f"{row.peak_rss_mib:.0f}",
    )


def _ratio(row: Row, ratio: float) -> str:
    """A bypass is the stock loader itself: its ratio is noise, not a gain."""
    return "-" if "bypass" in row.outcome else f"{ratio:.1f}"


def write_report(results: Sequence[Path], page: Path) -> None:
    """Write table and chart of *results* into *page* and beside it."""
    runs = read_results(results)
    rows = summarise([each for run in runs for each in run.measurements])
    draw(rows, page.with_name(CHART_NAME))
    MARKERS.write(page, markdown(runs, rows))


def write_summary(results: Sequence[Path], page: Path) -> None:
    """Write a few lines of *results*, of one network in each way, into *page*."""
    runs = read_results(results)
    machine = runs[-1].machine
    by_case: dict[str, dict[str, Row]] = {}
    for row in summarise([each for run in runs for each in run.measurements]):
        by_case.setdefault(row.case, {})[row.loader] = row
    lines = [_SUMMARY_COLUMNS, ("---", *("---:" for _ in _SUMMARY_COLUMNS[1:]))]
    lines += [_summary_cells(case, by_case[case]) for case in _SUMMARY if case in by_case]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    tensorflow = machine.get("tensorflow") or machine["tensorflow-cpu"]
    where = f"{machine['CPU']}; TensorFlow {tensorflow}"
    shown = [run for run in runs if any(each.case in _SUMMARY for each in run.measurements)]
    commits = ", ".join(dict.fromkeys(run.machine["commit"] for run in shown))
    MARKERS.write(page, f"{table}\n\n{where}; commit {commits}.")


#: What says most in few lines.
_SUMMARY: Final = (
    "efficientnetb7",
    "resnet50",
    "resnet50-keras3",
    "resnet50-saved-model",
    "resnet50-predictor",
)
_SUMMARY_COLUMNS: Final = (
    "model",
    "stock load, s",
    "first load, s",
    "later loads, s",
    "later, times faster",
    "than stock HDF5",
)


def _summary_cells(case: str, rows: Mapping[str, Row]) -> tuple[str, ...]:
    known = {each.name: each for each in (*CASES, TINY)}[case]
    stock = rows[stock_loader(known.source)]
    label = f"{case} ({stock.loader.removeprefix('stock_')})"
    if known.function is not Function.LOAD_MODEL:
        label = f"{known.network} ({known.function.value}, {known.function.stands_in_for})"
    hit, hdf5 = rows[HIT], rows.get("stock_h5")
    over_hdf5 = f"{hdf5.load_s / hit.load_s:.1f}" if hdf5 and "bypass" not in hit.outcome else ""
    return (
        label,
        f"{stock.load_s:.2f}",
        f"{rows[MISS].load_s:.2f}",
        f"{hit.load_s:.3f}",
        _ratio(hit, hit.load_ratio),
        over_hdf5,
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the median load of each row as a bar, cases apart, on a logarithmic scale."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same figures give the same file, so that a commit shows what changed.
    mpl.rcParams["svg.hashsalt"] = "fastload"
    figure = Figure(figsize=(9, 1.5 + 0.24 * len(rows)), layout="constrained")
    _draw_bars(figure.add_subplot(), rows)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _draw_bars(axes: Any, rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(row.case for row in rows))
    places = [place + names.index(row.case) for place, row in enumerate(rows)]
    bars = axes.barh(
        places, [row.load_s for row in rows], color=[_COLOURS[row.loader] for row in rows]
    )
    axes.bar_label(bars, [f"{row.load_s:.3g} s" for row in rows], padding=3, fontsize=7)
    labels = [f"{row.case}: {row.loader.replace('_', ' ')} ({row.outcome})" for row in rows]
    axes.set_yticks(places, labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_xlabel("seconds to load, median, TensorFlow and Keras already imported")
