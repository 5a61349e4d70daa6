"""The functions of a model, from its twin: flat where that can be, TensorFlow's own where not.

A flat function is made once, by the first predictor that needs it, and kept beside the twin that
has its weights.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.entry import CacheEntry, CacheFile
from fastload.errors import (
    BypassError,
    CacheError,
    UnconvertibleModelError,
    UnsupportedRequestError,
    UnsupportedRuntimeError,
    is_passing,
)
from fastload.lean_dataclass import dataclass
from fastload.predictor.predictor import Run
from fastload.runtime.core import eager
from fastload.runtime.core.zero_copy import tensor_over
from fastload.runtime.functions.flat_function import (
    ConcreteCall,
    FlatCall,
    FlatFunction,
    NotFlatError,
    Value,
)
from fastload.signature import Signature
from fastload.twin.format import SESSION_MODEL, SIGNATURES
from fastload.twin.function_file import (
    StoredFunction,
    read_function,
    write_function,
    write_refusal,
)
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # what a load without lazy weights does without is imported where it is used
    from fastload.lazy_weights.lender import Lender
    from fastload.runtime.functions.flattening import Capturing

_logger: Final = logging.getLogger(__name__)
#: How many files with functions a twin has at most before none is added for being faster.
_MOST_KEPT: Final = 64
#: TensorFlow puts whole functions into its errors.
_LONGEST_REASON: Final = 500
#: Raised when what is stored changes, or how functions are made flat: older files are not found.
FLAT_VERSION: Final = 6


@dataclass(kw_only=True)
class SavedFunctions:
    """The signatures of a SavedModel.

    Attributes:
        entry: of the twin.
        twin: the model's twin, with a function section.
        path: the SavedModel's folder.
        device: where functions run; None for where TensorFlow would run them.
        lender: lends their weights; None where they are mapped.
        reasons: why functions are not flat, by name.
    """

    entry: CacheEntry
    twin: Twin
    path: str
    device: str | None
    lender: Lender | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    _objects: Any = None

    @property
    def signatures(self) -> dict[str, Signature]:
        """What each takes and gives, by name."""
        told: Mapping[str, Any] = json.loads(self.twin.document(SIGNATURES))
        return {name: Signature.of_json(name, each) for name, each in told.items()}

    def run(self, name: str) -> Run:
        """Return what runs the signature called *name*.

        Raises:
            CacheError: the cache cannot serve it.
            BypassError: TensorFlow cannot be driven as expected.
        """
        try:
            return self.flat(name)
        except NotFlatError as error:
            if SESSION_MODEL in self.twin.manifest.documents:  # which has no objects
                raise UnconvertibleModelError(str(error)) from error
            if self.lender is not None:
                raise UnsupportedRequestError(f"its weights cannot be lent: {error}") from error
            self.reasons[name] = str(error)
            _logger.info(
                "%s: signature %r is not flat, and keeps its variables: %s", self.path, name, error
            )
        if self._objects is None:
            # Imported here: a hit with flat functions does without.
            from fastload.runtime.saved_model.objects import restore_saved_model

            self._objects = restore_saved_model(self.twin, self.path, None)
        return ConcreteCall(self._objects.signatures[name], self._objects, self.device)

    def flat(self, name: str) -> Run:
        """Return what runs the flat function of the signature called *name*, made if it never was.

        Raises:
            NotFlatError: it cannot be made flat.
            BypassError: TensorFlow is not as expected.
        """
        flat = FlatEntry(entry=self.entry, signature=name)
        make = functools.partial(self._plain, flat)
        return bound(flat, make, self.twin, self.device, self.lender)[1]

    def _plain(self, entry: FlatEntry) -> tuple[FlatFunction, Signature]:
        kept = entry.read(self.twin)
        if kept is not None:
            return kept
        # Imported here: a hit does without.
        from fastload.predictor.saved_signature import saved_function, session_function

        signature = self.signatures[entry.signature]
        is_session = SESSION_MODEL in self.twin.manifest.documents
        capturing = session_function if is_session else saved_function
        return entry.make(lambda: capturing(self.twin, signature), signature), signature


def bound(
    entry: FlatEntry,
    make: Callable[[], tuple[FlatFunction, Signature]],
    twin: Twin,
    device: str | None,
    lender: Lender | None,
) -> tuple[Signature, Run]:
    """Return the flat function of *entry* with its weights, and what it takes and gives.

    Args:
        entry: where the function is kept.
        make: returns it as it is before it is optimized.
        twin: has its weights.
        device: where it runs; None for where TensorFlow would run it.
        lender: lends its weights; None where they are mapped.
    """
    is_plain = device is not None or lender is not None
    kept = None if is_plain else entry.read_optimized(twin)
    if kept is not None:
        flat, signature = kept
        return signature, FlatCall(flat, _tensors(flat, twin), None, lambda: make()[0])
    plain, signature = make()
    if plain.varies and eager.has_accelerators():
        raise NotFlatError("what it computes depends on the device")
    if lender is not None:
        return signature, _lazy(plain, twin, lender, device)
    weights = _tensors(plain, twin)
    better = None if is_plain else entry.optimize(plain, signature, weights)
    return signature, FlatCall(better or plain, weights, device, lambda: plain)


def _tensors(flat: FlatFunction, twin: Twin) -> list[Any]:
    arrays = (twin.array(each) if isinstance(each, str) else each for each in flat.captures)
    return [tensor_over(array) for array in arrays]


def _lazy(flat: FlatFunction, twin: Twin, lender: Lender, device: str | None) -> Run:
    from fastload.lazy_weights.residency import reading
    from fastload.lazy_weights.tf_lazy_call import LazyFlatCall

    with reading(twin):
        values = [_kept(each, twin, lender) for each in flat.captures]
    return LazyFlatCall(flat, lender, values, device)


def _kept(value: Value, twin: Twin, lender: Lender) -> Any:
    """Return a value that a lazy function keeps as a tensor; None if it is lent."""
    if not isinstance(value, str):
        return tensor_over(value)
    if value in lender.shelf.places:
        return None
    weight = lender.plan.weight(value)
    return tensor_over(twin.array(value) if weight is None else lender.content(weight))


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
    def file(self) -> CacheFile:
        """The file."""
        return self.entry.flat(self.key)

    @property
    def optimized_file(self) -> CacheFile | None:
        """The file of the function as it is optimized here and now; None if it must not be."""
        try:
            here = eager.conditions()
        except UnsupportedRuntimeError as error:
            _logger.info("nothing is optimized: %s", error)
            return None
        if here is None:
            return None
        key = hashlib.sha256(f"{self.key}\n{here}".encode()).hexdigest()[:24]
        return self.entry.flat(key)

    def read(self, twin: Twin) -> tuple[FlatFunction, Signature] | None:
        """Read the function.

        Args:
            twin: what has its weights.

        Returns:
            The function, and what it takes and gives; None if it has to be made.

        Raises:
            NotFlatError: it was found that it cannot be made.
        """
        return _read(self.file, twin)

    def read_optimized(self, twin: Twin) -> tuple[FlatFunction, Signature] | None:
        """Read the function as it was optimized; None if it was not, or cannot be, here and now."""
        file = self.optimized_file
        try:
            return None if file is None else _read(file, twin)
        except NotFlatError:
            return None

    def optimize(
        self, flat: FlatFunction, signature: Signature, weights: Sequence[Any]
    ) -> FlatFunction | None:
        """Have the function optimized and keep that; None if it cannot be, now or ever."""
        file = self.optimized_file
        if file is None or not self._may_keep(file):
            return None
        # Imported here: a hit does without.
        from fastload.runtime.functions.optimizing import optimized

        outer = sys.exc_info()[1]
        try:
            found = optimized(flat, signature, weights)
        except NotFlatError as error:
            reason = str(error)
        except (UnsupportedRuntimeError, MemoryError) as error:
            _logger.info("%s is not optimized: %s", self.file.path, error)
            return None
        except Exception as error:  # no load fails for what only makes it faster
            if is_passing(error, outer):
                _logger.info("%s is not optimized now: %s", self.file.path, error)
                return None
            _logger.warning(
                "%s is not optimized; please report this", self.file.path, exc_info=True
            )
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        else:
            if found is not None:
                write_flat(file, found, signature)
            return found
        write_refusal(file, reason)
        return None

    def _may_keep(self, file: CacheFile) -> bool:
        """Say whether the cache takes one more, *file*; conditions may differ with every run."""
        try:
            is_full = file.is_there() or self.entry.count_flat() >= _MOST_KEPT
            file.require_folder()
        except CacheError as error:
            _logger.info("%s is not optimized: %s", self.file.path, error)
            return False
        return not is_full and os.access(self.entry.cache.root, os.W_OK)

    def make(self, function: Callable[[], Capturing], signature: Signature) -> FlatFunction:
        """Make the function, and keep it.

        Raises:
            NotFlatError: it cannot be made; that is kept too.
            BypassError: TensorFlow is not as expected.
        """
        # Imported here: a hit does without.
        from fastload.runtime.functions.flattening import flatten

        outer = sys.exc_info()[1]
        try:
            flat = flatten(function(), f"fastload_{self.key}")
        except NotFlatError as error:
            reason = str(error)
            write_refusal(self.file, reason)
            raise
        except (BypassError, CacheError, MemoryError):
            raise
        except Exception as error:  # a graph that nobody foresaw has another way to be run
            reason = f"{type(error).__name__}: {error}"
            if is_passing(error, outer):
                raise NotFlatError(reason) from error
            _logger.warning(
                "%s cannot be made flat; please report this", self.file.path, exc_info=True
            )
            write_refusal(self.file, reason)
            raise NotFlatError(reason) from error
        write_flat(self.file, flat, signature)
        return flat


def _read(file: CacheFile, twin: Twin) -> tuple[FlatFunction, Signature] | None:
    found = read_flat(file)
    if found is None or all(
        each in twin.refs for each in found[0].captures if isinstance(each, str)
    ):
        return found
    file.discard()  # it is of a twin that named its weights otherwise
    return None


def write_flat(file: CacheFile, flat: FlatFunction, signature: Signature) -> None:
    """Publish *flat*, which serves *signature*, as *file*."""
    description = {
        "name": flat.name,
        "arguments": flat.arguments,
        "results": flat.results,
        "varies": flat.varies,
        "is_optimized": flat.is_optimized,
        "for": eager.made_for(is_optimized=flat.is_optimized),
        "signature": {"name": signature.name, **signature.to_json()},
    }
    stored = StoredFunction(
        definitions=flat.definitions, captures=flat.captures, description=description
    )
    write_function(file, stored)


def read_flat(file: CacheFile) -> tuple[FlatFunction, Signature] | None:
    """Read what `write_flat` wrote; None if it has to be made.

    Raises:
        NotFlatError: the file says that the function cannot be made flat.
    """
    stored = read_function(file, NotFlatError)
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
