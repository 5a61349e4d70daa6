"""Wrong inputs to a predictor are clear errors: none gets as far as a kernel, which would abort."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

COUNT = int(os.environ.get("FASTLOAD_FUZZ_COUNT", "10000"))
_PROGRAM = Path(__file__).with_name("predictor_fuzz.py")


@pytest.fixture
def convolution(tmp_path: Path) -> str:
    """A signature whose kernels abort the process when they are given another rank."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(tf.ones([3, 3, 3, 4]))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 6, 6, 3], tf.float32, "image"),
            tf.TensorSpec([2], tf.float32, "scale"),
        ]
    )
    def serve(image: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        pooled = tf.nn.max_pool2d(tf.nn.conv2d(image, module.kernel, 1, "SAME"), 2, 2, "VALID")
        return tf.reduce_sum(pooled) * scale[0]

    path = str(tmp_path / "model")
    tf.saved_model.save(module, path, signatures=serve)
    return path


def test_wrong_inputs_are_refused(convolution: str, cache_root: Path) -> None:
    """Each of thousands of random inputs is a ValueError or a TypeError, or right."""
    found = subprocess.run(
        [sys.executable, str(_PROGRAM), convolution, str(COUNT), "1"],
        capture_output=True,
        check=False,
        text=True,
    )

    assert found.returncode == 0, found.stderr[-2000:]
    told = json.loads(found.stdout)
    assert told["others"] == []
    assert told["refused"] == COUNT
    assert told["taken"] > 0
