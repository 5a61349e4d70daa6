"""The object that `load_model(path, defer=True)` returns: it predicts, and becomes the model."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastload.call import ModelCall
from fastload.errors import BypassError, CacheError, FastloadError
from fastload.restore.predictor import Run
from fastload.runtime.adoption import taking_place
from fastload.runtime.flavour import Flavour
from fastload.runtime.late import come_to_life, late, once_final, true_dict
from fastload.runtime.stand_in_model import NotCoveredError, can_be_asked, leave_traces, stand_in
from fastload.signature import Signature
from fastload.source.detect import detect
from fastload.source.kinds import ModelSource
from fastload.switch import loading

_logger: Final = logging.getLogger("fastload")
_ANSWERS: Final = "_fastload_answers"


def deferred_model(final: Any, answers: Answers, revival: Revival) -> Any:
    """Return an object of class *final* that predicts, and becomes the model when more is asked."""
    take_place = taking_place(lambda: revival.load(answers))

    def revive(self: Any) -> None:
        take_place(self)
        del true_dict(self)[_ANSWERS]

    made = late(final, revive, {_ANSWERS: answers}, methods=_methods(final))
    once_final(made, revival.finish)
    return made


@dataclass(kw_only=True)
class Answers:
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


@dataclass(kw_only=True)
class Revival:
    """How a deferred model becomes the model.

    Attributes:
        call: the call of `load_model`.
        source: the files that it named.
        make: loads the model of its twin.
        remember: `remember_predict`, but for the model.
    """

    call: ModelCall
    source: ModelSource
    make: Callable[[], Any]
    remember: Callable[[Any], object]

    _is_of_twin: bool = False

    def __post_init__(self) -> None:
        """Note where the files are: the working directory may be another one by then."""
        self._path = Path(self.call.filepath).absolute()

    def load(self, answers: Answers) -> Any:
        """Return the model, as if it had given *answers*."""
        with loading():
            try:
                model = self.make()
                self._is_of_twin = True
            except (CacheError, BypassError) as error:
                if self.call.must_be_served or _has_changed(self.source):
                    raise
                _logger.warning("%s is loaded by the stock loader: %s", self._path, error)
                return replace(self.call, filepath=str(self._path)).load_stock()
        answers.leave_traces(model)
        return model

    def finish(self, model: Any) -> None:
        """Do what a load does with a model that is made."""
        if self._is_of_twin:
            self.remember(model)


def _has_changed(source: ModelSource) -> bool:
    """Say whether stock would load another model than the one that is deferred."""
    try:
        return detect(source.path).files != source.files
    except (OSError, FastloadError):
        return True


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
