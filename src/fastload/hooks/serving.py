"""How calls of stock loaders are answered, by the patched function's own parameters.

Each function here takes the stock function and the arguments of one call, and returns the request
that the call is, or None if the stock function has to answer it. Calls with arguments that the
stock function does not take go to the stock function as well, which raises the error.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from fastload.imports.collector import paused_collector

if TYPE_CHECKING:
    from fastload.loading.request import ObjectsRequest, Request, WeightsRequest
    from fastload.report import PhaseClock
    from fastload.source.held import Held

#: Takes the stock function and its bound arguments, returns what is requested.
Stand = Callable[[Callable[..., Any], Mapping[str, Any]], "Request | None"]

#: What answers requests, and imports most of what a load needs.
_ANSWER: Final = "fastload.loading.answer"
_ARCHIVE: Final = (".keras",)
_TREES: Final = (".keras", ".weights.h5", ".weights.json")
_HDF5: Final = (".h5", ".hdf5")
_WHOLE: Final = frozenset({"export_dir", "filters", "tags", "options"})
_PLACES: Final = frozenset({"model", "filepath"})
_OURS: Final = frozenset({"filepath", "custom_objects", "compile", "safe_mode"})


def answer_call(
    stock: Callable[..., Any], stand: Stand, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Answer one call of *stock* with *stand*."""
    arguments = _bound(stock, args, kwargs)
    if arguments is None:
        return stock(*args, **kwargs)
    clock, request = _asked(stock, stand, arguments)
    if request is None:
        return stock(*args, **kwargs)
    from fastload.loading.answer import answer

    found = answer(request, clock)
    return {"root": found} if stand is parts else found


def _asked(
    stock: Callable[..., Any], stand: Stand, arguments: Mapping[str, Any]
) -> tuple[PhaseClock, Any]:
    """Import what answers calls, and return the request; without a collection at the first one.

    TensorFlow is there, and a collection in the midst of these imports takes longer than a load.
    """
    is_first = _ANSWER not in sys.modules
    with paused_collector(makes_old=is_first):
        from fastload.report import PhaseClock

        clock = PhaseClock()
        request = stand(stock, arguments)
        if is_first and request is not None:
            import_module(_ANSWER)
    return clock, request


def model(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> Request:
    """Serve a call of `load_model`."""
    from fastload.loading.request import Request, current_settings
    from fastload.settings import weights_choice

    settings = current_settings()
    weights, budget = weights_choice(settings, None, None)
    return Request(
        **{name: value for name, value in arguments.items() if name in _OURS},
        stock_only={name: value for name, value in arguments.items() if name not in _OURS},
        keras=_package(stock),
        weights=weights,
        memory_budget=budget,
        strict=settings.strict,
        settings=settings,
        stock=stock,
        held=_held(arguments.get("filepath")),
    )


def _held(given: Any) -> Held | None:
    """Return the model that a caller gives in place of a path: an HDF5 file, one in memory."""
    h5py = sys.modules.get("h5py")
    is_open = h5py is not None and isinstance(given, h5py.File)
    if not (is_open or isinstance(given, str)):
        return None
    from fastload.loading.request import held_by

    return held_by(given)


def open_archive(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> Request | None:
    """Serve a call of the function that Keras 3 calls for open archives, and for pickles."""
    from fastload.source.held import held

    found = held(arguments["fileobj"])
    return None if found is None else _request_for(stock, arguments, found, safe_mode=True)


def pickled(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> Request | None:
    """Serve a call of the function that makes a Keras 2 model of its pickle."""
    from fastload.source.held import held_archive

    content = arguments["serialized_model"]
    if not (type(content) is bytes and content.startswith(b"PK")):
        return None  # before Keras 2.13, a SavedModel
    return _request_for(stock, arguments, held_archive(content, content), safe_mode=False)


def _request_for(
    stock: Callable[..., Any], arguments: Mapping[str, Any], found: Held, *, safe_mode: bool
) -> Request:
    """Return the request for what a caller holds.

    Args:
        stock: the stock function.
        arguments: as bound, without those that are the default.
        found: what the caller holds.
        safe_mode: the one that counts where *arguments* say nothing of it.
    """

    def whole(*_: Any, **__: Any) -> Any:
        return stock(**arguments)

    own = {name: value for name, value in arguments.items() if name in _OURS}
    asked = model(stock, {"filepath": found.given, "safe_mode": safe_mode, **own})
    return replace(asked, stock=whole, held=found)


def keras_archive(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> Request | None:
    """Serve a call of the function that `load_model` calls for `.keras` archives."""
    return model(stock, arguments) if _ends(arguments, _ARCHIVE) else None


def hdf5(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> Request | None:
    """Serve a call of the function that `load_model` calls for `.h5` files, open ones too."""
    given = arguments.get("filepath")
    is_open = not isinstance(given, str) and _held(given) is not None
    return model(stock, arguments) if is_open or _ends(arguments, _HDF5) else None


def legacy(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> Request | None:
    """Serve a call of the function that Keras 2 calls for SavedModels and HDF5 of any name.

    In Keras 2.11 it is the one that programs call, and there are no archives: `.keras` is HDF5.
    """
    has_archives = stock.__module__.replace("legacy.save", "saving_api") in sys.modules
    return None if has_archives and _ends(arguments, _ARCHIVE) else model(stock, arguments)


def weights(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> WeightsRequest:
    """Serve a call of `load_weights`."""
    from fastload.loading.request import WeightsRequest, current_settings

    settings = current_settings()
    return WeightsRequest(
        model=arguments["model"],
        filepath=arguments["filepath"],
        arguments={name: value for name, value in arguments.items() if name not in _PLACES},
        keras=_package(stock),
        weights=settings.weights,
        strict=settings.strict,
        settings=settings,
        stock=stock,
    )


def method(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> WeightsRequest:
    """Serve a call of the method `load_weights`, which was all there is before Keras 2.12.

    Args:
        stock: the method of a model.
        arguments: as bound.
    """

    def as_function(_: Any, *args: Any, **kwargs: Any) -> Any:
        return stock(*args, **kwargs)

    as_function.__module__ = stock.__module__
    return weights(as_function, {"model": stock.__self__, **arguments})  # type: ignore[attr-defined]


def trees(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> WeightsRequest | None:
    """Serve a call of the function that `load_weights` calls for trees of variables."""
    return weights(stock, arguments) if _ends(arguments, _TREES) else None


def saved_model(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> ObjectsRequest:
    """Serve a call of `tf.saved_model.load`."""
    from fastload.loading.request import ObjectsRequest, current_settings

    settings = current_settings()
    return ObjectsRequest(
        filepath=arguments["export_dir"],
        tags=arguments.get("tags"),
        stock_only=_options(arguments.get("options")),
        weights=settings.weights,
        strict=settings.strict,
        settings=settings,
        stock=stock,
        held=_held(arguments["export_dir"]),
    )


def _options(options: Any) -> Mapping[str, Any]:
    return {} if options is None else {"options": options}


def parts(stock: Callable[..., Any], arguments: Mapping[str, Any]) -> ObjectsRequest | None:
    """Serve a call of the function that `tf.saved_model.load` calls, if it asks for everything."""
    if not arguments.keys() <= _WHOLE or arguments.get("filters") is not None:
        return None

    def whole(*_: Any) -> Any:
        return stock(**arguments)["root"]

    return saved_model(whole, arguments)


def _bound(
    stock: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the arguments of a call by name, without those that are the default.

    None if the stock function does not take such arguments: it is to say so itself, in an error
    that follows from no other.
    """
    signature = inspect.signature(stock)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return None
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound.update(bound.pop(parameter.name, {}))
        elif parameter.name in bound and bound[parameter.name] is parameter.default:
            del bound[parameter.name]
    return bound


def _ends(arguments: Mapping[str, Any], suffixes: tuple[str, ...]) -> bool:
    return str(arguments.get("filepath")).endswith(suffixes)


def _package(stock: Callable[..., Any]) -> Any:
    return stock.__module__.partition(".")[0]
