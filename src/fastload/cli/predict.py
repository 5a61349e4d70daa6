"""`predict`: run one signature of a model on inputs from a file."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastload.cli.options import OutputPath, as_json, keras_choice
from fastload.cli.output import print_json, say, shown_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastload.runtime.core.keras import KerasChoice


@click.command(short_help="Run a model on arrays in files.")
@click.argument("path", type=click.Path())
@click.option(
    "--signature", help="The signature to run; by default serving_default, or the only one."
)
@click.option(
    "--inputs",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .npy array, a .npz archive by input name, or .json: nested lists, or these by name.",
)
@click.option(
    "--output",
    type=OutputPath(),
    help="Where to write: .npy for one output, else .npz or .json; by default JSON is printed.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Run on so many rows at a time.")
@click.option("--device", help="The device to run on, as in tf.device.")
@keras_choice
@as_json
def predict(  # noqa: PLR0913, PLR0917 - one for each option
    path: str,
    signature: str | None,
    inputs: Path,
    output: Path | None,
    batch_size: int | None,
    device: str | None,
    keras: KerasChoice,
    *,
    as_json: bool,
) -> None:
    """Run a signature of the model at PATH.

    JSON has no number for "NaN", "Infinity" and "-Infinity": they are text in outputs, and where a
    model takes floating point, in inputs.
    """
    import fastload
    from fastload.cli.arrays import read_inputs, with_numbers, write_outputs, writer_of

    write = writer_of(output) if output else None  # a wrong suffix fails before the load
    values = read_inputs(inputs)
    with redirect_stdout(sys.stderr):
        predictor = fastload.load_predictor(path, signature, device=device, keras=keras)
        function = predictor.signatures[predictor.signature]
        values = with_numbers(values, function.input_specs)
        outputs = (
            function.call(values, {})
            if batch_size is None
            else function.predict(values, batch_size=batch_size)
        )
    if output and write:
        write_outputs(output, write, outputs)
    _tell(outputs, output, as_json=as_json)


def _tell(outputs: Mapping[str, Any], output: Path | None, *, as_json: bool) -> None:
    import fastload
    from fastload.cli.arrays import plain_outputs

    report = fastload.last_load()
    document: dict[str, Any] = {}
    if report is not None:
        document = {"outcome": report.outcome, "reason": report.reason, "seconds": report.seconds}
    if output is None:
        document["outputs"] = plain_outputs(outputs)
    if output is None and not as_json:
        print_json(document["outputs"])
        return
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in outputs.items())
    loaded = f"loaded in {shown_seconds(document['seconds'])}" if document else "loaded"
    say(document, [f"{output}: {shapes} ({loaded})"], as_json=as_json)
