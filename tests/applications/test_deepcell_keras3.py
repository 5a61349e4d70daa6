"""DeepCell's PanopticNet in Keras 3, without DeepCell and tf-keras: `nox -s deepcell_keras3`.

`nox -s deepcell` made the files, in the folder that DEEPCELL_MODELS names.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload

MODELS = Path(os.environ.get("DEEPCELL_MODELS", "no folder"))

if not MODELS.is_dir():
    pytest.skip("DeepCell's models are not there: see `nox -s deepcell`", allow_module_level=True)


@pytest.fixture(scope="module")
def of_keras_2() -> dict[str, Any]:
    """What the model was in TensorFlow 2.8."""
    with np.load(MODELS / "panoptic.npz") as kept:
        return dict(kept)


@pytest.mark.parametrize("name", ["panoptic", "panoptic.h5"])
def test_it_opens_as_a_keras_3_model(
    name: str, of_keras_2: dict[str, Any], cache_root: Path, tmp_path: Path
) -> None:
    import keras

    from tests.applications.location import Location2D

    first, again = (load(name) for _ in range(2))

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
    assert isinstance(again, keras.Model)
    assert isinstance(again.get_layer("location"), Location2D)
    assert sorted(digests(again)) == sorted(of_keras_2["weights"])
    image, predicted = of_keras_2["image"], predictions(again, of_keras_2["image"])
    for place, mine in enumerate(predicted):
        theirs = of_keras_2[f"output_{place}"]
        assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()
    assert_same(predictions(first, image), predicted)

    again.save(tmp_path / "saved.keras")
    by_stock = keras.models.load_model(tmp_path / "saved.keras", {"Location2D": Location2D})
    assert_same(predictions(by_stock, image), predicted)


@pytest.mark.parametrize("name", ["panoptic", "panoptic.h5"])
def test_it_trains(name: str, of_keras_2: dict[str, Any], cache_root: Path) -> None:
    model = load(name)
    before = digests(model)

    model.compile(optimizer="sgd", loss="mse")
    wanted = [np.ones_like(of_keras_2[f"output_{place}"]) for place in range(4)]
    model.fit(of_keras_2["image"], wanted, verbose=0)

    changed = [old != new for old, new in zip(before, digests(model), strict=True)]
    assert sum(changed) > len(changed) / 2


def load(name: str) -> Any:
    """Return the model, loaded by fastload with the ported layer."""
    from tests.applications.location import Location2D

    objects = {"Location2D": Location2D}
    return fastload.load_model(MODELS / name, custom_objects=objects, strict=True)


def predictions(model: Any, image: Any) -> list[Any]:
    return model.predict(image, verbose=0)


def digests(model: Any) -> list[str]:
    return [hashlib.sha256(weight.tobytes()).hexdigest() for weight in model.get_weights()]


def assert_same(some: list[Any], others: list[Any]) -> None:
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)
