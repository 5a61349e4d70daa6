"""Save DeepCell's PanopticNet as Mesmer has it, with random weights, in both formats.

Beside them, for who has no DeepCell: an image, what the model predicts of it, and digests of the
weights.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from deepcell.model_zoo.panopticnet import PanopticNet

SIZE = (256, 256, 2)


def main() -> None:
    """Save it into the folder on the command line, as a SavedModel and as HDF5."""
    tf.keras.utils.set_random_seed(1)
    model = PanopticNet(
        "resnet50",
        input_shape=SIZE,
        norm_method=None,
        num_semantic_heads=4,
        num_semantic_classes=[1, 3, 1, 3],
        location=True,
        include_top=True,
        use_imagenet=False,
    )
    folder = Path(sys.argv[1])
    model.save(folder / "panoptic")
    model.save(folder / "panoptic.h5")
    image = np.random.default_rng(7).random((1, *SIZE), dtype="float32")
    outputs = {f"output_{place}": each for place, each in enumerate(model.predict(image))}
    weights = [hashlib.sha256(each.tobytes()).hexdigest() for each in model.get_weights()]
    np.savez(folder / "panoptic.npz", image=image, weights=weights, **outputs)


main()
