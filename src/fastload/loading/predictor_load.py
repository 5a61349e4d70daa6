"""Where a predictor comes from: a twin and a part of TensorFlow, or the stock loader."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.directory import CacheDir
from fastload.errors import BypassError, CacheError
from fastload.imports.collector import paused_collector
from fastload.loading.answer import Served, serve
from fastload.loading.migration import is_migrated, may_migrate, open_migrated, rescued, unproved
from fastload.loading.request import ModelCall, PredictorCall, current_settings, require_enabled
from fastload.loading.store import Identity, dropping_corrupt, identify, migration_of, open_twin
from fastload.predictor.functions import SavedFunctions, kept_keras_function, keras_function
from fastload.predictor.predictor import Predictor, Run
from fastload.report import Outcome, PhaseClock
from fastload.runtime.core import early
from fastload.runtime.core.eager import require_plain_tensorflow
from fastload.runtime.core.expected_keras import expected_keras
from fastload.runtime.core.keras import (
    KERAS2,
    Keras,
    KerasChoice,
    keras_of,
    require_plain_moment,
    require_tensorflow,
)
from fastload.runtime.functions.flat_call import require_device
from fastload.runtime.loader_choice import opens, require_opens
from fastload.settings import WeightsMode, weights_choice
from fastload.source.detect import detect
from fastload.source.kinds import ModelSource, SourceKind
from fastload.twin.documents import PREDICTION_SECTION
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # what a load without lazy weights does without is imported where it is used
    from fastload.lazy_weights.accounts import Residency
    from fastload.lazy_weights.lender import Lender

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of `load_predictor`, which says what they are."""

    path: str | os.PathLike[str]
    signature: str | None
    device: str | None
    keras: KerasChoice
    weights: WeightsMode | None
    memory_budget: int | str | None
    strict: bool | None


def load(asked: Asked, reopen: Callable[..., Predictor]) -> Predictor:
    """Load what is asked for.

    Args:
        asked: by the caller.
        reopen: what a pickle of the predictor calls.

    Returns:
        The predictor, and raises what `load_predictor` raises.
    """
    clock = PhaseClock()
    settings = current_settings()
    mode, budget = weights_choice(settings, asked.weights, asked.memory_budget)
    call = PredictorCall(
        filepath=asked.path,
        signature=asked.signature,
        device=asked.device,
        keras=asked.keras,
        weights=mode,
        memory_budget=budget,
        strict=settings.strict if asked.strict is None else asked.strict,
        settings=settings,
        reopen=reopen,
        load_model=lambda: _whole_model(asked.path, asked.keras),
    )
    if asked.device is not None:
        early.start(may_defer=settings.defer and not settings.disabled)
        require_device(asked.device)
    predictor: Predictor = serve(
        call,
        clock,
        lambda: _load(call, clock),
        lambda stock_error: rescued(
            _model_call(call),
            stock_error,
            lambda identity, keras: _of_migrated(call, clock, identity, keras),
        ),
    )
    return predictor


def _whole_model(path: str | os.PathLike[str], keras: KerasChoice) -> Any:
    # Imported here: predictions do without.
    from fastload.api.load_model import load_model

    return load_model(path, keras=keras)


def _load(call: PredictorCall, clock: PhaseClock) -> Served:
    require_enabled(call.settings)
    with clock.phase("detect"):
        source = detect(call.filepath)
    of_its_kind = _of_saved_model if source.kind is SourceKind.SAVED_MODEL else _of_keras_file
    with paused_collector():
        return of_its_kind(call, clock, source)


def _of_saved_model(call: PredictorCall, clock: PhaseClock, source: ModelSource) -> Served:
    # Before the import, which begins by waiting for TensorFlow to be linked.
    with clock.phase("identify"):
        cache = CacheDir.locate(call.settings)
        identity = identify(cache, source, KERAS2, PREDICTION_SECTION)
    with clock.phase("import"):
        early.start(may_defer=call.settings.defer)
        require_plain_tensorflow()
    with clock.phase("twin"):
        twin, outcome = open_twin(identity, call.settings, call.weights)
    with clock.phase("restore"), dropping_corrupt(identity.entry):
        functions = SavedFunctions(
            identity=identity, twin=twin, path=os.fspath(call.filepath), device=call.device
        )
        signatures = functions.signatures
        if not signatures and call.signature is None:
            # Saved without any; the model itself may have one.
            return replace(_of_keras_file(call, clock, source), outcome=outcome)
        weights = _Weights.of(call, twin)
        functions.lender = weights.lender
        predictor = call.predictor(
            signatures, _or_stock(call, functions.run), identity.content.digest
        )
        weights.remember(predictor)
    reason = functions.reasons.get(predictor.signature)
    return Served(model=predictor, outcome=outcome, twin=twin, reason=reason)


def _or_stock(call: PredictorCall, run: Callable[[str], Run]) -> Callable[[str], Run]:
    """Return what gets functions ready: the stock loader's, where one fails after the load."""
    first = True

    def get_ready(name: str) -> Run:
        nonlocal first
        try:
            return run(name)
        except (CacheError, BypassError) as error:
            if first or call.must_be_served:
                raise
            _logger.warning("%s: %r is loaded by the stock loader: %s", call.filepath, name, error)
            return call.load_stock().signatures.ready(name)
        finally:
            first = False

    return get_ready


def _before_keras(call: PredictorCall, clock: PhaseClock, source: ModelSource) -> Served | None:
    """Serve a hit without importing Keras, and TensorFlow's package with it; None if it needs them.

    A function that is kept is of Keras's own classes; see `keras_function`.
    """
    expected = expected_keras(call.keras) if call.settings.defer else None
    if expected is None or call.weights == "lazy" or not opens(expected.name, source):
        return None
    with clock.phase("identify"):
        identity = identify(CacheDir.locate(call.settings), source, expected.name)
    if not identity.entry.path.exists():
        return None
    with clock.phase("import"):
        early.start(may_defer=True)
        require_plain_tensorflow()
    with clock.phase("twin"):
        twin, outcome = open_twin(identity, call.settings, call.weights)
    with clock.phase("restore"), dropping_corrupt(identity.entry):
        found = kept_keras_function(identity, twin, expected.choices, call.device)
        if found is None:
            return None
        signature, run = found
        predictor = call.predictor(
            {signature.name: signature}, lambda _: run, identity.content.digest
        )
    return Served(model=predictor, outcome=outcome, twin=twin)


def _of_keras_file(call: PredictorCall, clock: PhaseClock, source: ModelSource) -> Served:
    served = _before_keras(call, clock, source)
    if served is not None:
        return served
    model_call = _model_call(call)
    with clock.phase("import"):
        keras = keras_of(call.keras)
        require_tensorflow(keras, "a predictor")
        require_plain_moment(keras)
    with clock.phase("identify"):
        identity = identify(CacheDir.locate(call.settings), source, keras.generation)
    is_file = source.kind is not SourceKind.SAVED_MODEL
    if is_file and may_migrate(model_call, keras) and is_migrated(identity):
        return _of_migrated(call, clock, identity, keras)
    require_opens(keras.generation, source)
    with clock.phase("twin"):
        opened = open_twin(identity, call.settings, call.weights)
    return _of_keras_twin(call, clock, identity, keras, opened)


def _of_migrated(
    call: PredictorCall, clock: PhaseClock, identity: Identity, keras: Keras
) -> Served:
    """Predict with the Keras 3 model of a Keras 2 source, migrating it first where need be."""
    identity = migration_of(identity)
    with clock.phase("twin"):
        opened = open_migrated(_model_call(call), identity, keras)
    served = _of_keras_twin(call, clock, identity, keras, opened)
    return replace(served, reason=unproved(served.twin) or served.reason)


def _of_keras_twin(
    call: PredictorCall,
    clock: PhaseClock,
    identity: Identity,
    keras: Keras,
    opened: tuple[Twin, Outcome],
) -> Served:
    twin, outcome = opened
    with clock.phase("restore"), dropping_corrupt(identity.entry):
        # Imported here: where the function is kept, no model is made.
        from fastload.loading.restore import rebuild

        weights = _Weights.of(call, twin)
        model_call = replace(_model_call(call), compile=False)
        signature, run, reason = keras_function(
            identity,
            twin,
            keras,
            lambda: rebuild(model_call, identity, twin, keras),
            call.device,
            weights.lender,
        )
        predictor = call.predictor(
            {signature.name: signature}, lambda _: run, identity.content.digest
        )
        weights.remember(predictor)
    return Served(model=predictor, outcome=outcome, twin=twin, reason=reason)


def _model_call(call: PredictorCall) -> ModelCall:
    """Return the call of `load_model` that stock makes in the place of *call*."""
    return ModelCall(
        filepath=call.filepath, stock_only={}, keras=call.keras, settings=call.settings
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """How a predictor gets its weights.

    Attributes:
        lender: lends them; None where they are mapped, or all of them fit.
        account: what `fastload.residency` tells of; None where they are mapped.
    """

    lender: Lender | None = None
    account: Lender | Residency | None = None

    @classmethod
    def of(cls, call: PredictorCall, twin: Twin) -> _Weights:
        """Return how *call* wants the weights of *twin*.

        Raises:
            MemoryBudgetError: the budget is smaller than the model's largest layer.
            BypassError: TensorFlow cannot be driven as expected.
        """
        if call.weights != "lazy":
            return cls()
        from fastload.lazy_weights.residency import Terms, lender_of, whole

        terms = Terms.of(call.memory_budget, call.device, progress=call.settings.progress)
        lender = lender_of(twin, terms)
        return cls(lender=lender, account=lender or whole(twin, terms))

    def remember(self, predictor: Predictor) -> None:
        """Have `fastload.residency` tell of *predictor*."""
        if self.account is not None:
            from fastload.lazy_weights.residency import remember

            remember(predictor, self.account)
