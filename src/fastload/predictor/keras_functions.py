"""The inference function of a Keras model: kept flat beside its twin, or traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastload import registry
from fastload.cache.entry import CacheEntry
from fastload.predictor.functions import bound
from fastload.predictor.predictor import Run
from fastload.predictor.store import FlatEntry
from fastload.runtime.core.keras import Keras, tracing_choices
from fastload.runtime.functions.flat_function import ConcreteCall, FlatFunction, NotFlatError
from fastload.signature import DEFAULT_SIGNATURE, Signature
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # what a load without lazy weights does without is imported where it is used
    from fastload.lazy_weights.lender import Lender


def keras_function(  # noqa: PLR0913, PLR0917 - stages hand each other what they found
    entry: CacheEntry,
    twin: Twin,
    keras: Keras,
    build: Callable[[], Any],
    device: str | None,
    lender: Lender | None = None,
) -> tuple[Signature, Run, str | None]:
    """Return the inference function of a Keras model, what it takes, and why it is not flat if so.

    Args:
        entry: of the twin.
        twin: the model's twin.
        keras: the Keras that it is for.
        build: makes the model of its twin.
        device: where the function runs; None for where TensorFlow would run it.
        lender: lends its weights; None where they are mapped.

    Raises:
        CacheError: the cache cannot serve it.
        BypassError: the model cannot be made of its twin.
        NoFunctionError: it has no function that can be traced.
    """
    # Imported here: a function that is kept is run without.
    from fastload.runtime.core.restore_request import uses_only_builtins

    if not uses_only_builtins(twin, keras):
        return _traced(build(), twin, device, lender, "its classes are custom, and may change")
    kept_at = FlatEntry(
        entry=entry,
        signature=DEFAULT_SIGNATURE,
        keras=" ".join(tracing_choices(keras)),
    )

    def make() -> tuple[FlatFunction, Signature]:
        kept = kept_at.read(twin)
        if kept is not None:
            return kept
        # Imported here: a hit does without.
        from fastload.runtime.functions.inference import capturing, inference_of

        inference = inference_of(build())
        signature = inference.signature
        return kept_at.make(lambda: capturing(inference, twin), signature), signature

    try:
        return *bound(kept_at, make, twin, device, lender), None
    except NotFlatError as error:
        return _traced(build(), twin, device, lender, str(error))


def kept_keras_function(
    entry: CacheEntry, twin: Twin, choices: tuple[str, ...], device: str | None
) -> tuple[Signature, Run] | None:
    """Return what `keras_function` returned once for this Keras; None if it has to be made.

    Args:
        entry: of the twin.
        twin: the model's twin.
        choices: the Keras, with its settings; see `tracing_choices`.
        device: where the function runs; None for where TensorFlow would run it.
    """
    if registry.resolve(twin.manifest.object_names, lambda _: False):
        return None  # somebody has registered another class by a name of Keras's
    kept_at = FlatEntry(entry=entry, signature=DEFAULT_SIGNATURE, keras=" ".join(choices))

    def make() -> tuple[FlatFunction, Signature]:
        kept = kept_at.read(twin)
        if kept is None:
            raise NotFlatError("it was not kept")
        return kept

    try:
        return bound(kept_at, make, twin, device, None)
    except NotFlatError:
        return None


def _traced(
    model: Any, twin: Twin, device: str | None, lender: Lender | None, reason: str
) -> tuple[Signature, Run, str]:
    if lender is not None:
        from fastload.lazy_weights.residency import reading
        from fastload.lazy_weights.tf_lazy_models import lend_weights, variables_of

        with reading(twin):
            lend_weights(variables_of(model, twin), lender)
    # Imported here: a hit with flat functions does without.
    from fastload.runtime.functions.inference import inference_of

    inference = inference_of(model)
    return inference.signature, ConcreteCall(inference, model, device), reason
