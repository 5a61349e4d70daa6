"""A flat function on disk: a small twin of its own beside the twin that has its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np

from fastload.runtime.functions.flat_function import FlatFunction, NotFlatError, Value
from fastload.signature import Signature
from fastload.twin.format import FLAT, FLAT_FUNCTIONS, NOT_FLAT, Manifest, WeightSpec
from fastload.twin.reader import Twin
from fastload.twin.weights import dtype_name

#: Raised when what is stored changes, or how functions are made flat: older entries are not found.
FLAT_VERSION: Final = 3
_OWN: Final = "constants"


def write_flat(path: Path, flat: FlatFunction, signature: Signature, digest: str) -> None:
    """Write *flat* to *path*.

    Args:
        path: the file to make.
        flat: the function.
        signature: what it takes and gives.
        digest: hex digest of the model's content.

    Raises:
        OSError: the disk is full, or refuses in another way.
    """
    own = {f"{_OWN}/{i}": each for i, each in enumerate(flat.captures) if not isinstance(each, str)}
    description = {
        "name": flat.name,
        "arguments": flat.arguments,
        "results": flat.results,
        "captures": [
            each if isinstance(each, str) else [f"{_OWN}/{i}"]
            for i, each in enumerate(flat.captures)
        ],
        "lengths": [len(each) for each in flat.definitions],
        "varies": flat.varies,
        "is_optimized": flat.is_optimized,
        "signature": {"name": signature.name, **signature.to_json()},
    }
    documents = {
        FLAT: json.dumps(description).encode(),
        FLAT_FUNCTIONS: b"".join(flat.definitions),
    }
    _write(path, digest, documents, own)


def write_refusal(path: Path, reason: str, digest: str) -> None:
    """Write to *path* that a function cannot be made flat, and why."""
    _write(path, digest, {NOT_FLAT: reason.encode()}, {})


def read_flat(path: Path) -> tuple[FlatFunction, Signature]:
    """Read what `write_flat` or `write_refusal` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        NotFlatError: it says that the function cannot be made flat.
        TwinCorruptError: it is not what was written.
        TwinVersionError: it has a format version that this fastload does not read.
    """
    twin = Twin.open(path)
    if NOT_FLAT in twin.manifest.documents:
        raise NotFlatError(twin.document(NOT_FLAT).decode())
    told = json.loads(twin.document(FLAT))
    signature = told["signature"]
    flat = FlatFunction(
        name=told["name"],
        arguments=tuple(told["arguments"]),
        results=tuple(told["results"]),
        captures=tuple(_value(twin, each) for each in told["captures"]),
        definitions=tuple(_cut(twin.document(FLAT_FUNCTIONS), told["lengths"])),
        varies=told["varies"],
        is_optimized=told["is_optimized"],
    )
    return flat, Signature.of_json(signature["name"], signature)


def _write(path: Path, digest: str, documents: dict[str, bytes], own: dict[str, Any]) -> None:
    # Imported here: it brings h5py, which a hit does without.
    from fastload.twin.writer import write_twin

    specs = [
        WeightSpec(name=name, dtype=dtype_name(array), shape=array.shape)
        for name, array in own.items()
    ]
    manifest = Manifest(
        source_kind="function", source_digest=digest, generation="", documents=documents
    )
    write_twin(path, manifest, specs, own.items())


def _value(twin: Twin, told: str | list[str]) -> Value:
    if isinstance(told, str):
        return told
    array: np.ndarray[Any, Any] = twin.array(told[0])
    return array


def _cut(content: bytes, lengths: list[int]) -> Iterator[bytes]:
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield content[end - length : end]
