"""`load_saved_model`: a drop-in for `tf.saved_model.load`."""

from __future__ import annotations

from typing import Any

from fastload.loading.answer import answer
from fastload.loading.request import ObjectsRequest, addressed, current_settings, held_by
from fastload.report import PhaseClock
from fastload.settings import WeightsMode, weights_mode


def load_saved_model(
    export_dir: Any,
    tags: Any = None,
    options: Any = None,
    *,
    weights: WeightsMode | None = None,
    strict: bool | None = None,
) -> Any:
    """Load a SavedModel as `tf.saved_model.load` does, from its twin where possible.

    Functions, and all objects that no signature needs, are created on first access.

    Args:
        export_dir: a SavedModel folder.
        tags: as in the stock loader.
        options: as in the stock loader; a load that asks for more than a partial checkpoint, or
            for reading by this host, is left to it.
        weights: as in `load_model`, but `lazy` means `mapped` here: there are no budgets.
        strict: as in `load_model`.

    Returns:
        The object that the stock loader would return: same attributes, signatures, variables to
        the bit, outputs.

    Raises:
        FastloadError: with `strict`, why the load cannot be served from a twin.
        MissingTensorFlowError: TensorFlow is not installed.
        ValueError: `weights` or a variable of the environment has no such value.
        Exception: whatever the stock loader raises for this folder.

    Example:
        >>> import fastload
        >>> loaded = fastload.load_saved_model("path/to/saved_model")  # doctest: +SKIP
        >>> loaded.signatures["serving_default"](x=images)  # doctest: +SKIP
    """
    clock = PhaseClock()
    settings = current_settings()
    request = ObjectsRequest(
        filepath=addressed(export_dir, settings),
        tags=tags,
        stock_only={} if options is None else {"options": options},
        weights=settings.weights if weights is None else weights_mode(weights),
        strict=settings.strict if strict is None else strict,
        settings=settings,
        held=held_by(export_dir) if isinstance(export_dir, str) else None,
    )
    return answer(request, clock)
