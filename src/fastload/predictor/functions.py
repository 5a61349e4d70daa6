"""The functions of a model, from its twin: flat where that can be, TensorFlow's own where not.

A flat function is made once, by the first predictor that needs it, and kept beside the twin.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.entry import CacheEntry
from fastload.errors import (
    UnconvertibleModelError,
    UnsupportedRequestError,
)
from fastload.predictor.predictor import Run
from fastload.predictor.store import FlatEntry
from fastload.runtime.core.eager import has_accelerators
from fastload.runtime.core.zero_copy import tensor_over
from fastload.runtime.functions.flat_function import (
    ConcreteCall,
    FlatCall,
    FlatFunction,
    NotFlatError,
    Value,
)
from fastload.signature import Signature
from fastload.twin.format import SESSION_GRAPH, SIGNATURES
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # what a load without lazy weights does without is imported where it is used
    from fastload.lazy_weights.lender import Lender

_logger: Final = logging.getLogger(__name__)


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
            return self._flat(name)
        except NotFlatError as error:
            if SESSION_GRAPH in self.twin.manifest.documents:  # which has no objects
                raise UnconvertibleModelError(str(error)) from error
            if self.lender is not None:
                raise UnsupportedRequestError(f"its weights cannot be lent: {error}") from error
            self.reasons[name] = str(error)
            _logger.info("%s: %r keeps its variables: %s", self.path, name, error)
        if self._objects is None:
            # Imported here: a hit with flat functions does without.
            from fastload.runtime.saved_model.objects import restore_saved_model

            self._objects = restore_saved_model(self.twin, self.path, None)
        return ConcreteCall(self._objects.signatures[name], self._objects, self.device)

    def _flat(self, name: str) -> Run:
        flat = FlatEntry(entry=self.entry, signature=name)
        make = functools.partial(self._plain, flat)
        return bound(flat, make, self.twin, self.device, self.lender)[1]

    def make(self, name: str) -> None:
        """Have the flat function of the signature called *name* made, if it never was.

        Raises:
            NotFlatError: it cannot be made flat.
            BypassError: TensorFlow is not as expected.
        """
        self._flat(name)

    def _plain(self, entry: FlatEntry) -> tuple[FlatFunction, Signature]:
        kept = entry.read(self.twin)
        if kept is not None:
            return kept
        # Imported here: a hit does without.
        from fastload.predictor.saved_signature import saved_function
        from fastload.predictor.session_signature import session_function

        signature = self.signatures[entry.signature]
        is_session = SESSION_GRAPH in self.twin.manifest.documents
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
    if plain.varies and has_accelerators():
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
