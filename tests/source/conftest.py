"""Models saved by the real Keras, and ways to build files by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def keras_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model.h5`, `model.keras` and `weights.npz`, written by the Keras at hand."""
    pytest.importorskip("tensorflow", reason="needs a Keras that writes models")
    folder = tmp_path_factory.mktemp("keras_models")
    program = Path(__file__).with_name("make_models.py")
    environ = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, str(program), str(folder)], check=True, env=environ)
    return folder / "keras"
