"""A trace as a file, or in its place the reason why it cannot be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastload.cache.entry import CacheFile
from fastload.runtime.core import eager
from fastload.traces.tf_model_state import NotKeptError
from fastload.traces.tf_trace import Trace
from fastload.twin.function_file import (
    StoredFunction,
    read_function,
    write_function,
    write_refusal,
)

#: Raised when what is stored changes: older files are not found.
TRACE_VERSION: Final = 3


@dataclass(frozen=True, slots=True)
class TraceFile:
    """Where one trace is kept, whether it exists or not."""

    file: CacheFile

    def write(self, trace: Trace) -> None:
        """Publish *trace*."""
        description = {
            "outputs": trace.outputs,
            "marks": trace.marks,
            "is_prepared": trace.is_prepared,
            "for": eager.made_for(is_optimized=True),
        }
        stored = StoredFunction(
            definitions=trace.definitions, captures=trace.captures, description=description
        )
        write_function(self.file, stored)

    def refuse(self, reason: str) -> None:
        """Publish that the trace cannot be kept, and why."""
        write_refusal(self.file, reason)

    def read(self) -> Trace | None:
        """Read the trace; None if it has to be made.

        Raises:
            NotKeptError: the file says that it cannot be kept.
        """
        stored = read_function(self.file, NotKeptError)
        if stored is None:
            return None
        told = stored.description
        return Trace(
            definitions=stored.definitions,
            captures=stored.captures,
            outputs=told["outputs"],
            marks=tuple((place, name, value) for place, name, value in told["marks"]),
            is_prepared=told["is_prepared"],
        )
