"""A trace on disk: a small twin of its own beside the twin that has the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from fastload.traces.tf_trace import NotKeptError, Trace
from fastload.twin.documents import NOT_KEPT, TRACE, TRACE_FUNCTIONS
from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.reader import Twin
from fastload.twin.weights import dtype_name

#: Raised when what is stored changes: older entries are not found.
TRACE_VERSION: Final = 1
_OWN: Final = "constants"


def write_trace(path: Path, trace: Trace, digest: str) -> None:
    """Write *trace* to *path*.

    Args:
        path: the file to make.
        trace: the trace.
        digest: hex digest of the model.

    Raises:
        OSError: the disk is full, or refuses in another way.
    """
    own = {
        f"{_OWN}/{i}": each for i, each in enumerate(trace.captures) if not isinstance(each, int)
    }
    description = {
        "captures": [
            each if isinstance(each, int) else f"{_OWN}/{i}"
            for i, each in enumerate(trace.captures)
        ],
        "outputs": trace.outputs,
        "marks": trace.marks,
        "is_prepared": trace.is_prepared,
        "lengths": [len(each) for each in trace.definitions],
    }
    documents = {
        TRACE: json.dumps(description).encode(),
        TRACE_FUNCTIONS: b"".join(trace.definitions),
    }
    _write(path, digest, documents, own)


def write_not_kept(path: Path, reason: str, digest: str) -> None:
    """Write to *path* that a trace cannot be kept, and why."""
    _write(path, digest, {NOT_KEPT: reason.encode()}, {})


def read_trace(path: Path) -> Trace:
    """Read what `write_trace` or `write_not_kept` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        NotKeptError: it says that the trace cannot be kept.
        TwinCorruptError: it is not what was written.
        TwinVersionError: it has a format version that this fastload does not read.
    """
    twin = Twin.open(path)
    if NOT_KEPT in twin.manifest.documents:
        raise NotKeptError(twin.document(NOT_KEPT).decode())
    told = json.loads(twin.document(TRACE))
    return Trace(
        definitions=tuple(_cut(twin.document(TRACE_FUNCTIONS), told["lengths"])),
        captures=tuple(
            each if isinstance(each, int) else twin.array(each) for each in told["captures"]
        ),
        outputs=told["outputs"],
        marks=tuple((place, name, value) for place, name, value in told["marks"]),
        is_prepared=told["is_prepared"],
    )


def _write(path: Path, digest: str, documents: dict[str, bytes], own: dict[str, Any]) -> None:
    # Imported here: it brings h5py, which a hit does without.
    from fastload.twin.writer import write_twin

    manifest = Manifest(
        source_kind="trace", source_digest=digest, generation="", documents=documents
    )
    specs = [
        WeightSpec(name=name, dtype=dtype_name(array), shape=array.shape)
        for name, array in own.items()
    ]
    write_twin(path, manifest, specs, own.items())


def _cut(content: bytes, lengths: list[int]) -> Iterator[bytes]:
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield content[end - length : end]
