"""The inference function of a Keras model, flat: kept by the code that makes it, or made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastload.cache.entry import CacheEntry
from fastload.errors import UnsupportedRequestError
from fastload.predictor.functions import FlatEntry
from fastload.predictor.keras_functions import code_of, made_by
from fastload.runtime.core.code_files import CodeFiles
from fastload.runtime.core.code_record import CodeRecord, OtherCodeError, recording
from fastload.runtime.core.eager import modes, require_plain_scope
from fastload.runtime.functions.flat_function import FlatFunction, NotFlatError
from fastload.runtime.functions.inference import Inference, capturing, inference_of
from fastload.signature import Signature
from fastload.twin.reader import Twin

Make = Callable[[], tuple[FlatFunction, Signature]]


def kept_function(
    entry: CacheEntry,
    twin: Twin,
    choices: tuple[str, ...],
    build: Callable[[], Any],
    before: frozenset[str] | None,
) -> tuple[FlatEntry, Make]:
    """Return where the function is kept that the code of this process makes, and what makes it.

    Args:
        entry: of the twin.
        twin: the model's twin.
        choices: the Keras, with its settings.
        build: makes the model of its twin.
        before: what `modules_before` said when the load began.

    Raises:
        NotFlatError: it cannot be kept.
        NoFunctionError: the model has no function that can be traced.
    """
    try:
        require_plain_scope()
    except UnsupportedRequestError as error:
        raise NotFlatError(str(error)) from error
    code = code_of(entry, choices, modes())
    record, made = code.matching(), None
    if record is None:
        record, made = _made(code, build)
    code_of(entry, choices, ()).add_installed(record, before)
    kept_at = made_by(entry, choices, record.name)

    def make() -> tuple[FlatFunction, Signature]:
        kept = kept_at.read(twin)
        if kept is not None:
            return kept
        model, inference = made or _traced(build)
        try:
            flat = kept_at.make(lambda: capturing(inference, twin), inference.signature)
        finally:
            del model  # until now: the function holds its variables weakly
        return flat, inference.signature

    return kept_at, make


def _traced(build: Callable[[], Any]) -> tuple[Any, Inference]:
    model = build()
    return model, inference_of(model)


def _made(code: CodeFiles, build: Callable[[], Any]) -> tuple[CodeRecord, tuple[Any, Inference]]:
    if code.free is None:
        raise NotFlatError("it is kept for several versions of its code, and this is another one")
    with recording() as ran:
        made = _traced(build)
    try:
        record = CodeRecord.of(ran)
    except OtherCodeError as error:
        raise NotFlatError(str(error)) from error
    code.add(record)
    return record, made
