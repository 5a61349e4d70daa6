"""Public functions inside of a `tf.function`: AutoGraph leaves them alone, as stock's."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

import fastload
from tests.small_models import INPUTS, SAVED_MODEL

tf = pytest.importorskip("tensorflow")

FUNCTIONS = [
    name for name in fastload.__all__ if isinstance(getattr(fastload, name), types.FunctionType)
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_has_the_mark(name: str) -> None:
    """TensorFlow's own way to ask for it leaves the same."""
    marked = tf.autograph.experimental.do_not_convert(lambda: None)
    (mark,) = {each for each in vars(marked) if "autograph_info" in each}

    assert hasattr(getattr(fastload, name), mark)


def test_a_load_inside_of_a_function_warns_of_nothing(
    tmp_path: Path, cache_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """AutoGraph would go through all of fastload, and through what that calls."""
    path, keras = str(tmp_path / "m"), SAVED_MODEL.stock
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    fastload.load_predictor(path)

    @tf.function  # type: ignore[untyped-decorator]
    def both() -> None:
        fastload.load_saved_model(path)
        fastload.load_predictor(path)
        fastload.last_load()

    both()

    assert "AutoGraph could not transform" not in "".join(capfd.readouterr())
    assert fastload.load_predictor(path)(INPUTS) is not None
