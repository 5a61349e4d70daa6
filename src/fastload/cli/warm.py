"""`warm`: write twins now, and compare them with stock loads on request."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cli.options import as_json, keras_choice
from fastload.cli.output import (
    console,
    counted,
    described,
    line_of,
    say,
    shown_seconds,
    shown_size,
)
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from fastload.api.verify import Verification
    from fastload.report import LoadReport
    from fastload.runtime.core.keras import KerasChoice

_SHOWN_DIFFERENCES: Final = 5
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """What was done for one path.

    Attributes:
        path: as it was given.
        report: the report of `fastload.warm`, or None if it failed.
        verification: how the twin compares with stock, if that was asked for.
        fault: why there is no twin, or no comparison, as in a JSON document; or None.
    """

    path: str
    report: LoadReport | None = None
    verification: Verification | None = None
    fault: Mapping[str, str] | None = None

    @property
    def is_fine(self) -> bool:
        """True if there is a twin and nothing that was compared differs."""
        return self.fault is None and (self.verification is None or self.verification.is_equal)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@keras_choice
@click.option("--verify", is_flag=True, help="Compare weights and outputs with a stock load.")
@as_json
@click.pass_context
def warm(
    context: click.Context,
    paths: tuple[str, ...],
    keras: KerasChoice,
    *,
    verify: bool,
    as_json: bool,
) -> None:
    """Write the twin of the model at each PATH, so that no later load has to."""
    with redirect_stdout(sys.stderr):
        warmed = [_warmed(path, keras, verify=verify) for path in _with_progress(paths)]
    document = {"models": [_document(each) for each in warmed]}
    say(document, _text(warmed), as_json=as_json)
    context.exit(0 if all(each.is_fine for each in warmed) else 1)


def _with_progress(paths: Sequence[str]) -> Iterator[str]:
    """Yield each path; a terminal shows which one is being read, and how many are left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    screen = console(of_errors=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=len(paths))
        for path in paths:
            bar.update(task, description=path)
            yield path
            bar.advance(task)


def _warmed(path: str, keras: KerasChoice, *, verify: bool) -> Warmed:
    """Write the twin of one model; an error is recorded, and does not keep others from theirs."""
    import fastload

    report = None
    try:
        report = fastload.warm(path, keras=keras)
        verification = _verified(path, keras) if verify else None
    except FastloadError as error:
        return Warmed(path=path, report=report, fault=described(error))
    except Exception as error:  # Keras may raise anything
        _logger.debug("%s cannot be warmed", path, exc_info=True)
        return Warmed(path=path, report=report, fault=described(error))
    return Warmed(path=path, report=report, verification=verification)


def _verified(path: str, keras: KerasChoice) -> Verification:
    from fastload.api.verify import verify_against_stock

    return verify_against_stock(path, keras=keras)


def _document(warmed: Warmed) -> dict[str, Any]:
    report, verification = warmed.report, warmed.verification
    return {
        "path": warmed.path,
        "outcome": report.outcome if report else None,
        "twin": report.twin if report else None,
        "weights_bytes": report.size_bytes if report else None,
        "seconds": report.seconds if report else None,
        "reason": report.reason if report else None,
        "verification": _verification_document(verification) if verification else None,
        "error": warmed.fault,
    }


def _verification_document(verification: Verification) -> dict[str, Any]:
    return {
        "equal": verification.is_equal,
        "verified": verification.is_verified,
        **asdict(verification),
    }


def _text(warmed: Iterable[Warmed]) -> Iterator[Text | str]:
    from rich.text import Text

    for each in warmed:
        yield Text(f"{each.path}: {_verdict(each)}", style="" if each.is_fine else "red")
        if each.verification is not None:
            yield from (f"    {line}" for line in _comparison(each.verification))


def _verdict(warmed: Warmed) -> str:
    if warmed.fault is not None:
        return line_of(warmed.fault)
    report = warmed.report
    if report is None:
        return "nothing was done"
    done = "written" if report.outcome.value == "miss" else "was there already"
    size = shown_size(report.size_bytes)
    note = f"; {report.reason}" if report.reason else ""
    return f"twin {done} ({size} of weights, {shown_seconds(report.seconds)}){note}"


def _comparison(verification: Verification) -> Iterator[str]:
    """Yield the result of the comparison with stock, line by line."""
    differences = (*verification.weight_differences, *verification.output_differences)
    if not verification.weight_differences:
        yield f"{counted(verification.weight_count, 'weight')} equal to stock's, bit for bit"
    if verification.skipped is not None:
        yield f"outputs not compared: {verification.skipped}"
    elif not verification.output_differences:
        outputs = counted(verification.outputs_compared, "output")
        yield f"{outputs} equal to stock's on seeded inputs"
    yield from (f"DIFFERS: {each}" for each in differences[:_SHOWN_DIFFERENCES])
    if len(differences) > _SHOWN_DIFFERENCES:
        yield f"and {len(differences) - _SHOWN_DIFFERENCES} more differences"
    if not verification.compiled:
        yield "both loaded with compile=False, because the stock loader cannot compile this model"
    ratio = verification.stock_seconds / max(verification.hit_seconds, 1e-6)
    yield (
        f"stock {shown_seconds(verification.stock_seconds)}, "
        f"hit {shown_seconds(verification.hit_seconds)}: {ratio:.1f} times faster"
    )
