"""`fastload.blank()` on JAX and PyTorch: nothing changes there, and the log says why."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import numpy as np
import pytest

import fastload


def test_the_block_changes_nothing(
    keras: Any, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A read of a variable cannot be noticed there."""
    found = []
    for block in (contextlib.nullcontext, fastload.blank):
        keras.utils.set_random_seed(1)
        with caplog.at_level(logging.INFO, logger="fastload"), block():
            layer = keras.layers.Dense(3)
            layer.build((None, 4))
            seen = np.array(keras.ops.convert_to_numpy(layer.kernel))
        found.append(seen)

    np.testing.assert_array_equal(found[0], found[1])
    assert f"blank() changes nothing: [FL204] Keras runs on {backend}" in caplog.text
