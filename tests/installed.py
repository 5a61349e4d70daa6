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
