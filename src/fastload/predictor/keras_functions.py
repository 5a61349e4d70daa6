"""The inference function of a Keras model: kept flat beside its twin, or traced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastload import registry
from fastload.cache.entry import CacheEntry
from fastload.predictor.functions import FlatEntry, bound
from fastload.predictor.predictor import Run
from fastload.runtime.core.code_files import CodeFiles
from fastload.runtime.core.eager import environment
from fastload.runtime.core.installed_code import modules_before
from fastload.runtime.functions.flat_function import ConcreteCall, FlatFunction, NotFlatError
from fastload.signature import DEFAULT_SIGNATURE, Signature
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # what a load without lazy weights does without is imported where it is used
    from fastload.lazy_weights.lender import Lender
    from fastload.runtime.core.keras import Keras


def keras_function(  # noqa: PLR0913, PLR0917 - stages hand each other what they found
    entry: CacheEntry,
    twin: Twin,
    keras: Keras,
    build: Callable[[], Any],
    device: str | None,
    lender: Lender | None = None,
    before: frozenset[str] | None = None,
) -> tuple[Signature, Run, str | None]:
    """Return the inference function of a Keras model, what it takes, and why it is not flat if so.

    Args:
        entry: of the twin.
        twin: the model's twin.
        keras: the Keras that it is for.
        build: makes the model of its twin.
        device: where the function runs; None for where TensorFlow would run it.
        lender: lends its weights; None where they are mapped.
        before: what `modules_before` said when the load began.

    Raises:
        CacheError: the cache cannot serve it.
        BypassError: the model cannot be made of its twin.
        NoFunctionError: it has no function that can be traced.
    """
    # Imported here: a function that is kept is run without.
    from fastload.predictor.kept_functions import kept_function
    from fastload.runtime.core.keras import tracing_choices
    from fastload.runtime.core.restore_request import uses_only_builtins

    if not uses_only_builtins(twin, keras):
        return _traced(build(), twin, device, lender, "its classes are custom, and may change")
    try:
        kept_at, make = kept_function(entry, twin, tracing_choices(keras), build, before)
        return *bound(kept_at, make, twin, device, lender), None
    except NotFlatError as error:
        return _traced(build(), twin, device, lender, str(error))


def kept_keras_function(
    entry: CacheEntry,
    twin: Twin,
    choices: tuple[str, ...],
    device: str | None,
) -> tuple[Signature, Run] | None:
    """Return what `keras_function` returned once for this Keras; None if it has to be made.

    Args:
        entry: of the twin.
        twin: the model's twin.
        choices: the Keras, with its settings; see `tracing_choices`.
        device: where the function runs; None for where TensorFlow would run it.
    """
    if registry.resolve(twin.manifest.object_names, lambda _: False):
        return None  # somebody has another class by a name of Keras's
    code = code_of(entry, choices, ())
    name = None if modules_before() is None else code.matching_installed(choices[0])
    if name is None:
        return None
    kept_at = made_by(entry, choices, name)

    def make() -> tuple[FlatFunction, Signature]:
        kept = kept_at.read(twin)
        if kept is None:
            raise NotFlatError("it was not kept")
        return kept

    try:
        return bound(kept_at, make, twin, device, None)
    except NotFlatError:
        return None


def code_of(entry: CacheEntry, choices: tuple[str, ...], modes: Iterable[str]) -> CodeFiles:
    """Return the records of which code made the function.

    Args:
        entry: of the twin.
        choices: the Keras, with its settings.
        modes: of TensorFlow; none where it is not imported.
    """
    parts = (made_by(entry, choices, "").key, repr(environment()), *modes)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    return CodeFiles(entry=entry, key=f"flat-{key}")


def made_by(entry: CacheEntry, choices: tuple[str, ...], code: str) -> FlatEntry:
    """Return where the function is kept that the code of a record made.

    Args:
        entry: of the twin.
        choices: the Keras, with its settings.
        code: the name of the record.
    """
    return FlatEntry(entry=entry, signature=DEFAULT_SIGNATURE, keras=" ".join((*choices, code)))


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
