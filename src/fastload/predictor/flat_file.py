"""A flat function as a file, with the signature that it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastload.runtime.functions.flat_function import FlatFunction, NotFlatError
from fastload.signature import Signature
from fastload.twin.function_file import StoredFunction, read_function, write_function

#: Raised when what is stored changes, or how functions are made flat: older files are not found.
FLAT_VERSION: Final = 4


def write_flat(path: Path, flat: FlatFunction, signature: Signature) -> None:
    """Publish *flat*, which serves *signature*, at *path*."""
    description = {
        "name": flat.name,
        "arguments": flat.arguments,
        "results": flat.results,
        "varies": flat.varies,
        "is_optimized": flat.is_optimized,
        "signature": {"name": signature.name, **signature.to_json()},
    }
    stored = StoredFunction(
        definitions=flat.definitions, captures=flat.captures, description=description
    )
    write_function(path, stored)


def read_flat(path: Path) -> tuple[FlatFunction, Signature] | None:
    """Read what `write_flat` wrote; None if it has to be made.

    Raises:
        NotFlatError: the file says that the function cannot be made flat.
    """
    stored = read_function(path, NotFlatError)
    if stored is None:
        return None
    told = stored.description
    signature = told["signature"]
    flat = FlatFunction(
        name=told["name"],
        arguments=tuple(told["arguments"]),
        results=tuple(told["results"]),
        captures=stored.captures,
        definitions=stored.definitions,
        varies=told["varies"],
        is_optimized=told["is_optimized"],
    )
    return flat, Signature.of_json(signature["name"], signature)
