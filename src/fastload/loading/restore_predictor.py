"""From an open twin to a predictor: functions of the SavedModel, or the one of a Keras model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from fastload.errors import BypassError, CacheError
from fastload.imports.collector import paused_collector
from fastload.lean_dataclass import dataclass
from fastload.loading.opening import Opened, place_of
from fastload.loading.request import PredictorRequest
from fastload.predictor.functions import SavedFunctions
from fastload.predictor.keras_functions import kept_keras_function, keras_function
from fastload.predictor.predictor import Predictor, Run, predictor_over
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # imported where they are used: most loads do without
    from fastload.lazy_weights.accounts import Residency
    from fastload.lazy_weights.lender import Lender

_logger: Final = logging.getLogger("fastload")


def restore_predictor(
    opened: Opened, request: PredictorRequest
) -> tuple[Predictor, str | None] | None:
    """Return a predictor, and why its function is not flat if so; None if Keras has to make one.

    Raises:
        CacheError: the twin cannot serve it.
        BypassError: TensorFlow or Keras is not as expected, or a custom class is missing.
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        NoSuchSignatureError: the model lacks the signature that was asked for.
        NoFunctionError: the Keras model has no function that can be traced.
    """
    with paused_collector():
        if opened.plan.keras is None:
            return _of_saved_model(opened, request)
        return _of_keras_model(opened, request)


def _of_keras_model(
    opened: Opened, request: PredictorRequest
) -> tuple[Predictor, str | None] | None:
    from fastload.runtime.core.keras import ExpectedKeras

    weights = _Weights.of(request, opened.twin)
    identity, twin = opened.plan.identity, opened.twin
    if isinstance(opened.plan.keras, ExpectedKeras):
        choices = opened.plan.keras.choices
        found = kept_keras_function(identity.entry, twin, choices, request.device)
        if found is None:
            return None
        (signature, run), not_flat = found, None
    else:
        from fastload.loading.restore_model import keras_in, rebuild

        signature, run, not_flat = keras_function(
            identity.entry,
            twin,
            keras_in(opened),
            lambda: rebuild(opened, compiled=False),
            request.device,
            weights.lender,
            opened.plan.modules_before,
        )
    reference = request.reference(identity.content.digest, identity.source.kind.value)
    predictor = predictor_over(reference, {signature.name: signature}, lambda _: run)
    weights.remember(predictor)
    return predictor, not_flat


def _of_saved_model(
    opened: Opened, request: PredictorRequest
) -> tuple[Predictor, str | None] | None:
    identity = opened.plan.identity
    functions = SavedFunctions(
        entry=identity.entry,
        twin=opened.twin,
        path=place_of(opened),
        device=request.device,
    )
    if not functions.signatures and request.signature is None:
        return None  # saved without any; the Keras model itself may have a function
    weights = _Weights.of(request, opened.twin)
    functions.lender = weights.lender
    get_ready = _TwinOrStock(request=request, functions=functions)
    reference = request.reference(identity.content.digest, identity.source.kind.value)
    predictor = predictor_over(reference, functions.signatures, get_ready)
    weights.remember(predictor)
    return predictor, functions.reasons.get(predictor.signature)


@dataclass(slots=True, kw_only=True)
class _TwinOrStock:
    """Gets functions ready: the twin's, and the stock loader's where one fails after the load."""

    request: PredictorRequest
    functions: SavedFunctions
    is_loaded: bool = False
    _stock: Any = None

    def __call__(self, name: str) -> Run:
        try:
            return self.functions.run(name)
        except (CacheError, BypassError) as error:
            if not self.is_loaded or self.request.must_be_served:
                raise
            path = self.request.filepath
            _logger.warning("%s: %r is loaded by the stock loader: %s", path, name, error)
            return self._stocks(name)
        finally:
            self.is_loaded = True

    def _stocks(self, name: str) -> Run:
        """Return the stock loader's function; all of them share what they have of a state."""
        from fastload.loading.stock import load_stock

        if self._stock is None:
            self._stock = load_stock(self.request)
        ready: Run = self._stock.signatures.ready(name)
        return ready


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """How a predictor gets its weights.

    Attributes:
        lender: lends them; None where they are mapped, or all of them fit.
        account: what `fastload.residency` reports; None where they are mapped.
    """

    lender: Lender | None = None
    account: Lender | Residency | None = None

    @classmethod
    def of(cls, request: PredictorRequest, twin: Twin) -> _Weights:
        """Return how *request* wants the weights of *twin*.

        Raises:
            MemoryBudgetError: the budget is smaller than the model's largest layer.
            BypassError: TensorFlow cannot be driven as expected.
        """
        if request.weights != "lazy":
            return cls()
        from fastload.lazy_weights.residency import Terms, lender_of, whole

        terms = Terms.of(request.memory_budget, request.device, progress=request.settings.progress)
        lender = lender_of(twin, terms)
        return cls(lender=lender, account=lender or whole(twin, terms))

    def remember(self, predictor: Any) -> None:
        """Have `fastload.residency` report on *predictor*."""
        if self.account is not None:
            from fastload.lazy_weights.residency import remember

            remember(predictor, self.account)
