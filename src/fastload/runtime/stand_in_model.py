"""Keras's own `predict` over a function that is not a model's.

A stand-in is a model without layers whose predict function is given. What cuts the inputs into
batches, shows progress and joins the outputs is Keras.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from fastload.runtime import eager
from fastload.runtime.flavour import KERAS2, Flavour
from fastload.runtime.tensorflow import first_module, tensorflow
from fastload.signature import Signature, TensorSpec, map_structure


class NotCoveredError(Exception):
    """The function does not take such inputs as it takes them here."""


def stand_in(
    chosen: Flavour,
    signature: Signature,
    takes: str,
    run: Callable[..., Mapping[str, Any]],
) -> Any:
    """Return a model that predicts with *run* and can do nothing else.

    Args:
        chosen: the Keras.
        signature: what the function takes and gives, in the structure of a Keras model's.
        takes: the form of the model's inputs: `one`, `list` or `dict`.
        run: the function, from tensors by name to tensors by name.
    """
    model = _kind(chosen.keras.Model)(name="fastload")

    def predict_function(data: Any) -> Any:
        batch = next(data) if chosen.name == KERAS2 else data[0]
        tensors = _covered(signature, takes, _inputs(batch))
        try:
            results = run(tensors)
        except eager.runtime().errors_impl.OpError as error:
            raise NotCoveredError from error  # a model's own error tells of its layers
        if chosen.name == KERAS2:
            model._predict_counter.assign_add(1)
        return map_structure(results.__getitem__, signature.structure)

    model.predict_function = predict_function
    return model


def leave_traces(chosen: Flavour, stand_in: Any, model: Any) -> None:
    """Leave on *model* what *stand_in*'s predictions would have left on it."""
    model.make_predict_function()
    if hasattr(model, "_called"):  # Keras 2.15 and earlier does not remember
        model._called = True
    if chosen.name == KERAS2:
        model._predict_counter.assign(stand_in._predict_counter)
    if isinstance(getattr(stand_in, "history", None), chosen.keras.callbacks.History):
        stand_in.history.set_model(model)
        model.history = stand_in.history
    if hasattr(stand_in, "stop_predicting"):
        model.stop_predicting = stand_in.stop_predicting


def can_be_asked(method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Say whether a stand-in's *method* does here and now what a model's does with *args*.

    Its inputs may have to be taken a second time, by the model, so they must be arrays.
    """
    if not args or len(args) > _MOST_POSITIONAL[method] or not kwargs.keys() <= _KEYWORDS[method]:
        return False
    if not _is_ordinary_moment():
        return False
    given = args[0]
    values = given.values() if isinstance(given, dict) else given
    is_nest = isinstance(given, (dict, list, tuple))
    return all(type(each) is np.ndarray for each in (values if is_nest else [given]))


#: `x`, `batch_size`, `verbose`; what comes after these needs the model.
_MOST_POSITIONAL: Final = {"predict": 3, "predict_on_batch": 1}
_KEYWORDS: Final = {"predict": {"batch_size", "verbose"}, "predict_on_batch": set[str]()}


def _is_ordinary_moment() -> bool:
    """Say whether a function that runs now is run as it is, and nobody looks on."""
    if not eager.executing_eagerly() or eager.has_strategy() or eager.context().device_name:
        return False
    tapes = first_module("tensorflow.python.eager.record", "tensorflow.python.eager.tape")
    watched = getattr(tapes, "could_possibly_record", lambda: True)()
    return not (watched or tensorflow().config.functions_run_eagerly())


def takes_any_batch(signature: Signature) -> bool:
    """Say whether the function takes any number of rows; one that does not fails in mid-course."""
    specs = signature.inputs.values()
    return all(spec.shape and spec.shape[0] is None for spec in specs)


@functools.cache
def _kind(base: Any) -> Any:
    def call(self: Any, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    return type("StandIn", (base,), {"call": call, "__module__": __name__})


def _inputs(batch: Any) -> Any:
    """Return the inputs of one step, as Keras hands them to `predict_step`."""
    return batch[0] if isinstance(batch, tuple) else batch


def _covered(signature: Signature, takes: str, given: Any) -> dict[str, Any]:
    """Return the inputs by name.

    Raises:
        NotCoveredError: they are not exactly what the function takes; the model may know what to do
            with them, or what to say of them.
    """
    order, named = signature.order or (), {}
    if isinstance(given, Mapping) and takes != "one":
        named = dict(given)
    elif isinstance(given, (list, tuple)) and takes == "list" and len(given) == len(order):
        named = dict(zip(order, given, strict=True))
    elif not isinstance(given, (Mapping, list, tuple)) and takes == "one":
        named = {order[0]: given}
    if named.keys() != signature.inputs.keys():
        raise NotCoveredError
    if not all(_suits(spec, named[name]) for name, spec in signature.inputs.items()):
        raise NotCoveredError
    # A predict function is given tensors, but for a single batch in Keras 3.
    return {
        name: eager.tensor_of(value) if isinstance(value, np.ndarray) else value
        for name, value in named.items()
    }


def _suits(spec: TensorSpec, value: Any) -> bool:
    is_value = type(value) is np.ndarray or (eager.is_tensor(value) and hasattr(value, "numpy"))
    if not is_value or value.dtype.name != spec.dtype:
        return False
    shape, wanted = tuple(value.shape), spec.shape
    return (
        wanted is not None
        and len(shape) == len(wanted)
        and all(size in {None, found} for found, size in zip(shape, wanted, strict=True))
    )
