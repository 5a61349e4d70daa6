"""Deferred models and their like from the stock loader, for tests."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import fastload
from fastload.runtime.late import true_dict
from tests.small_models import Form, SavedModel, copy_model

ROWS = np.linspace(-2, 2, 70 * 4, dtype="float32").reshape(70, 4)


def is_deferred(model: Any) -> bool:
    """Say whether *model* is not there yet."""
    return "_fastload_revive" in true_dict(model)


def load_deferred(model: SavedModel, **arguments: Any) -> Any:
    """Load a model, prepared if it was not, which has to be deferred."""
    load = functools.partial(fastload.load_model, keras=model.form.package, defer=True, strict=True)
    loaded = load(model.path, **arguments)
    if not is_deferred(loaded):
        prepare(model)
        loaded = load(model.path, **arguments)
    report = fastload.last_load()
    assert report is not None
    assert report.reason is None
    assert is_deferred(loaded)
    return loaded


def prepare(model: SavedModel) -> None:
    """Have ready what a deferred load needs."""
    fastload.warm(model.path, keras=model.form.package)


def both(model: SavedModel, **arguments: Any) -> tuple[Any, Any]:
    """Return the stock loader's model, and a deferred one whose function was made before."""
    load_deferred(model, **arguments)
    return model.load_stock(**arguments), load_deferred(model, **arguments)


def forked_model(keras: Any, outputs: str) -> Any:
    """Return a model of two inputs, with dropout, whose outputs are a `list` or a `dict`."""
    keras.utils.set_random_seed(1)
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    hidden = keras.layers.Concatenate()([left, keras.layers.Dense(4, name="d")(right)])
    hidden = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(hidden))
    found = {name: keras.layers.Dense(2, name=name)(hidden) for name in ("z", "a")}
    return keras.Model([left, right], found if outputs == "dict" else list(found.values()))


def saved(form: Form, model: Any, folder: Path) -> SavedModel:
    """Save *model* in *form*."""
    path = folder / f"own{form.suffix}"
    model.save(path)
    return SavedModel(form=form, path=path)


def renewed(model: SavedModel, folder: Path) -> SavedModel:
    """Return a copy of *model* that a test may spoil."""
    return SavedModel(form=model.form, path=copy_model(model.path, folder))


def plain_state(model: Any) -> dict[str, Any]:
    """Return the attributes of *model* and, of plain ones, the values."""
    plain = (bool, int, float, str, type(None))
    state = {
        name: value if isinstance(value, plain) else type(value).__name__
        for name, value in vars(model).items()
    }
    state.pop("_self_update_uid", None)  # TensorFlow numbers what it restores from a checkpoint
    return state


def assert_same_results(expected: Any, actual: Any) -> None:
    """Check that two structures of arrays are one, to the bit."""
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        assert_same_results(list(expected.values()), list(actual.values()))
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for theirs, ours in zip(expected, actual, strict=True):
            assert_same_results(theirs, ours)
    else:
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()
