"""One of several models that go into a layer: in a process of its own, however that ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastload.errors import FastloadError
from fastload.fleet.sealing import layer_at
from fastload.loading.request import current_settings


def told_apart(words: Sequence[str], into: Path) -> dict[str, Any]:
    """Return what `fastload` *words* tells of the one model that it writes into the layer *into*.

    The layer is sealed here once more: a process that is killed leaves it as a cache, which no
    later command would write into.

    Raises:
        FastloadError: the process told nothing of its model.
    """
    with layer_at(into, current_settings()):
        status, told = _finished([sys.executable, "-m", "fastload", *words])
    return _model_in(told, status)


def _finished(command: Sequence[str]) -> tuple[int, bytes]:
    """Run *command* to its end; return its exit status, and what it wrote.

    A terminal interrupts both processes. So the other one is left the time to end in order, which
    `subprocess.run` does not give it; a second interrupt ends it at once.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - this program
        try:
            told, _ = process.communicate()
        except BaseException:
            _wait_for(process)
            raise
    return process.returncode, told


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate()  # read to the end: it may wait for that
    finally:
        process.kill()
        process.wait()


def _model_in(told: bytes, status: int) -> dict[str, Any]:
    """Return what the one document that a process wrote says of its one model."""
    document: Any = None
    with suppress(ValueError):  # it wrote none, or a part
        document = json.loads(told)
    match document:
        case {"models": [dict() as model]}:
            return model
        case {"error": {"message": message}}:
            raise FastloadError(message)
    raise FastloadError(f"the process that warmed it told nothing: {_end_of(status)}")


def _end_of(status: int) -> str:
    """Say how a process with the exit status *status* ended.

    Example:
        >>> _end_of(3), _end_of(-9)
        ('it ended with exit status 3', 'it was killed by SIGKILL')
    """
    if status >= 0:
        return f"it ended with exit status {status}"
    with suppress(ValueError):
        return f"it was killed by {signal.Signals(-status).name}"
    return f"it was killed by signal {-status}"
