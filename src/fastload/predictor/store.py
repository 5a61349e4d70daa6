"""Where flat functions are kept, and in which form: beside the twin that has their weights."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.entry import CacheEntry
from fastload.errors import (
    BypassError,
    CacheError,
    UnsupportedRuntimeError,
)
from fastload.runtime.core import eager
from fastload.runtime.core.eager import conditions
from fastload.runtime.functions.flat_function import FlatFunction, NotFlatError
from fastload.signature import Signature
from fastload.twin.function_file import (
    StoredFunction,
    discard,
    read_function,
    write_function,
    write_refusal,
)
from fastload.twin.reader import Twin

if TYPE_CHECKING:
    from fastload.runtime.functions.flattening import Capturing

_logger: Final = logging.getLogger(__name__)
#: How many files with functions a twin has at most before none is added for being faster.
_MOST_KEPT: Final = 64
#: TensorFlow puts whole functions into its errors.
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatEntry:
    """Where a flat function is kept: by model, function and TensorFlow.

    Attributes:
        entry: the twin that has its weights.
        signature: the name of the function.
        keras: the Keras that traced it, with its choices; empty for a function of the file.
    """

    entry: CacheEntry
    signature: str
    keras: str = ""

    @property
    def key(self) -> str:
        """What no other function has: 24 hexadecimal digits."""
        parts = (self.entry.name, self.signature, self.keras, *self._versions)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    @property
    def _versions(self) -> tuple[str, str]:
        return eager.version(), str(FLAT_VERSION)

    @property
    def path(self) -> Path:
        """The file."""
        return self.entry.flat_path(self.key)

    @property
    def optimized_path(self) -> Path | None:
        """The file of the function as it is optimized here and now; None if it must not be."""
        try:
            here = conditions()
        except UnsupportedRuntimeError as error:
            _logger.info("nothing is optimized: %s", error)
            return None
        if here is None:
            return None
        key = hashlib.sha256(f"{self.key}\n{here}".encode()).hexdigest()[:24]
        return self.entry.flat_path(key)

    def read(self, twin: Twin) -> tuple[FlatFunction, Signature] | None:
        """Read the function.

        Args:
            twin: what has its weights.

        Returns:
            The function, and what it takes and gives; None if it has to be made.

        Raises:
            NotFlatError: it was found that it cannot be made.
        """
        return _read(self.path, twin)

    def read_optimized(self, twin: Twin) -> tuple[FlatFunction, Signature] | None:
        """Read the function as it was optimized; None if it was not, or cannot be, here and now."""
        path = self.optimized_path
        try:
            return None if path is None else _read(path, twin)
        except NotFlatError:
            return None

    def optimize(
        self, flat: FlatFunction, signature: Signature, weights: Sequence[Any]
    ) -> FlatFunction | None:
        """Have the function optimized and keep that; None if it cannot be, now or ever."""
        path = self.optimized_path
        if path is None or path.exists() or not self._may_keep():
            return None
        # Imported here: a hit does without.
        from fastload.runtime.functions.optimizing import optimized

        try:
            found = optimized(flat, signature, weights)
        except NotFlatError as error:
            reason = str(error)
        except (UnsupportedRuntimeError, MemoryError) as error:
            _logger.info("%s is not optimized: %s", self.path, error)
            return None
        except Exception as error:  # no load fails for what only makes it faster
            _logger.warning("%s is not optimized; please report this", self.path, exc_info=True)
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        else:
            if found is not None:
                write_flat(path, found, signature)
            return found
        write_refusal(path, reason)
        return None

    def _may_keep(self) -> bool:
        """Say whether the cache takes one more; conditions may differ with every run."""
        folder = self.entry.cache.root
        kept = sum(1 for _ in folder.glob(f"{self.entry.name}.*.flat"))
        return kept < _MOST_KEPT and os.access(folder, os.W_OK)

    def make(self, function: Callable[[], Capturing], signature: Signature) -> FlatFunction:
        """Make the function, and keep it.

        Raises:
            NotFlatError: it cannot be made; that is kept too.
            BypassError: TensorFlow is not as expected.
        """
        # Imported here: a hit does without.
        from fastload.runtime.functions.flattening import flatten

        try:
            flat = flatten(function(), f"fastload_{self.key}")
        except NotFlatError as error:
            reason = str(error)
            write_refusal(self.path, reason)
            raise
        except (BypassError, CacheError, MemoryError):
            raise
        except Exception as error:  # a graph that nobody foresaw has another way to be run
            _logger.warning("%s cannot be made flat; please report this", self.path, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            write_refusal(self.path, reason)
            raise NotFlatError(reason) from error
        write_flat(self.path, flat, signature)
        return flat


def _read(path: Path, twin: Twin) -> tuple[FlatFunction, Signature] | None:
    found = read_flat(path)
    if found is None or all(
        each in twin.refs for each in found[0].captures if isinstance(each, str)
    ):
        return found
    discard(path)  # it is of a twin that named its weights otherwise
    return None


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
