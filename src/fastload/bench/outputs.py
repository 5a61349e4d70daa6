"""What a model predicted, as a digest to compare; and the most memory that it took."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def digest(prediction: Any) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of *prediction*, nested or not.

    Args:
        prediction: numpy arrays, alone or in dicts, lists and tuples.
    """
    total = hashlib.sha256()
    for name, array in _leaves("", prediction):
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        # The bytes of an array of objects are their addresses.
        is_text = array.dtype.kind == "O"
        total.update(repr(array.tolist()).encode() if is_text else array.tobytes())
    return total.hexdigest()


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(f"{name}/{key}", value[key])
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _leaves(f"{name}/{position}", item)
    else:
        yield name, value


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far; pages of mapped files count."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 2**10
    try:
        import resource
    except ImportError:  # Windows has neither
        return 0
    # Bytes on macOS, which has no /proc.
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
