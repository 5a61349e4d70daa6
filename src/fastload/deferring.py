"""A model that predicts before it is there: `load_model(path, defer=True)`.

What is returned is an object without state, of a subclass of the model's class. It predicts with
the model's stored function. The first time that anything else is asked of it, or that the function
does not cover what it is given, the model is loaded and the object becomes it.
docs/decisions/0020-deferred-models.md says what can be told apart until then.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastload.call import ModelCall
from fastload.deferral_note import DeferralEntry, DeferralNote
from fastload.errors import BypassError, CacheError, FastloadError
from fastload.functions import keras_function
from fastload.loading import Identity
from fastload.restore.objects import uses_only_builtins
from fastload.restore.predictor import Run
from fastload.runtime.adoption import taking_place
from fastload.runtime.backends.choice import TENSORFLOW
from fastload.runtime.effects import Effects
from fastload.runtime.flavour import KERAS2, Flavour
from fastload.runtime.late import come_to_life, late, true_dict
from fastload.runtime.model_classes import PLAIN_CLASSES, plain_class
from fastload.runtime.moment import Moment, in_a_thread, is_plain
from fastload.runtime.stand_in_model import (
    NotCoveredError,
    can_be_asked,
    leave_traces,
    stand_in,
    takes_any_batch,
)
from fastload.signature import Signature
from fastload.source.detect import detect
from fastload.source.kinds import ModelSource
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
        The deferred model and None; or the model itself, and why it is not deferred.

    Raises:
        CacheError, BypassError: the model cannot be made of its twin.
    """
    reason = _obstacle(call, twin, chosen)
    if reason is not None:
        return build(), f"it is not deferred: {reason}"
    moment = Moment.now(chosen)
    entry = DeferralEntry(identity=identity, moment=moment, compiled=call.compile)
    note = entry.read() or DeferralNote(kind="fastload.warm has not prepared it for that")
    final = plain_class(chosen, note.kind)
    make = functools.partial(moment.again, build, note.effects)
    answers: _Answers | str = note.kind
    if final is not None:
        answers = in_a_thread(lambda: _answers(note, entry, twin, make))
    if isinstance(answers, str):
        return build(), f"it is not deferred: {answers}"
    note.effects.leave_behind(chosen)
    return _ghost(call, identity.source, final, answers, make), None


def learn(
    call: ModelCall, identity: Identity, twin: Twin, chosen: Flavour, build: Callable[[], Any]
) -> None:
    """Find out whether the model can be deferred, and have ready what that needs; see `deferred`.

    Raises:
        CacheError, BypassError: the model cannot be made of its twin.
    """
    if _obstacle(call, twin, chosen) is not None:
        return
    moment = Moment.now(chosen)
    entry = DeferralEntry(identity=identity, moment=moment, compiled=call.compile)
    if entry.read() is None:
        other = replace(entry, compiled=not call.compile).read()
        entry.keep(moment.trial(build, functools.partial(_learnt, entry, twin, other)))


def _obstacle(call: ModelCall, twin: Twin, chosen: Flavour) -> str | None:
    """Say what about the call is in the way."""
    if call.custom_objects or call.device is not None or call.weights == "lazy":
        return "custom_objects=, device= or lazy weights were given"
    if chosen.backend != TENSORFLOW:
        return f"Keras runs on {chosen.backend}"
    if not uses_only_builtins(twin, chosen):
        return "its classes are custom, and may change"
    return None if is_plain(chosen) else "a scope or a dtype policy is set"


def _learnt(
    entry: DeferralEntry,
    twin: Twin,
    other: DeferralNote | None,
    made: Any,
    effects: Effects | None,
) -> DeferralNote:
    """Return what is to be known of *made*.

    Args:
        entry: where that is kept.
        twin: the model's twin.
        other: what is known of it compiled, if it is not, or the other way round.
        made: the model.
        effects: what making it left behind, if that can be told.
    """
    note = DeferralNote.of(entry.moment.chosen, made, effects)
    if note.kind not in PLAIN_CLASSES or (other is not None and other.kind == note.kind):
        return note  # what it predicts is the same, compiled or not
    answers = _answers(note, entry, twin, lambda: made)
    if isinstance(answers, str):
        return replace(note, kind=answers)
    from fastload.runtime.predict_check import predicts_alike  # a load does without

    try:
        is_alike = predicts_alike(answers.signature, note.takes, answers.model, made)
    except Exception as error:  # noqa: BLE001 - whatever a model raises
        return replace(note, kind=f"its predictions were not compared: {error}")
    return note if is_alike else replace(note, kind="its bits depend on the sizes of batches")


def _answers(
    note: DeferralNote, entry: DeferralEntry, twin: Twin, make: Callable[[], Any]
) -> _Answers | str:
    """Return what predicts for a model that *make* makes, or why nothing can."""
    chosen = entry.moment.chosen
    try:
        signature, run, reason = keras_function(
            entry.identity, twin, chosen, make, None, counted=chosen.name == KERAS2
        )
    except Exception as error:  # noqa: BLE001 - whatever a model raises when it is traced
        return f"its function: {error}"
    if reason is not None:
        return reason
    if signature.structure is None:
        return "the structure of its outputs is not known"
    if not takes_any_batch(signature):
        return "it does not take any number of rows"
    return _Answers(chosen=chosen, signature=signature, takes=note.takes, run=run)


@dataclass(kw_only=True)
class _Answers:
    """What a deferred model does by itself.

    Attributes:
        chosen: its Keras.
        signature: what its function takes and gives.
        takes: the form of its inputs.
        run: its function.
        has_answered: it has predicted.
    """

    chosen: Flavour
    signature: Signature
    takes: str
    run: Run

    has_answered: bool = False
    _model: Any = None

    @property
    def model(self) -> Any:
        """What predicts, as Keras does, with the function."""
        if self._model is None:
            self._model = stand_in(self.chosen, self.signature, self.takes, self.run)
        return self._model

    def leave_traces(self, model: Any) -> None:
        """Leave on *model* what its predictions would have left."""
        if self.has_answered:
            leave_traces(self.chosen, self._model, model)


def _has_changed(source: ModelSource) -> bool:
    """Say whether stock would load another model than the one that is deferred."""
    try:
        return detect(source.path).files != source.files
    except (OSError, FastloadError):
        return True


def _ghost(
    call: ModelCall,
    source: ModelSource,
    final: Any,
    answers: _Answers,
    make: Callable[[], Any],
) -> Any:
    path = Path(call.filepath).absolute()  # the working directory may be another one by then

    def load() -> Any:
        with loading():
            try:
                model = make()
            except (CacheError, BypassError) as error:
                if call.must_be_served or _has_changed(source):
                    raise
                _logger.warning("%s is loaded by the stock loader: %s", path, error)
                return replace(call, filepath=str(path)).load_stock()
        answers.leave_traces(model)
        return model

    take_place = taking_place(load)

    def revive(self: Any) -> None:
        take_place(self)
        del true_dict(self)[_ANSWERS]

    return late(final, revive, {_ANSWERS: answers}, methods=_methods(final))


#: What a look at is not a look at the model.
_OWN: Final = frozenset({"predict", "predict_on_batch", "__class__"})


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

    def look(self: Any, name: str) -> Any:
        if name in _OWN:
            return object.__getattribute__(self, name)
        come_to_life(self)
        return getattr(self, name)

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
        ("__getattribute__", look),
        ("__setattr__", set_attribute),
        ("__delattr__", delete_attribute),
    )


def _answer(self: Any, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Answer a call of *method* without the model, if that can be."""
    answers = true_dict(self).get(_ANSWERS)
    if answers is not None and can_be_asked(method, args, kwargs):
        try:
            found = getattr(answers.model, method)(*args, **kwargs)
            answers.has_answered = True
            return found
        except NotCoveredError:
            pass
    come_to_life(self)
    return getattr(self, method)(*args, **kwargs)
