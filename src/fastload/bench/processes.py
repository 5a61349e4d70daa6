"""Fresh processes that are measured: how one is started, and what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.errors import MeasurementError

#: What the measured loads share with those of the user's programs; no other setting is passed on.
_KEPT: Final = ("FASTLOAD_CONFIG_DIR", "FASTLOAD_DEFER", "FASTLOAD_LOCK_TIMEOUT")
#: Where byte code is not kept, each process would compile what it imports anew.
_NO_BYTE_CODE: Final = "PYTHONDONTWRITEBYTECODE"
_TOLD_OF_A_FAILURE: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that ended well.

    Attributes:
        wall_s: seconds from its start to its end.
        output: what it wrote to its standard output.
    """

    wall_s: float
    output: str


def environment(cache: Path | None, kept: Sequence[str] = _KEPT) -> dict[str, str]:
    """Return this process's environment without what would change a figure.

    Args:
        cache: the cache folder of the measured loads; None for the user's.
        kept: which of fastload's settings are passed on.

    Example:
        >>> environment(Path("/srv/twins"))["FASTLOAD_CACHE_DIR"]
        '/srv/twins'
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FASTLOAD") or name in kept
    }
    passed.pop(_NO_BYTE_CODE, None)
    return passed if cache is None else passed | {"FASTLOAD_CACHE_DIR": str(cache)}


def run_module(
    module: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    folder: Path | None = None,
) -> Ended:
    """Run `python -m MODULE ARGUMENTS` in a fresh interpreter.

    Args:
        module: the module.
        arguments: of the command line.
        variables: its environment.
        folder: where it runs; None for the current one.

    Raises:
        MeasurementError: it failed; the message ends with what it wrote to standard error.
    """
    command = [sys.executable, "-m", module, *arguments]
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - this interpreter, with a module of ours
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    wall_s = time.perf_counter() - start
    if done.returncode:
        said = done.stderr.strip()[-_TOLD_OF_A_FAILURE:]
        raise MeasurementError(f"a measured process failed: {module}:\n{said}")
    return Ended(wall_s=wall_s, output=done.stdout)
