"""Functions that build a model and load its weights, under the hooks: blank where that is asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow import keras

import fastload
from fastload.hooks import patching
from fastload.runtime.core.blank_variables import is_blank
from tests.small_models import assert_same_arrays

APPLICATIONS = [
    name
    for name, function in vars(keras.applications).items()
    if inspect.isfunction(function) and "weights" in inspect.signature(function).parameters
]


@pytest.fixture
def blank_hooks(cache_root: Path) -> Iterator[None]:
    fastload.install(blank=True)
    yield
    fastload.uninstall()


class BuiltBlankError(Exception):
    pass


def test_there_are_applications() -> None:
    """Or the next test would say nothing."""
    assert len(APPLICATIONS) > 25


@pytest.mark.parametrize("name", APPLICATIONS)
def test_each_application_is_built_by_a_function_that_is_patched(
    name: str, blank_hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: Any) -> Any:
        raise BuiltBlankError

    monkeypatch.setattr(patching, "build", build)

    with pytest.raises(BuiltBlankError):
        getattr(keras.applications, name)()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mobile.weights.h5"
    network(weights=None).save_weights(path)
    return path


def network(weights: Any) -> Any:
    return keras.applications.MobileNet((32, 32, 3), 0.25, weights=weights, classes=3)


def blanks_seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list to which each load of weights adds whether the model is blank."""
    seen: list[bool] = []
    stock = vars(keras.Model)["load_weights"]

    def load_weights(self: Any, *args: Any, **kwargs: Any) -> Any:
        variable = self.weights[0]
        seen.append(is_blank(getattr(variable, "_value", variable)))
        return stock.__get__(self)(*args, **kwargs)

    monkeypatch.setattr(keras.Model, "load_weights", load_weights)
    return seen


def has_late_draws() -> bool:
    """Say whether this Keras can draw late: that of TensorFlow 2.8 counts its draws."""
    first, second = (keras.initializers.GlorotUniform(seed=1)((9, 9)) for _ in range(2))
    return np.array_equal(first, second)


def test_an_application_with_weights_is_built_blank(
    weights: Path, blank_hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fastload.disabled():
        expected = network(str(weights))
    seen = blanks_seen(monkeypatch)

    loaded = network(str(weights))
    random = network(None)

    assert seen == [has_late_draws()]
    assert_same_arrays(expected.get_weights(), loaded.get_weights())
    assert not any(is_blank(getattr(each, "_value", each)) for each in random.weights)


def test_it_is_not_built_blank_where_nobody_asked(
    weights: Path, hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = blanks_seen(monkeypatch)

    network(str(weights))

    assert seen == [False]


@pytest.mark.parametrize("arguments", [{"weights": "nowhere"}, {"nothing": 1}])
def test_errors_are_those_of_stock(arguments: dict[str, Any], blank_hooks: None) -> None:
    def told(call: Callable[[], Any]) -> str:
        with pytest.raises((TypeError, ValueError)) as refused:
            call()
        return f"{refused.type} {refused.value}"

    with fastload.disabled():
        expected = told(lambda: keras.applications.VGG16(**arguments))

    assert told(lambda: keras.applications.VGG16(**arguments)) == expected


def test_a_preset_of_keras_hub_is_built_blank(
    tmp_path: Path, blank_hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("keras_hub")
    stock = hub.models.BertBackbone(100, 1, 2, 8, 16, max_sequence_length=12)
    stock.save_to_preset(str(tmp_path))
    seen = blanks_seen(monkeypatch)

    loaded = hub.models.Backbone.from_preset(str(tmp_path))
    random = hub.models.Backbone.from_preset(str(tmp_path), load_weights=False)

    assert seen == [True]
    assert_same_arrays(stock.get_weights(), loaded.get_weights())
    assert not any(is_blank(each.value) for each in random.weights)
    inputs = {name: np.ones((1, 12), "int32") for name in stock.input}
    ours, theirs = (model(inputs)["pooled_output"] for model in (loaded, stock))
    assert_same_arrays([np.asarray(theirs)], [np.asarray(ours)])
