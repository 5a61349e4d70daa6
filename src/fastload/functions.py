"""The functions of a model, from its twin: flat where that can be, TensorFlow's own where not.

A flat function is made once, by the first predictor that needs it, and kept beside the twin.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.publish import replacing
from fastload.errors import (
    BypassError,
    CacheError,
    CacheUnwritableError,
    UnconvertibleModelError,
    UnsupportedRequestError,
)
from fastload.loading import Identity
from fastload.restore.objects import uses_only_builtins
from fastload.restore.predictor import Run
from fastload.restore.saved_model import restore_saved_model
from fastload.runtime import eager
from fastload.runtime.flat_call import ConcreteCall, FlatCall, has_accelerators
from fastload.runtime.flat_entry import FLAT_VERSION, read_flat, write_flat, write_refusal
from fastload.runtime.flattening import Capturing, FlatFunction, Value, flatten
from fastload.runtime.flavour import Flavour, tracing_choices
from fastload.runtime.inference import capturing, inference_of
from fastload.runtime.weight_readers import NotFlatError
from fastload.runtime.zero_copy import tensor_over
from fastload.signature import DEFAULT_SIGNATURE, Signature
from fastload.twin.documents import SESSION_GRAPH, SIGNATURES
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # what a load without lazy weights does without is imported where it is used
    from fastload.lending.lender import Lender

_logger: Final = logging.getLogger(__name__)


@dataclass(kw_only=True)
class SavedFunctions:
    """The signatures of a SavedModel.

    Attributes:
        identity: which model.
        twin: its twin, with a function section.
        path: the SavedModel's folder.
        device: where functions run; None for where TensorFlow would run them.
        lender: lends their weights; None where they are mapped.
        reasons: why functions are not flat, by name.
    """

    identity: Identity
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
            self._objects = restore_saved_model(self.twin, self.path, None)
        return ConcreteCall(self._objects.signatures[name], self._objects, self.device)

    def _flat(self, name: str) -> Run:
        return _bound(self.flat(name), self.twin, self.device, self.lender)

    def flat(self, name: str) -> FlatFunction:
        """Return the flat function of the signature called *name*, made first if it never was.

        Raises:
            NotFlatError: it cannot be made flat.
            BypassError: TensorFlow is not as expected.
        """
        entry = _FlatEntry(identity=self.identity, signature=name)
        kept = entry.read(self.twin)
        if kept is not None:
            return kept[0]
        # Imported here: a hit does without.
        from fastload.convert.saved_function import saved_function
        from fastload.convert.session_function import session_function

        signature = self.signatures[name]
        is_session = SESSION_GRAPH in self.twin.manifest.documents
        capturing = session_function if is_session else saved_function
        return entry.make(lambda: capturing(self.twin, signature), signature)


def keras_function(  # noqa: PLR0913, PLR0917 - stages hand each other what they found
    identity: Identity,
    twin: Twin,
    chosen: Flavour,
    build: Callable[[], Any],
    device: str | None,
    lender: Lender | None = None,
) -> tuple[Signature, Run, str | None]:
    """Return the inference function of a Keras model, what it takes, and why it is not flat if so.

    Args:
        identity: which model.
        twin: its twin.
        chosen: the Keras that it is for.
        build: makes the model of its twin.
        device: where the function runs; None for where TensorFlow would run it.
        lender: lends its weights; None where they are mapped.

    Raises:
        CacheError: the cache cannot serve it.
        BypassError: the model cannot be made of its twin.
        NoFunctionError: it has no function that can be traced.
    """
    if not uses_only_builtins(twin, chosen):
        return _traced(build(), twin, device, lender, "its classes are custom, and may change")
    entry = _FlatEntry(
        identity=identity, signature=DEFAULT_SIGNATURE, keras=" ".join(tracing_choices(chosen))
    )
    try:
        kept = entry.read(twin)
        if kept is not None:
            flat, signature = kept
            return signature, _bound(flat, twin, device, lender), None
        model = build()
        inference = inference_of(model)
        flat = entry.make(lambda: capturing(inference, twin), inference.signature)
        return inference.signature, _bound(flat, twin, device, lender), None
    except NotFlatError as error:
        return _traced(build(), twin, device, lender, str(error))


def _traced(
    model: Any, twin: Twin, device: str | None, lender: Lender | None, reason: str
) -> tuple[Signature, Run, str]:
    if lender is not None:
        from fastload.restore.residency import reading
        from fastload.runtime.lazy_models import lend_weights, variables_of

        with reading(twin):
            lend_weights(variables_of(model, twin), lender)
    inference = inference_of(model)
    return inference.signature, ConcreteCall(inference, model, device), reason


def _bound(flat: FlatFunction, twin: Twin, device: str | None, lender: Lender | None) -> Run:
    """Give a flat function its weights."""
    if flat.varies and has_accelerators():
        raise NotFlatError("what it computes depends on the device")
    if lender is not None:
        from fastload.restore.residency import reading
        from fastload.runtime.lazy_flat import LazyFlatCall

        with reading(twin):
            values = [_kept(each, twin, lender) for each in flat.captures]
        return LazyFlatCall(flat, lender, values, device)
    arrays = (twin.array(each) if isinstance(each, str) else each for each in flat.captures)
    return FlatCall(flat, [tensor_over(array) for array in arrays], device)


def _kept(value: Value, twin: Twin, lender: Lender) -> Any:
    """Return a value that a lazy function keeps as a tensor; None if it is lent."""
    if not isinstance(value, str):
        return tensor_over(value)
    if value in lender.shelf.places:
        return None
    weight = lender.plan.weight(value)
    return tensor_over(twin.array(value) if weight is None else lender.content(weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class _FlatEntry:
    """Where a flat function is kept: by model, function and TensorFlow.

    Attributes:
        identity: the model.
        signature: the name of the function.
        keras: the Keras that traced it, with its choices; empty for a function of the file.
    """

    identity: Identity
    signature: str
    keras: str = ""

    @property
    def key(self) -> str:
        """What no other function has: 24 hexadecimal digits."""
        parts = (self.identity.content.digest, self.signature, self.keras, *self._versions)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    @property
    def _versions(self) -> tuple[str, str]:
        return eager.version(), str(FLAT_VERSION)

    @property
    def path(self) -> Path:
        """The file."""
        return self.identity.entry.flat_path(self.key)

    def read(self, twin: Twin) -> tuple[FlatFunction, Signature] | None:
        """Read the function.

        Args:
            twin: what has its weights.

        Returns:
            The function, and what it takes and gives; None if it has to be made.

        Raises:
            NotFlatError: it was found that it cannot be made.
        """
        try:
            flat, signature = read_flat(self.path)
        except FileNotFoundError:
            return None
        except (OSError, CacheError) as error:
            _logger.warning("a flat function is made again: %s", error)
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            return None
        known = all(each in twin.refs for each in flat.captures if isinstance(each, str))
        return (flat, signature) if known else None  # of a twin that named its weights otherwise

    def make(self, function: Callable[[], Capturing], signature: Signature) -> FlatFunction:
        """Make the function, and keep it.

        Raises:
            NotFlatError: it cannot be made; that is kept too.
            BypassError: TensorFlow is not as expected.
        """
        digest = self.identity.content.digest
        try:
            flat = flatten(function(), f"fastload_{self.key}")
        except NotFlatError as error:
            reason = str(error)
            self._keep(lambda path: write_refusal(path, reason, digest))
            raise
        except (BypassError, CacheError, MemoryError):
            raise
        except Exception as error:  # a graph that nobody foresaw has another way to be run
            _logger.warning("%s cannot be made flat; please report this", self.path, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            self._keep(lambda path: write_refusal(path, reason, digest))
            raise NotFlatError(reason) from error
        self._keep(lambda path: write_flat(path, flat, signature, digest))
        return flat

    def _keep(self, write: Callable[[Path], None]) -> None:
        try:
            with replacing(self.path, durable=False) as partial:
                write(partial)
        except CacheUnwritableError as error:
            _logger.info("the flat function is not kept: %s", error)
