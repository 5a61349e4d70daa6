"""A model that predicts before it is there: `load_model(path, defer=True)`.

What is returned is an object without state, of a subclass of the model's class. It predicts with
the model's stored function. The first time that anything else is asked of it, or that the function
does not cover what it is given, the model is loaded and the object becomes it.
docs/decisions/0020-deferred-models.md says what can be told apart until then.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastload.cache.publish import replacing
from fastload.call import ModelCall
from fastload.errors import BypassError, CacheError, CacheUnwritableError
from fastload.functions import keras_function
from fastload.loading import Identity
from fastload.restore.predictor import Run
from fastload.runtime.adoption import taking_place
from fastload.runtime.backends.choice import TENSORFLOW
from fastload.runtime.flavour import Flavour
from fastload.runtime.late import come_to_life, late, true_dict
from fastload.runtime.model_classes import plain_class, plain_class_name
from fastload.runtime.stand_in_model import NotCoveredError, can_be_asked, stand_in
from fastload.signature import Signature
from fastload.switch import loading
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")
_ANSWERS: Final = "_fastload_answers"


def deferred(
    call: ModelCall, identity: Identity, twin: Twin, chosen: Flavour, build: Callable[[], Any]
) -> tuple[Any, str | None]:
    """Return a model that is loaded when more is asked of it than to predict.

    Args:
        call: the call of `load_model`.
        identity: which model.
        twin: its twin.
        chosen: its Keras.
        build: loads the model.

    Returns:
        The deferred model and None; or the model itself, and why it cannot be deferred.

    Raises:
        CacheError, BypassError: the model cannot be made of its twin.
    """
    try:
        final, answers = _answering(call, identity, twin, chosen, build)
    except _NotDeferrableError as error:
        return build(), f"it is not deferred: {error}"
    return _ghost(call, final, answers, build), None


class _NotDeferrableError(Exception):
    """The model has to be loaded; the message says why."""


@dataclass(kw_only=True)
class _Answers:
    """What a deferred model does by itself.

    Attributes:
        chosen: its Keras.
        signature: what its function takes and gives.
        run: its function.
    """

    chosen: Flavour
    signature: Signature
    run: Run

    @functools.cached_property
    def model(self) -> Any:
        """What predicts, as Keras does, with the function."""
        return stand_in(self.chosen, self.signature, self.run)


def _answering(
    call: ModelCall, identity: Identity, twin: Twin, chosen: Flavour, build: Callable[[], Any]
) -> tuple[Any, _Answers]:
    """Return the model's class, and what predicts in its stead."""
    if call.custom_objects or call.device is not None or call.weights == "lazy":
        raise _NotDeferrableError("custom_objects=, device= or lazy weights were given")
    if chosen.backend != TENSORFLOW:
        raise _NotDeferrableError(f"Keras runs on {chosen.backend}")
    notes = _Notes(identity=identity, chosen=chosen, compiled=call.compile)
    name = notes.read()
    if name is None:
        made = build()
        name = notes.learn(made)
        build = lambda: made  # noqa: E731 - the next stage needs one too
    final = plain_class(chosen, name)
    if final is None:
        raise _NotDeferrableError(name)
    try:
        signature, run, reason = keras_function(identity, twin, chosen, build, None)
    except (CacheError, BypassError):
        raise
    except Exception as error:
        raise _NotDeferrableError(f"its function: {error}") from error
    if reason is not None or signature.structure is None or signature.order is None:
        raise _NotDeferrableError(reason or "its inputs or outputs are in no known order")
    return final, _Answers(chosen=chosen, signature=signature, run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes:
    """What has to be known of a model before it is loaded: a side entry of its twin.

    Attributes:
        identity: the model.
        chosen: its Keras.
        compiled: whether it is loaded with `compile=True`.
    """

    identity: Identity
    chosen: Flavour
    compiled: bool

    @property
    def _path(self) -> Path:
        version = self.chosen.version.replace(".", "_")
        kind = f"class-{self.chosen.package}-{version}-{int(self.compiled)}"
        return self.identity.entry.side_path(kind)

    def read(self) -> str | None:
        """Return the name of the model's class, or why it cannot be deferred; None if unknown."""
        try:
            noted = json.loads(self._path.read_bytes())["class"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return noted if isinstance(noted, str) else None

    def learn(self, model: Any) -> str:
        """Note what *model* is, and return it."""
        name = plain_class_name(self.chosen, model)
        try:
            with replacing(self._path, durable=False) as partial:
                partial.write_text(json.dumps({"class": name}), encoding="utf-8")
        except CacheUnwritableError as error:
            _logger.info("the model's class is not kept: %s", error)
        return name


def _ghost(call: ModelCall, final: Any, answers: _Answers, build: Callable[[], Any]) -> Any:
    def make() -> Any:
        with loading():
            try:
                return build()
            except (CacheError, BypassError) as error:
                _logger.warning("%s is loaded by the stock loader: %s", call.filepath, error)
                return call.load_stock()

    take_place = taking_place(make)

    def revive(self: Any) -> None:
        take_place(self)
        del true_dict(self)[_ANSWERS]

    return late(final, revive, {_ANSWERS: answers}, methods=_methods(final))


@functools.cache
def _methods(final: Any) -> tuple[tuple[str, Callable[..., Any]], ...]:
    """Return what a deferred model of class *final* does by itself, and what brings the model."""

    @functools.wraps(final.predict)
    def predict(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _answer(self, "predict", args, kwargs)

    @functools.wraps(final.predict_on_batch)
    def predict_on_batch(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _answer(self, "predict_on_batch", args, kwargs)

    @functools.wraps(final.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        come_to_life(self)
        return self(*args, **kwargs)

    def set_attribute(self: Any, name: str, value: Any) -> None:
        come_to_life(self)
        setattr(self, name, value)

    def delete_attribute(self: Any, name: str) -> None:
        come_to_life(self)
        delattr(self, name)

    return (
        ("predict", predict),
        ("predict_on_batch", predict_on_batch),
        ("__call__", call),
        ("__setattr__", set_attribute),
        ("__delattr__", delete_attribute),
    )


def _answer(self: Any, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer a call of *method* without the model, if that can be."""
    answers = true_dict(self).get(_ANSWERS)
    if answers is not None and can_be_asked(method, args, kwargs):
        try:
            return getattr(answers.model, method)(*args, **kwargs)
        except NotCoveredError:
            pass
    come_to_life(self)
    return getattr(self, method)(*args, **kwargs)
