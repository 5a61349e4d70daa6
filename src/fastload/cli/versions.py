"""The versions that are installed here: were they compared with stock, and what is off in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastload.runtime.internals import Row

_ADVICE: Final = (
    "Loads are right all the same: they do without, or go to the stock loader. A newer fastload "
    "may know these versions: python -m pip install -U tf-fastload"
)
#: The packages whose versions make a combination; patch releases are not told apart.
_OF_A_COMBINATION: Final = ("tensorflow", "keras", "tf-keras")


def about_versions(installed: Mapping[str, str]) -> dict[str, Any]:
    """Return whether *installed* was compared with stock, and which features miss a name here.

    Args:
        installed: version by distribution.
    """
    return {"compared": is_compared(installed, _compared()), "off": list(_off())}


def is_compared(installed: Mapping[str, str], compared: Sequence[Mapping[str, str]]) -> bool:
    """Say whether a run of the matrix (`docs/versions.md`) had the same minor versions.

    Args:
        installed: version by distribution.
        compared: combinations, as the matrix recorded them.

    Example:
        >>> run = {"tensorflow": "2.21.0", "keras": "3.15.1"}
        >>> is_compared({"tensorflow-cpu": "2.21.3", "keras": "3.15.0"}, [run])
        True
        >>> is_compared({"tensorflow": "2.21.0", "keras": "3.16.0"}, [run])
        False
    """
    return any(_minors(installed).items() <= _minors(each).items() for each in compared)


def _minors(versions: Mapping[str, str]) -> dict[str, str]:
    tensorflow = versions.get("tensorflow") or versions.get("tensorflow-cpu", "")
    found = {**versions, "tensorflow": tensorflow}
    there = {name: found[name] for name in _OF_A_COMBINATION if found.get(name)}
    return {name: ".".join(version.split(".")[:2]) for name, version in there.items()}


def _compared() -> list[dict[str, str]]:
    content = resources.files(__package__).joinpath("compared.json").read_text(encoding="utf-8")
    found: list[dict[str, str]] = json.loads(content)
    return found


def _off() -> Iterator[dict[str, Any]]:
    """Yield each feature that misses a name here that it should have, with those names."""
    from fastload.runtime.internals import rows

    for feature, members in groupby(rows(), lambda row: row.feature.what):
        names = [name for each in members if (name := _missing(each)) is not None]
        if names:
            yield {"feature": feature, "names": names}


def _missing(row: Row) -> str | None:
    """Return the name of *row*, if it should be here and is not."""
    from fastload.runtime.internals import State, examine

    try:
        if examine(row) is not State.MISSING:
            return None
        return f"{row.module}.{row.name.path}".rstrip(".")
    except Exception as error:  # noqa: BLE001 - a package that is broken raises anything
        return f"{row.part.modules[0]} ({type(error).__name__})"


def facts_of_versions(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what `about_versions` found as names and values, for people."""
    if found["compared"]:
        yield "Versions", "compared with stock, model by model: see docs/versions.md"
    else:
        yield "Versions", "never compared with stock in this combination; `fastload warm --verify`"
        yield "", "compares a model of yours"
    if not found["off"]:
        yield "Short cuts", "all in use"
        return
    for each in found["off"]:
        yield "Off here", f"{each['feature']}: there is no {', '.join(each['names'])}"
    yield "", _ADVICE
