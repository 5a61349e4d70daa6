"""`doctor`: what this Python, its TensorFlow and its cache make of fastload."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import fastload
from fastload.cache.mounts import is_network_filesystem
from fastload.cli.internals import report_internals
from fastload.cli.output import Column, as_json, print_facts, print_line, print_table, say
from fastload.cli.running import find_pth
from fastload.cli.selection import located_cache
from fastload.cli.units import shown_size
from fastload.errors import CacheError
from fastload.flags import DEFER, DISABLE, LAZY_IMPORT, OPT_IN, flag
from fastload.imports.expected_tensorflow import expected

if TYPE_CHECKING:
    from fastload.hooks.diagnosis import Diagnosis

_DISTRIBUTIONS: Final = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "tf-keras",
    "h5py",
    "numpy",
    "wrapt",
)


@click.command()
@click.argument("modules", metavar="[MODULE]...", nargs=-1)
@click.option(
    "--internals",
    is_flag=True,
    help="Print which private names of TensorFlow and Keras are found here, and nothing else.",
)
@as_json
def doctor(modules: Sequence[str], *, internals: bool, as_json: bool) -> None:
    """Say what works here, and which names of MODULEs would escape a late `install()`."""
    if internals:
        sys.exit(0 if report_internals(as_json=as_json) else 1)
    from fastload.hooks.diagnosis import diagnose

    surroundings = _surroundings()  # before the hooks change the environment
    found = diagnose(modules)
    document = {**surroundings, **_hooks(found)}
    say(as_json=as_json, document=document, text=lambda: _print(document))
    sys.exit(0 if found.is_well and document["cache"]["fault"] is None else 1)


def _surroundings() -> dict[str, Any]:
    return {
        "fastload": fastload.__version__,
        "python": platform.python_version(),
        "distributions": dict(_versions()),
        "opt_in": {
            "environment": flag(os.environ, OPT_IN),
            "disabled": flag(os.environ, DISABLE),
            "lazy_import": flag(os.environ, LAZY_IMPORT, unset=True),
            "pth": find_pth(),
        },
        "deferral": {"asked": flag(os.environ, DEFER, unset=True), "is_known": bool(expected())},
        "cache": _cache(),
    }


def _versions() -> Iterable[tuple[str, str]]:
    for name in _DISTRIBUTIONS:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _cache() -> dict[str, Any]:
    """Make the cache folder as a load would, and say what is wrong with it."""
    cache = located_cache()
    fault = None
    try:
        cache.ensure()
    except CacheError as error:
        fault = error.explanation()
    existing = next(folder for folder in (cache.root, *cache.root.parents) if folder.exists())
    return {
        "root": cache.root,
        "fault": fault,
        "free_bytes": shutil.disk_usage(existing).free,
        "is_network": is_network_filesystem(existing),
    }


def _hooks(found: Diagnosis) -> dict[str, Any]:
    return {
        "functions": [
            {"function": f"{point.module}.{point.name}", "public": point.is_public, "state": state}
            for point, state in found.points
        ],
        "names": [
            {
                "name": f"{taken.module}.{taken.name}",
                "function": f"{taken.point.module}.{taken.point.name}",
                "served": taken.is_served,
            }
            for taken in found.taken
        ],
        "not_imported": dict(found.failed),
    }


def _print(document: Mapping[str, Any]) -> None:
    print_facts(_facts(document))
    print_line("\nStock functions that calls are taken from")
    print_table(
        (Column(title="Function", folds=True), Column(title="State")),
        ((each["function"], each["state"]) for each in document["functions"]),
    )
    for each in document["names"]:
        served = (
            "served all the same" if each["served"] else "NOT served: import it after install()"
        )
        print_line(f"{each['name']} was taken before: {served}")
    for name, reason in document["not_imported"].items():
        print_line(f"{name} cannot be imported: {reason}")


def _facts(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    opt_in, cache = document["opt_in"], document["cache"]
    yield "fastload", f"{document['fastload']} in {Path(fastload.__file__).parent}"
    yield "Python", document["python"]
    yield from document["distributions"].items()
    yield "FASTLOAD", _opted(opt_in)
    yield "Start file", str(opt_in["pth"] or "none: use `fastload run`, or fastload.install()")
    yield "FASTLOAD_DEFER", _deferred(document["deferral"])
    yield "Cache", str(cache["root"])
    yield "", cache["fault"] or f"usable, {shown_size(cache['free_bytes'])} free"
    if cache["is_network"]:
        yield "", "on a network file system: weights are read, not mapped"


def _opted(opt_in: Mapping[str, Any]) -> str:
    if opt_in["disabled"]:
        return "off: FASTLOAD_DISABLE is set"
    return "on" if opt_in["environment"] else "not set"


def _deferred(deferral: Mapping[str, Any]) -> str:
    if not deferral["asked"]:
        return "off: predictors import TensorFlow as a whole"
    if not deferral["is_known"]:
        return "without effect: only imports of TensorFlow 2.15 and 2.21 without plug-ins are known"
    return "on: predictors start the part of TensorFlow that they need"
