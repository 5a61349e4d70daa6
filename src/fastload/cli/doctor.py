"""`doctor`: whether fastload works with this Python, its TensorFlow and its cache."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import fastload
from fastload.cache.directory import is_network_filesystem
from fastload.cli.options import as_json
from fastload.cli.output import facts, say, shown_size, table
from fastload.cli.run import find_pth
from fastload.cli.selection import located_cache, shown_root
from fastload.cli.versions import about_versions, facts_of_versions
from fastload.declarations import declarations
from fastload.errors import CacheError
from fastload.flags import DEFER, DISABLE, LAZY_IMPORT, OPT_IN, flag
from fastload.imports.linking import expected
from fastload.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

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
#: Distributions of one module.
_TENSORFLOWS: Final = frozenset({"tensorflow", "tensorflow-cpu"})
_STATE_WIDTH: Final = 20


@click.command(short_help="Say what is installed, and what is served here.")
@click.argument("modules", metavar="[MODULE]...", nargs=-1)
@click.option(
    "--internals",
    is_flag=True,
    help="Print which private names of TensorFlow and Keras are found here, and nothing else.",
)
@as_json
def doctor(modules: Sequence[str], *, internals: bool, as_json: bool) -> None:
    """Show versions, settings and the cache, and which functions are served here.

    With MODULEs: also the names in them that would keep a stock function if `fastload.install()`
    were called after the module was imported.
    """
    if internals:
        sys.exit(0 if _report_internals(as_json=as_json) else 1)
    from fastload.hooks.diagnosis import diagnose

    document = _surroundings()  # before the hooks change the environment
    found = diagnose(modules)
    document |= _hooks(found)
    document["versions"] = about_versions(document["distributions"])
    say(document, _text(document), as_json=as_json)
    sys.exit(0 if found.is_well and _has_cache(document["cache"]) else 1)


def _has_cache(cache: Mapping[str, Any]) -> bool:
    return cache["fault"] is None or any(each["reason"] is None for each in cache["layers"])


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
        "store": _store(),
        "custom_objects": {
            name: {"object": each.value, "declared_by": each.origin}
            for name, each in declarations().items()
        },
    }


def _versions() -> Iterator[tuple[str, str]]:
    # Imported here because it takes a fifth of the time of verbs that do not need it.
    from importlib import metadata

    for name in _DISTRIBUTIONS:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _cache() -> dict[str, Any]:
    """Create the cache folder as a load would, and say what is wrong with it."""
    cache = located_cache()
    fault = None
    try:
        cache.ensure()
    except CacheError as error:
        fault = error.explanation()
    root = shown_root(cache)
    # Not `Path.exists`, which raises where this user may not look.
    existing = next(folder for folder in (root, *root.parents) if os.path.exists(folder))  # noqa: PTH110
    return {
        "root": root,
        "fault": fault,
        "free_bytes": shutil.disk_usage(existing).free,
        "is_network": is_network_filesystem(existing),
        "layers": [_layer(path) for path in Settings.from_env(os.environ).cache_path],
    }


def _layer(path: Path) -> dict[str, Any]:
    """Say whether a layer is used, and why not."""
    from fastload.cache.read_only_layers import Distrust, distrust

    try:
        why = distrust(path.absolute())
    except OSError as error:
        why = Distrust(reason=error.strerror or str(error))
    return {
        "path": path,
        "reason": why.reason if why else None,
        "remedy": why.remedy if why else None,
        "is_network": why is None and is_network_filesystem(path),
    }


def _store() -> dict[str, Any] | None:
    """Ask the shared store, and say what is wrong with it; None where none is named."""
    settings = Settings.from_env(os.environ).remote
    if settings is None:
        return None
    fault = None
    try:
        # Imported here: most users have no store.
        from fastload.remote.store import open_store

        open_store(settings).files("0" * 32)
    except CacheError as error:
        fault = error.explanation()
    return {
        "url": settings.shown,
        "mode": "readwrite" if settings.writes else "read",
        "is_signed": settings.key is not None,
        "timeout_s": settings.timeout_s,
        "fault": fault,
    }


def _hooks(found: Diagnosis) -> dict[str, Any]:
    return {
        "functions": [
            {"function": f"{point.module}.{point.name}", "public": point.is_entry, "state": state}
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


def _text(document: Mapping[str, Any]) -> Iterator[str | Table]:
    yield from facts(_facts(document))
    yield f"\nStock functions {_stood_in(document['opt_in'])}"
    rows = ((each["function"], each["state"]) for each in document["functions"])
    yield table(rows, "Function", "State", folds="Function")
    for each in document["names"]:
        served = "served anyway" if each["served"] else "NOT served: import it after install()"
        yield f"{each['name']} was bound before install(): {served}"
    for name, reason in document["not_imported"].items():
        yield f"{name} cannot be imported: {reason}"


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    opt_in, cache = document["opt_in"], document["cache"]
    yield "fastload", f"{document['fastload']} in {Path(fastload.__file__).parent}"
    yield "Python", document["python"]
    yield from document["distributions"].items()
    if len(both := sorted(_TENSORFLOWS & document["distributions"].keys())) > 1:
        yield "", f"{' and '.join(both)} overwrite each other's files: uninstall all but one"
    yield from facts_of_versions(document["versions"])
    yield "FASTLOAD", _opted(opt_in)
    yield "Start file", str(opt_in["pth"] or "none: use `fastload run`, or fastload.install()")
    yield "FASTLOAD_DEFER", _deferred(document["deferral"])
    yield "Cache", str(cache["root"])
    yield "", cache["fault"] or f"usable, {shown_size(cache['free_bytes'])} free"
    if cache["is_network"]:
        yield "", "on a network file system: weights are read, not mapped"
    for layer in cache["layers"]:
        yield "Layer", _shown_layer(layer)
    if document["store"]:
        yield from _facts_of_store(document["store"])
    for name, each in document["custom_objects"].items():
        yield "Custom object", f"{name} is {each['object']}, declared by {each['declared_by']}"


def _facts_of_store(store: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    puts = ", and put there by loads that convert" if store["mode"] == "readwrite" else ""
    yield "Store", f"{store['url']}: twins are fetched{puts}"
    whose = (
        "signed with FASTLOAD_REMOTE_KEY" if store["is_signed"] else "of whoever can write there"
    )
    yield "", f"only those {whose}" if store["is_signed"] else f"those {whose}: no key is set"
    yield "", store["fault"] or f"it answers; a load waits {store['timeout_s']:g} s for it at most"


def _shown_layer(layer: Mapping[str, Any]) -> str:
    if layer["reason"] is not None:
        line = f". Run: {layer['remedy']}" if layer["remedy"] else ""
        return f"{layer['path']} is not used: {layer['reason']}{line}"
    network = ", on a network file system: twins are copied" if layer["is_network"] else ""
    return f"{layer['path']}, read and never written{network}"


def _stood_in(opt_in: Mapping[str, Any]) -> str:
    """Say when the functions of the table are fastload's: `doctor` installs the hooks to see."""
    if opt_in["environment"] and not opt_in["disabled"]:
        return "that fastload stands in for"
    return "that fastload would stand in for, with FASTLOAD=1 or after fastload.install()"


def _opted(opt_in: Mapping[str, Any]) -> str:
    if opt_in["disabled"]:
        return "off: FASTLOAD_DISABLE is set"
    return "on" if opt_in["environment"] else "not set"


def _deferred(deferral: Mapping[str, Any]) -> str:
    if not deferral["asked"]:
        return "off: predictors import TensorFlow as a whole"
    if not deferral["is_known"]:
        return "no effect here: it needs TensorFlow 2.15 to 2.21, without plug-ins"
    return "on: predictors import only the part of TensorFlow that they need"


def _report_internals(*, as_json: bool) -> bool:
    """Print each private name as found or missing, and say whether none is missing."""
    found = _private_names()
    missing = [each for each in found if each["state"] == "missing"]
    say({"internals": found}, _names_text(found, len(missing)), as_json=as_json)
    return not missing


def _private_names() -> Sequence[Mapping[str, Any]]:
    from fastload.runtime.internals import examine, rows

    return [
        {
            "feature": row.feature.what,
            "module": row.module,
            "name": row.name.path,
            "parameters": row.name.parameters,
            "versions": row.versions,
            "is_needed": row.name.is_needed,
            "state": examine(row).value,
        }
        for row in rows()
    ]


def _names_text(found: Sequence[Mapping[str, Any]], missing: int) -> Iterator[str]:
    for feature, rows in groupby(found, itemgetter("feature")):
        yield f"\n{feature}"
        for row in rows:
            yield f"  {row['state']:<{_STATE_WIDTH}}{_shown_name(row)}"
    yield f"\n{missing} of {len(found)} names are missing here"


def _shown_name(row: Mapping[str, Any]) -> str:
    name = f"{row['module']}.{row['name']}".rstrip(".")
    parameters = f"[{', '.join(row['parameters'])}]" if row["parameters"] else ""
    needed = "" if row["is_needed"] else "(can do without)"
    return "  ".join(filter(None, (f"{name}{parameters}", row["versions"], needed)))
