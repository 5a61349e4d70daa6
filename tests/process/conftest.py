"""One small model on disk, and processes that load or convert it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

_SAVE = """
import sys
import tensorflow as tf

tf.keras.utils.set_random_seed(1)
layers = [tf.keras.layers.Dense(256, activation="tanh", name=f"dense{n}") for n in range(60)]
tf.keras.Sequential([tf.keras.Input((256,)), *layers]).save(sys.argv[1])
"""

StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def start_python() -> StartPython:
    """Start a fresh interpreter on a program text, with arguments and a cache folder."""

    def start(program: str, *arguments: object, cache: Path) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PYTHONPATH": str(SRC),
            "FASTLOAD_CACHE_DIR": str(cache),
            "FASTLOAD_STRICT": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture(scope="session")
def hdf5_model(start_python: StartPython, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 60 dense layers, 15 MB, saved as HDF5 by the stock saver."""
    path = tmp_path_factory.mktemp("model") / "model.h5"
    with start_python(_SAVE, path, cache=path.parent / "cache") as saving:
        saving.communicate()
    assert saving.returncode == 0
    return path
