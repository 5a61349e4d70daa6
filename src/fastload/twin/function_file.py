"""A function on disk: a small twin of its own, beside the twin that has the weights it uses.

It holds the function's definitions, what it captures and a description; or the reason why there is
no such function. It only saves time: one that cannot be written, or is damaged, is made again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, Final, cast

from fastload.cache.entry import CacheFile
from fastload.errors import CacheError
from fastload.lean_dataclass import dataclass
from fastload.twin.format import FUNCTION_DESCRIPTION, FUNCTION_REFUSAL, Manifest, WeightSpec
from fastload.twin.reader import Twin
from fastload.twin.weights import Array, dtype_name

_logger: Final = logging.getLogger(__name__)
_DEFINITIONS: Final = "function.pb"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFunction:
    """What a file holds.

    Attributes:
        definitions: the functions that it calls and, last, its own: serialized `FunctionDef`s.
        captures: what it captures, in its order: the names or places of variables, and the values
            of all else.
        description: all else about it, as values that JSON can hold.
    """

    definitions: tuple[bytes, ...]
    captures: tuple[Any, ...]
    description: Mapping[str, Any]


def write_function(file: CacheFile, function: StoredFunction) -> None:
    """Publish *function* as *file*; where the cache cannot be written, the log says so."""
    constants = {
        f"constants/{index}": each
        for index, each in enumerate(function.captures)
        if not isinstance(each, (str, int))
    }
    told = {
        **function.description,
        "captures": [
            each if isinstance(each, (str, int)) else [f"constants/{index}"]
            for index, each in enumerate(function.captures)
        ],
        "lengths": [len(each) for each in function.definitions],
    }
    documents = {
        FUNCTION_DESCRIPTION: json.dumps(told).encode(),
        _DEFINITIONS: b"".join(function.definitions),
    }
    if not _published(file, documents, constants):
        file.keep_in_memory(function)


def write_refusal(file: CacheFile, reason: str) -> None:
    """Publish as *file* that there is no such function, and why; as `write_function` does."""
    if not _published(file, {FUNCTION_REFUSAL: reason.encode()}, {}):
        file.keep_in_memory(reason)


def read_function(file: CacheFile, refused: type[Exception]) -> StoredFunction | None:
    """Read what was published as *file*.

    Args:
        file: the file; it is removed where it is not what was written.
        refused: raised with the reason why there is no such function.

    Returns:
        The function; None if it has to be made.
    """
    kept = file.in_memory
    if isinstance(kept, str):
        raise refused(kept)
    if kept is not None:
        return cast("StoredFunction", kept)
    try:
        twin = Twin.open(file.found)
        if FUNCTION_REFUSAL not in twin.manifest.documents:
            return _stored(twin)
        reason = twin.document(FUNCTION_REFUSAL).decode()
    except FileNotFoundError:
        return None
    except (OSError, CacheError) as error:
        _logger.warning("a stored function is made again: %s", error)
        file.discard()
        return None
    raise refused(reason)


def _stored(twin: Twin) -> StoredFunction:
    description = json.loads(twin.document(FUNCTION_DESCRIPTION))
    captures, lengths = description.pop("captures"), description.pop("lengths")
    return StoredFunction(
        definitions=tuple(_cut(twin.document(_DEFINITIONS), lengths)),
        captures=tuple(
            twin.array(each[0]) if isinstance(each, list) else each for each in captures
        ),
        description=description,
    )


def _cut(content: bytes, lengths: list[int]) -> Iterator[bytes]:
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield content[end - length : end]


def _published(
    file: CacheFile, documents: Mapping[str, bytes], constants: Mapping[str, Array]
) -> bool:
    """Publish a file, and say whether it was."""
    # Imported here: it brings h5py, which a hit does without.
    from fastload.twin.writer import write_twin

    # The name of the file says which model it is of.
    manifest = Manifest(
        source_kind="function", source_digest="", generation="", documents=documents
    )
    specs = [
        WeightSpec(name=name, dtype=dtype_name(array), shape=array.shape)
        for name, array in constants.items()
    ]
    try:
        with file.replacing() as partial:
            write_twin(partial, manifest, specs, constants.items())
    except (CacheError, OSError) as error:
        _logger.info("a function is not kept: %s", error)
        return False
    return True
