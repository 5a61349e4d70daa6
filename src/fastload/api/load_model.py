"""`load_model`: a drop-in for `tf.keras.models.load_model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastload.loading.answer import answer
from fastload.loading.request import Request, addressed, current_settings, held_by
from fastload.report import PhaseClock
from fastload.runtime.core.keras import keras_of, require_tensorflow
from fastload.settings import WeightsMode, weights_choice

if TYPE_CHECKING:
    from fastload.runtime.core.keras import KerasChoice


def load_model(  # noqa: PLR0913 - the stock loader's arguments, and three of our own
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002, FBT001, FBT002 - as in the stock loader
    safe_mode: bool = True,  # noqa: FBT001, FBT002 - as in the stock loader
    *,
    weights: WeightsMode | None = None,
    memory_budget: int | str | None = None,
    device: str | None = None,
    keras: KerasChoice = "auto",
    strict: bool | None = None,
    **stock_only: Any,
) -> Any:
    """Load a Keras model as `tf.keras.models.load_model` does, from its twin where possible.

    Args:
        filepath: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive; or one of the
            latter two as an open file (`h5py.File`; with Keras 3 `open(path, "rb")`, `io.BytesIO`).
            Addresses (`s3://bucket/model.keras`) are opened by fsspec, and the model is fetched.
        custom_objects: as in the stock loader: custom classes and functions by name.
        compile: as in the stock loader.
        safe_mode: as in the stock loader.
        weights: `mapped` shares the twin's pages between processes and reads them when they are
            touched; `eager` reads them all at once into memory; `lazy` keeps no more of them in
            memory than `memory_budget`; `auto` (the default, or `FASTLOAD_WEIGHTS`) maps unless
            the cache is on a network file system.
        memory_budget: bytes that the weights may take in memory, as a number or as `"256MiB"`
            (default: `FASTLOAD_MEMORY_BUDGET`, or `set_memory_budget`, or all the memory that is
            free). Implies `weights="lazy"`. Such a load never falls back to the stock loader, which
            has no budgets. A model that fits as a whole is an ordinary model.
        device: where the model's weights are to be, as for `tf.device` (`"/GPU:0"`); by default
            where TensorFlow would put them.
        keras: `auto` for the Keras that `tf.keras` is (`keras` where Keras runs on JAX or PyTorch),
            or `keras` or `tf_keras`. In Keras 3, a model that Keras 2 wrote and that stock rejects
            is migrated to a Keras 3 model.
        strict: raise the reason instead of going to the stock loader (default:
            `FASTLOAD_STRICT`).
        **stock_only: further arguments of the stock loader. A load that has any is left to it, but
            for `options=` of SavedModels where they ask for no more than a partial checkpoint, or
            for reading by this host.

    Returns:
        The model that the stock loader would return: same class, weights to the bit, compile
        state, outputs.

    Raises:
        FastloadError: with `strict`, why the load cannot be served from a twin.
        RemoteSourceError: the model at an address cannot be had, and stock does not open it either.
        MigrationError: a Keras 2 SavedModel cannot be migrated to Keras 3; the message says which
            layer is the reason.
        MemoryBudgetError: the budget is smaller than the model's largest layer; the message says
            how large it has to be.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        UnsupportedRuntimeError: `device`, or `memory_budget`, was given where Keras runs on another
            backend than TensorFlow.
        ValueError: TensorFlow has no such device; or `weights`, `memory_budget`, `keras` or a
            variable of the environment has no such value.
        Exception: whatever the stock loader raises for this file.

    Example:
        >>> import fastload
        >>> model = fastload.load_model("path/to/model")  # doctest: +SKIP
        >>> fastload.last_load().outcome  # doctest: +SKIP
        <Outcome.HIT: 'hit'>
    """
    clock = PhaseClock()
    settings = current_settings()
    mode, budget = weights_choice(settings, weights, memory_budget)
    request = Request(
        filepath=addressed(filepath, settings),
        custom_objects=custom_objects,
        compile=compile,
        safe_mode=safe_mode,
        stock_only=stock_only,
        keras=keras,
        weights=mode,
        memory_budget=budget,
        device=device,
        strict=settings.strict if strict is None else strict,
        settings=settings,
        held=held_by(filepath),
    )
    if device is not None:
        from fastload.runtime.functions.flat_function import require_device

        require_tensorflow(keras_of(keras), "device=")
        require_device(device)
    return answer(request, clock)
