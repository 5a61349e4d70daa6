"""`load_predictor`: inference without the model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastload.flags import DEFER, DISABLE, flag
from fastload.imports import linking

if TYPE_CHECKING:
    from fastload.predictor.predictor import Predictor
    from fastload.runtime.core.keras import KerasChoice
    from fastload.settings import WeightsMode


def load_predictor(  # noqa: PLR0913 - each says another thing
    path: str | os.PathLike[str],
    signature: str | None = None,
    *,
    device: str | None = None,
    keras: KerasChoice = "auto",
    weights: WeightsMode | None = None,
    memory_budget: int | str | None = None,
    strict: bool | None = None,
) -> Predictor:
    """Load a model for inference only.

    A predictor is no model, but one function and its weights, mapped from the twin. A function that
    does more with its variables than read them runs over TensorFlow's own objects.

    Args:
        path: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive.
        signature: which function of a SavedModel to call; by default `serving_default`, or the only
            one. Other files, and SavedModels of Keras without signatures, have one function, which
            computes what the model does.
        device: where to run it, as for `tf.device`; by default where TensorFlow would run it.
        keras: as in `load_model`, for files that have no functions of their own.
        weights: as in `load_model`.
        memory_budget: as in `load_model`.
        strict: as in `load_model`.

    Returns:
        The predictor.

    Raises:
        NoSuchSignatureError: the model has no such signature.
        NoFunctionError: a Keras model does not say what it takes, or takes no plain tensors.
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        FastloadError: with `strict`, why the load cannot be served from a twin.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        ValueError: TensorFlow has no such device; or an argument or a variable of the environment
            has no such value.
        Exception: whatever the stock loader raises for this file.

    Example:
        >>> import fastload
        >>> predict = fastload.load_predictor("path/to/model")  # doctest: +SKIP
        >>> predict(images)  # doctest: +SKIP
        >>> predict.signatures["serving_default"](input_1=images)  # doctest: +SKIP
    """
    if flag(os.environ, DEFER, unset=True) and not flag(os.environ, DISABLE):
        linking.begin()
    # Imported here, while TensorFlow is linked.
    from fastload.loading.answer import answer
    from fastload.loading.request import PredictorRequest, addressed, current_settings
    from fastload.report import PhaseClock
    from fastload.settings import weights_choice
    from fastload.source.detect import without_scheme

    clock = PhaseClock()
    settings = current_settings()
    mode, budget = weights_choice(settings, weights, memory_budget)
    request = PredictorRequest(
        filepath=addressed(without_scheme(path), settings),
        signature=signature,
        device=device,
        keras=keras,
        weights=mode,
        memory_budget=budget,
        strict=settings.strict if strict is None else strict,
        settings=settings,
    )
    if device is not None:
        from fastload.runtime.core import early
        from fastload.runtime.functions.flat_function import require_device

        early.start(may_defer=settings.defer and not settings.disabled)
        require_device(device)
    predictor: Predictor = answer(request, clock)
    return predictor
