"""`explain`: what loads would do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fastload.cli.options import as_json, keras_choice
from fastload.cli.output import say

if TYPE_CHECKING:
    from fastload.api.explain import Explanation, Function
    from fastload.runtime.core.keras import KerasChoice


@click.command(short_help="Say what a load would do now, and why.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@keras_choice
@click.option(
    "--function",
    type=click.Choice(["load_model", "load_saved_model", "load_predictor", "load_weights"]),
    default="load_model",
    show_default=True,
    help="The function that would load it; tf.saved_model.load is load_saved_model.",
)
@as_json
def explain(
    paths: tuple[str, ...], keras: KerasChoice, function: Function, *, as_json: bool
) -> None:
    """Say what loading each PATH would do now, and why. Nothing is loaded or written."""
    import fastload

    explanations = [fastload.explain(path, keras=keras, function=function) for path in paths]
    document = {"models": [asdict(each) for each in explanations]}
    say(document, _text(explanations), as_json=as_json)


def _text(explanations: Iterable[Explanation]) -> Iterator[str]:
    for each in explanations:
        code = f" [{each.code}]" if each.code else ""
        yield f"{each.path}: {each.function}: {each.outcome.value}{code}: {each.reason}"
        if each.twin is not None:
            yield f"    {each.twin}"
