"""Both Keras in one process: the tests make Keras 2 models and open them in Keras 3."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The tests and the workers share the packages of the zoo, which are not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

pytest.importorskip("tensorflow")


@pytest.fixture(scope="session")
def keras2() -> Any:
    return pytest.importorskip("tf_keras")


@pytest.fixture(scope="session")
def keras3() -> Any:
    keras = pytest.importorskip("keras")
    if keras.__version__.startswith("2."):
        pytest.skip("no Keras 3")
    return keras


@pytest.fixture(autouse=True)
def _cache(cache_root: Path) -> None:
    """Every test of this folder has a cache of its own."""


def seeded(model: Any) -> Any:
    """Give each weight numbers of its own, so that no two can be mixed up unseen."""
    random = np.random.default_rng(7)
    for weight in model.weights:
        if hasattr(weight, "assign") and "float" in str(weight.dtype):
            values = random.normal(scale=0.5, size=weight.shape)
            weight.assign(abs(values) + 0.5 if "variance" in weight.name else values)
    return model
