"""`load_weights`: a drop-in for `model.load_weights`."""

from __future__ import annotations

from typing import Any

from fastload.loading.answer import answer
from fastload.loading.request import WeightsRequest, addressed, current_settings
from fastload.report import PhaseClock
from fastload.runtime.core.keras import package_of_model
from fastload.settings import WeightsMode, weights_mode


def load_weights(
    model: Any,
    filepath: Any,
    *,
    weights: WeightsMode | None = None,
    strict: bool | None = None,
    **stock: Any,
) -> Any:
    """Load weights into a model as `model.load_weights` does, from a twin of the file if possible.

    A file that is newer than this process is left to stock unless a twin was made before: programs
    that train write many such files, and read few of them.

    Args:
        model: a Keras model.
        filepath: a `.weights.h5` file, the `.weights.json` of one in shards, a legacy `.h5` file of
            weights or of a whole model, or a `.keras` archive.
        weights: as in `load_model`; `lazy` is `mapped` here, and no budget holds.
        strict: as in `load_model`.
        **stock: as in `model.load_weights`: `skip_mismatch`, `by_name`, `objects_to_skip`. A load
            with others, or with `options=`, is left to it.

    Returns:
        What `model.load_weights` returns.

    Raises:
        FastloadError: with `strict`, why the load cannot be served from a twin.
        MissingTensorFlowError: TensorFlow is not installed, and the model's Keras needs it.
        ValueError: `weights` or a variable of the environment has no such value.
        Exception: whatever `model.load_weights` raises. The model keeps what it has changed by
            then.

    Example:
        >>> import fastload
        >>> model = keras.applications.ResNet50(weights=None)  # doctest: +SKIP
        >>> fastload.load_weights(model, "resnet50.weights.h5")  # doctest: +SKIP
    """
    clock = PhaseClock()
    settings = current_settings()
    request = WeightsRequest(
        model=model,
        filepath=addressed(filepath, settings),
        arguments=stock,
        keras=package_of_model(model),
        weights=settings.weights if weights is None else weights_mode(weights),
        strict=settings.strict if strict is None else strict,
        settings=settings,
    )
    return answer(request, clock)
