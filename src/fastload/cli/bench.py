"""`bench`: what loads of one's own model take, by stock and by fastload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fastload import system
from fastload.cli.options import OutputPath, as_json, keras_choice
from fastload.cli.output import progress, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from fastload.api.explain import Function
    from fastload.bench.ground import Step
    from fastload.bench.result import Bench, Comparison, Timing
    from fastload.runtime.core.keras import KerasChoice

_COLUMNS: Final = (
    "",
    "load",
    "times faster",
    "first prediction",
    "process",
    "times faster ",
    "peak",
)


@click.command(short_help="Measure a model of yours: stock against fastload.")
@click.argument("path", type=click.Path())
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Processes for each figure; the figures are medians.",
)
@keras_choice
@click.option("--signature", help="The function of a SavedModel that predicts.")
@click.option(
    "--function",
    "functions",
    multiple=True,
    type=click.Choice(["load_model", "load_saved_model", "load_predictor"]),
    help="Measure this function alone; may be given several times. [default: all that fit]",
)
@click.option("--profile", is_flag=True, help="Also show where the time goes, by phase.")
@click.option(
    "--html",
    type=OutputPath(),
    help="Write a page with charts to this file.",
)
@as_json
def bench(  # noqa: PLR0913 - click hands over each option
    path: str,
    rounds: int,
    keras: KerasChoice,
    signature: str | None,
    functions: tuple[Function, ...],
    *,
    profile: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure loads of the model at PATH: stock against fastload, in fresh processes.

    What both predict is compared first. The cache is a temporary one.
    """
    from fastload.bench.measure import bench as measure

    if html is not None and not html.absolute().parent.is_dir():  # before minutes are spent
        raise click.BadParameter(f"there is no folder {str(html.parent)!r}", param_hint="--html")
    with _progress() as tell:
        found = measure(
            path,
            rounds=rounds,
            keras=keras,
            signature=signature,
            functions=functions,
            is_profiled=profile or html is not None,
            tell=tell,
        )
    if html is not None:
        from fastload.bench.page import page

        system.write_bytes(html, page(found).encode())
    text = _text(found, html, is_profiled=profile)
    say(found.to_document(), text, as_json=as_json)


@contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """Show, on a terminal, how many processes are left, and what the one that runs does."""
    with progress() as bar:
        task = bar.add_task("", total=None)
        yield lambda step: bar.update(
            task, completed=step.done, total=step.total, description=step.what
        )


def _text(found: Bench, html: Path | None, *, is_profiled: bool) -> Iterator[str | Table]:
    from fastload.bench.verdict import size

    yield f"{found.path}: {found.kind}, {size(found.size_bytes)}"
    for each in found.comparisons:
        yield ""
        yield from _comparison(each)
        if is_profiled and each.profile is not None:
            yield ""
            yield _profile(each)
    yield ""
    yield _footnote(found)
    if html is not None:
        yield f"The page is {html}"


def _comparison(found: Comparison) -> Iterator[str | Table]:
    from fastload.bench.verdict import verdict

    yield f"fastload.{found.function}, against {found.stock_name}"
    timings = (
        ("stock", found.stock, False),
        ("first load", found.first, False),
        ("later loads", found.later, True),
    )
    rows = [_row(name, timing, found, is_later) for name, timing, is_later in timings if timing]
    if rows:
        yield table(rows, *_COLUMNS, folds="", numbers=_COLUMNS[1:])
        yield f"Outputs: {found.uncompared or 'equal to those of stock, bit for bit'}"
    if not found.compiled:
        yield "Loaded with compile=False, because the stock loader cannot compile this model"
    yield verdict(found)


def _row(name: str, timing: Timing, found: Comparison, is_later: bool) -> tuple[str, ...]:  # noqa: FBT001 - of this module's own
    from fastload.bench.verdict import ratio, seconds, size

    return (
        name,
        seconds(timing.load_s),
        ratio(found.load_ratio).removesuffix(" times") if is_later else "",
        "-" if timing.predict_s is None else seconds(timing.predict_s),
        seconds(timing.process_s),
        ratio(found.process_ratio).removesuffix(" times") if is_later else "",
        size(timing.peak_bytes),
    )


def _profile(found: Comparison) -> Table:
    from fastload.bench.verdict import seconds

    profile = found.profile
    assert profile is not None  # noqa: S101 - the caller looked
    loads = (("stock", profile.stock), ("first load", profile.first), ("later", profile.later))
    rows = [
        (load if number == 0 else "", phase, seconds(took_s), f"{took_s / total_s:.0%}")
        for load, phases in loads
        if (total_s := sum(phases.values())) > 0
        for number, (phase, took_s) in enumerate(_longest(phases.items()))
    ]
    return table(rows, "load", "phase", "time", "share", folds="phase", numbers=("time", "share"))


def _longest(phases: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the phases that took any time, the longest one first."""
    taken = [(name, took_s) for name, took_s in phases if took_s > 0]
    return sorted(taken, key=lambda phase: -phase[1])


def _footnote(found: Bench) -> str:
    processes = "process" if found.rounds == 1 else "processes"
    versions = ", ".join(f"{name} {value}" for name, value in found.machine.items())
    return f"Medians of {found.rounds} {processes} each, which took turns; {versions}"
