"""The program of a process in which a SavedModel's function runs; see `apart`."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastload.keras2to3.tf_array_functions import Function, serving_function
from fastload.runtime.core.tensorflow import tensorflow


def serve(pipe: Connection) -> None:
    """Open the SavedModel that is named first, and answer each list of arrays with its results."""
    path, signature, (inputs, outputs), most_bytes = pipe.recv()
    _limit_memory(most_bytes)
    pipe.send("ready")
    with serving_function(path, signature, inputs, outputs) as function:
        while True:
            pipe.send(_outcome(function, pipe.recv()))


def _limit_memory(nbytes: int) -> None:
    import resource

    tensorflow().constant(1) + 1  # its threads have their stacks now
    status = Path("/proc/self/status").read_text()
    taken = next(line for line in status.splitlines() if line.startswith("VmData"))
    limit = int(taken.split()[1]) * 1024 + nbytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))


def _outcome(function: Function, values: Sequence[Any]) -> tuple[str, Any]:
    try:
        return "results", function(values)
    except (MemoryError, tensorflow().errors.ResourceExhaustedError) as error:
        return "memory", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, other values may be accepted
        return "error", f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
