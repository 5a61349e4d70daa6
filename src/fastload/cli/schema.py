"""`schema`: what the documents of `--json` look like."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import click

from fastload.cli.output import print_json


def schemas() -> dict[str, Any]:
    """Return the JSON schema of the documents of each verb that has `--json`, and of errors."""
    folder = resources.files(__package__).joinpath("schemas")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".json")
    }


@click.command(short_help="Print the JSON schemas of --json.")
@click.argument("verb", required=False)
def schema(verb: str | None) -> None:
    """Print the JSON schema of what VERB prints with --json (`error`: where it fails).

    Without VERB, of all of them, by name. Later versions may add members to a document; none is
    removed or gets another meaning.
    """
    found = schemas()
    if verb is None:
        print_json(found)
        return
    if verb not in found:
        raise click.BadParameter(f"no document of {verb!r}; there are {', '.join(found)}")
    print_json(found[verb])
