"""What is installed here, by package metadata: importing TensorFlow would cost seconds."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

#: Distributions that bring the same package, the usual one first.
_ALSO: Final = {
    "keras": ("keras", "keras-nightly"),
    "tensorflow": ("tensorflow-cpu", "tensorflow", "tf-nightly-cpu", "tf-nightly"),
}


def version_of(package: str) -> str:
    """Return the installed version of *package*, by whichever distribution; none is empty."""
    for distribution in _ALSO.get(package, (package,)):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""


def is_before(version: str, package: str = "keras") -> bool:
    """Say whether the *package* of this environment is there, and older than *version*.

    Example:
        >>> is_before("2.12", "absent")
        False
    """
    installed = version_of(package)
    return installed != "" and _numbers(installed) < _numbers(version)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2]]
