"""`warm`: write twins now, and compare them with stock loads on request."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cli.options import as_json, keras_choice
from fastload.cli.output import (
    counted,
    described,
    line_of,
    progress,
    say,
    shown_seconds,
    shown_size,
)
from fastload.errors import FastloadError
from fastload.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from fastload.report import LoadReport
    from fastload.runtime.core.keras import KerasChoice

_SHOWN_DIFFERENCES: Final = 5
#: What JSON output has of a load report, and what the report calls it.
_OF_THE_REPORT: Final = {
    "outcome": "outcome",
    "twin": "twin",
    "weights_bytes": "size_bytes",
    "seconds": "seconds",
    "reason": "reason",
    "store": "store",
}
_logger: Final = logging.getLogger(__name__)


@click.command(short_help="Write twins before they are needed.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@keras_choice
@click.option("--verify", is_flag=True, help="Compare weights and outputs with a stock load.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a read-only layer, for FASTLOAD_CACHE_PATH, to this folder; not to the cache.",
)
@click.option("--publish", is_flag=True, help="Put the twins into the store of FASTLOAD_REMOTE.")
@as_json
@click.pass_context
def warm(  # noqa: PLR0913 - click hands over each option
    context: click.Context,
    paths: tuple[str, ...],
    keras: KerasChoice,
    *,
    verify: bool,
    into: Path | None,
    publish: bool,
    as_json: bool,
) -> None:
    """Write the twin of the model at each PATH, so that no later load has to."""
    if verify and into is not None:
        raise click.UsageError("--verify compares what the cache has, not a layer.")
    if publish and not os.environ.get("FASTLOAD_REMOTE"):
        raise click.UsageError("--publish needs FASTLOAD_REMOTE, the address of a store.")
    with redirect_stdout(sys.stderr):
        warmed = [
            _warmed_apart(path, keras, into, publish=publish)
            if into is not None and len(paths) > 1
            else _warmed(path, keras, into, verify=verify, publish=publish)
            for path in _with_progress(paths)
        ]
    document = {"models": warmed}
    say(document, _text(warmed), as_json=as_json)
    context.exit(0 if all(map(_is_fine, warmed)) else 1)


def _with_progress(paths: Sequence[str]) -> Iterator[str]:
    """Yield each path; a terminal shows which one is being read, and how many are left."""
    with progress() as bar:
        task = bar.add_task("", total=len(paths))
        for path in paths:
            bar.update(task, description=path)
            yield path
            bar.advance(task)


def _warmed_apart(path: str, keras: KerasChoice, into: Path, *, publish: bool) -> dict[str, Any]:
    """Do as `_warmed`, in a process that has not imported TensorFlow before.

    Only such a process can say that what it makes is of the installed files' code, so that other
    processes may use that without importing Keras.
    """
    from fastload.cli.apart import told_apart  # brings numpy, which other verbs do without

    words = ["--keras", keras, "--json", "--into", str(into), *(["--publish"] if publish else [])]
    try:
        told = told_apart(["warm", *words, "--", path], into)
    except (FastloadError, OSError, ValueError) as error:
        return _told(path, fault=_fault(path, error))
    return {**told, "outcome": told["outcome"] and Outcome(told["outcome"])}


def _warmed(
    path: str, keras: KerasChoice, into: Path | None, *, verify: bool, publish: bool
) -> dict[str, Any]:
    """Write the twin of one model; return what JSON output has of it.

    An error is recorded, and does not keep other models from theirs.
    """
    import fastload

    report = verification = fault = None
    try:
        report = fastload.warm(path, keras=keras, into=into, publish=publish)
        verification = _verified(path, keras) if verify else None
    except Exception as error:  # noqa: BLE001 - Keras may raise anything
        fault = _fault(path, error)
    return _told(path, report, verification=verification, fault=fault)


def _fault(path: str, error: Exception) -> dict[str, str]:
    if not isinstance(error, FastloadError):
        _logger.debug("%s cannot be warmed", path, exc_info=error)
    return described(error)


def _told(
    path: str,
    report: LoadReport | None = None,
    *,
    verification: Mapping[str, Any] | None = None,
    fault: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    told = {key: getattr(report, name, None) for key, name in _OF_THE_REPORT.items()}
    return {"path": path, **told, "verification": verification, "error": fault}


def _verified(path: str, keras: KerasChoice) -> dict[str, Any]:
    from fastload.api.against_stock import verify_against_stock

    found = verify_against_stock(path, keras=keras)
    return {"equal": found.is_equal, "verified": found.is_verified, **asdict(found)}


def _is_fine(warmed: Mapping[str, Any]) -> bool:
    """Say whether there is a twin and nothing that was compared differs."""
    verification = warmed["verification"]
    return warmed["error"] is None and (verification is None or verification["equal"])


def _text(warmed: Iterable[Mapping[str, Any]]) -> Iterator[Text | str]:
    from rich.text import Text

    for each in warmed:
        yield Text(f"{each['path']}: {_verdict(each)}", style="" if _is_fine(each) else "red")
        if each["verification"] is not None:
            yield from (f"    {line}" for line in _comparison(each["verification"]))


def _verdict(warmed: Mapping[str, Any]) -> str:
    if warmed["error"] is not None:
        return line_of(warmed["error"])
    done = "written" if warmed["outcome"].value == "miss" else "was there already"
    done = f"fetched from {warmed['store']}" if warmed["store"] else done
    weights = f"{shown_size(warmed['weights_bytes'])} of weights"
    note = f"; {warmed['reason']}" if warmed["reason"] else ""
    return f"twin {done} ({weights}, {shown_seconds(warmed['seconds'])}){note}"


def _comparison(verification: Mapping[str, Any]) -> Iterator[str]:
    """Yield the result of the comparison with stock, line by line."""
    weights, outputs = verification["weight_differences"], verification["output_differences"]
    if not weights:
        yield f"{counted(verification['weight_count'], 'weight')} equal to stock's, bit for bit"
    if verification["skipped"] is not None:
        yield f"outputs not compared: {verification['skipped']}"
    elif not outputs:
        compared = counted(verification["outputs_compared"], "output")
        yield f"{compared} equal to stock's on seeded inputs"
    differences = (*weights, *outputs)
    yield from (f"DIFFERS: {each}" for each in differences[:_SHOWN_DIFFERENCES])
    if len(differences) > _SHOWN_DIFFERENCES:
        yield f"and {len(differences) - _SHOWN_DIFFERENCES} more differences"
    if not verification["compiled"]:
        yield "both loaded with compile=False, because the stock loader cannot compile this model"
    stock, hit = verification["stock_seconds"], verification["hit_seconds"]
    ratio = stock / max(hit, 1e-6)
    yield f"stock {shown_seconds(stock)}, hit {shown_seconds(hit)}: {ratio:.1f} times faster"
