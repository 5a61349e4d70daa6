"""A model that predicts before it is there: `load_model(path, defer=True)`.

What is returned is an object without state, of a subclass of the model's class. It predicts with
the model's stored function. The first time that anything else is asked of it, or that the function
does not cover what it is given, the model is loaded and the object becomes it.
docs/decisions/0020-deferred-models.md says what can be told apart until then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastload.call import ModelCall
from fastload.deferral_note import DeferralEntry, DeferralNote
from fastload.deferred_model import Answers, Revival, deferred_model
from fastload.functions import keras_function
from fastload.loading import Identity
from fastload.prediction import remember_predict
from fastload.restore.objects import uses_only_builtins
from fastload.runtime.backends.choice import TENSORFLOW
from fastload.runtime.effects import Effects
from fastload.runtime.flavour import KERAS2, Flavour
from fastload.runtime.model_classes import PLAIN_CLASSES, plain_class
from fastload.runtime.moment import Moment, in_a_thread, is_plain
from fastload.runtime.stand_in_model import takes_any_batch
from fastload.twin.reader import Twin


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
    answers: Answers | str = note.kind
    if final is not None:
        answers = in_a_thread(lambda: _answers(note, entry, twin, make))
    if isinstance(answers, str):
        return build(), f"it is not deferred: {answers}"
    note.effects.leave_behind(chosen)
    remember = functools.partial(
        remember_predict, call=call, identity=identity, twin=twin, chosen=chosen
    )
    revival = Revival(call=call, source=identity.source, make=make, remember=remember)
    return deferred_model(final, answers, revival), None


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
    losses = len(made.losses)
    answers = _answers(note, entry, twin, lambda: made)
    if isinstance(answers, str):
        return replace(note, kind=answers)
    from fastload.runtime.predict_check import predicts_alike  # a load does without

    try:
        is_alike = predicts_alike(answers.signature, note.takes, answers.model, made)
        if len(made.losses) != losses:  # those of activities: a prediction leaves them on layers
            return replace(note, kind="its predictions leave losses on it")
    except Exception as error:  # noqa: BLE001 - whatever a model raises
        return replace(note, kind=f"its predictions were not compared: {error}")
    return note if is_alike else replace(note, kind="its bits depend on the sizes of batches")


def _answers(
    note: DeferralNote, entry: DeferralEntry, twin: Twin, make: Callable[[], Any]
) -> Answers | str:
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
    return Answers(chosen=chosen, signature=signature, takes=note.takes, run=run)
