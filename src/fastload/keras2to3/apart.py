"""A SavedModel's function in a process of its own, with a limit of memory.

What a function takes can be known before it runs only if no shape depends on a value. Else it runs
here: the process ends where it needs more, and the one that migrates goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from fastload.keras2to3.memory_limits import TooLargeError
from fastload.keras2to3.tf_array_functions import LONGEST_RUN_S, Function, TooSlowError

#: What the process runs; its search path is that of this one.
_PROGRAM: Final = (
    "import sys; from multiprocessing.connection import Connection; "
    "pipe = Connection(int(sys.argv[1])); sys.path[:] = pipe.recv(); "
    "from fastload.keras2to3.tf_apart import serve; serve(pipe)"
)


class ApartError(Exception):
    """A function cannot be run in a process of its own; the message says why."""


def reason_not_to() -> str | None:
    """Return why no such process can be started or limited here; None if it can."""
    if sys.platform != "linux":
        return "how much memory it takes is not known, and cannot be limited on this system"
    if not Path(sys.executable or "").name.startswith("python"):
        return "how much memory it takes is not known, and there is no Python to limit it in"
    return None


@contextmanager
def function_apart(
    path: Path, signature: str, names: tuple[Sequence[str], Sequence[str]], most_bytes: int
) -> Iterator[Function]:
    """Provide the function *signature* of the SavedModel at *path*, in another process.

    Args:
        path: the SavedModel.
        signature: the name of the function.
        names: of its inputs in the order of the arrays, and of its outputs.
        most_bytes: how much the function may take.

    Raises:
        ApartError: no such process can be started here.
    """
    if reason := reason_not_to():
        raise ApartError(reason)
    here, there = Pipe()
    process = _started(there)
    try:
        with suppress(BrokenPipeError):  # reading says so, too
            here.send(sys.path)
            here.send((path, signature, names, most_bytes))
        _require_ready(here)
        yield lambda values: _answer(here, values, most_bytes)
    finally:
        process.kill()
        process.wait()
        here.close()


def _started(pipe: Connection) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if "FASTLOAD" not in key}
    # PyTorch and TensorFlow may not bear each other, and only the latter is needed there.
    environment |= {"KERAS_BACKEND": "tensorflow"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with pipe:
        return subprocess.Popen(  # noqa: S603 - this interpreter with a program of our own
            [sys.executable, "-c", _PROGRAM, str(pipe.fileno())],
            env=environment,
            pass_fds=[pipe.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _require_ready(pipe: Connection) -> None:
    """Wait until the process has TensorFlow, and its limit.

    Raises:
        ApartError: it ended before, or does not get there.
    """
    try:
        if pipe.poll(LONGEST_RUN_S):
            pipe.recv()
            return
    except (EOFError, ConnectionResetError):
        raise ApartError("TensorFlow cannot be started in a process of its own") from None
    raise ApartError(f"a process of its own was not ready after {LONGEST_RUN_S} s")


def _answer(pipe: Connection, values: Sequence[Any], most_bytes: int) -> list[Any]:
    """Have the process run the function.

    Raises:
        TooLargeError: it needs more memory than it may have.
        TooSlowError: it did not end in time.
        ValueError: it does not accept the values.
    """
    try:
        pipe.send(list(values))
        if not pipe.poll(LONGEST_RUN_S):
            raise TooSlowError(f"the original ran for more than {LONGEST_RUN_S} s")
        kind, said = pipe.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        kind, said = "memory", "it ended"
    if kind == "memory":
        raise TooLargeError(None, most_bytes)
    if kind == "error":
        raise ValueError(said)
    return list(said)
