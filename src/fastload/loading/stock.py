"""The stock loaders: what the caller would have got without fastload."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastload import registry
from fastload.cache.entry import KERAS2
from fastload.errors import BypassError, FastloadError, RestoreError
from fastload.loading.request import ObjectsRequest, PredictorRequest, Request, WeightsRequest
from fastload.predictor.predictor import Predictor, predictor_over
from fastload.runtime.core.eager import placed, runtime
from fastload.runtime.core.keras import Keras, keras_of, require_tensorflow
from fastload.runtime.core.tensorflow import load_saved_model
from fastload.runtime.functions.flat_function import ConcreteCall
from fastload.signature import Signature
from fastload.source.detect import UNPACKED, detect


def load_stock(request: Request, reason: FastloadError | None = None) -> Any:
    """Load with the stock loader.

    Args:
        request: what the caller asked.
        reason: why the twin does not answer.

    Raises:
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        Exception: whatever the stock loader raises, as it raises it.
    """
    if request.source_is_told:
        request = _with_source(request)
    if isinstance(request, ObjectsRequest):
        load = request.stock or load_saved_model
        return load(request.filepath, request.tags, request.options)
    if isinstance(request, PredictorRequest):
        return _predictor(request)
    if isinstance(request, WeightsRequest):
        return _weights(request, reason)
    load = request.stock or _loader(request, keras_of(request.keras))
    with placed(request.device):
        return load(request.filepath, **_arguments(request))


def _weights(request: WeightsRequest, reason: FastloadError | None) -> Any:
    # Imported here: few loads are of weights.
    from fastload.runtime.core.told import not_again

    told = reason.told if isinstance(reason, RestoreError) else ()
    with not_again(told):
        if request.stock is None:
            return request.model.load_weights(request.filepath, **request.arguments)
        return request.stock(request.model, request.filepath, **request.arguments)


def _loader(request: Request, keras: Keras) -> Callable[..., Any]:
    """Return Keras's own loader of what the caller gives; Keras 3 has others for open files."""
    is_address = isinstance(request.filepath, str)
    if request.held is None or is_address or keras.generation == KERAS2:
        return keras.load_model
    # Imported here: most loads are of paths.
    from fastload.runtime.keras3.keras3_files import open_file_loader

    return open_file_loader(request.held.kind)


def _with_source(request: Request) -> Request:
    """Return *request* for the model at the path of a reference, if it is there and unchanged.

    Raises:
        ModelNotHereError: there is none.
        ModelChangedError: another one is there.
    """
    from fastload.loading.referred import path_of

    return replace(request, filepath=path_of(request))


def _arguments(request: Request) -> dict[str, Any]:
    """Return the arguments of Keras's `load_model` besides the path."""
    arguments = {
        "custom_objects": request.custom_objects,
        "compile": request.compile,
        **request.stock_only,
    }
    given = request.custom_objects or {}
    if registry.custom_objects and isinstance(given, Mapping):
        arguments["custom_objects"] = registry.custom_objects | dict(given)
    if request.safe_mode is not True:  # Keras before 2.13 has no such argument
        arguments["safe_mode"] = request.safe_mode
    return arguments


def _predictor(request: PredictorRequest) -> Predictor:
    """Return a predictor over what the stock loader returns.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks what every call of a predictor needs.
    """
    path = Path(request.filepath)
    is_folder = path.is_dir() and not (path / UNPACKED[0]).exists()
    if is_folder or not (path.suffix or path.exists()):
        from fastload.convert.session_section import serving_tags

        runtime()
        loaded = load_saved_model(os.fspath(request.filepath), serving_tags(path))
        return _over_objects(request, loaded)
    keras = keras_of(request.keras)
    require_tensorflow(keras, "a predictor")
    runtime()
    objects = registry.custom_objects or None
    return _over_model(request, keras.load_model(request.filepath, custom_objects=objects))


def _over_objects(request: PredictorRequest, loaded: Any) -> Predictor:
    # Imported here, as below: a hit does without.
    from fastload.runtime.functions.inference import signature_of

    in_file = _signatures_in_file(Path(request.filepath))
    signatures = {
        name: in_file.get(name) or signature_of(name, function)
        for name, function in loaded.signatures.items()
    }

    def get_ready(name: str) -> ConcreteCall:
        return ConcreteCall(loaded.signatures[name], loaded, request.device)

    return predictor_over(request.reference(None), signatures, get_ready)


def _over_model(request: PredictorRequest, model: Any) -> Predictor:
    from fastload.runtime.functions.inference import inference_of

    inference = inference_of(model)
    run = ConcreteCall(inference, model, request.device)
    signatures = {inference.signature.name: inference.signature}
    return predictor_over(request.reference(None), signatures, lambda _: run)


def _signatures_in_file(folder: Path) -> Mapping[str, Signature]:
    """Return what a SavedModel says of its signatures: more than what is loaded of it does."""
    from fastload.convert.from_text import in_binary
    from fastload.convert.function_section import saved_signatures

    try:
        with in_binary(detect(folder)) as source:
            return saved_signatures(source.path)
    except (OSError, BypassError):  # written by TensorFlow 1, for one
        return {}
