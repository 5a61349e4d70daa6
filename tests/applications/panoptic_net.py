"""Save DeepCell's PanopticNet as Mesmer has it, with random weights, in both formats."""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf
from deepcell.model_zoo.panopticnet import PanopticNet


def main() -> None:
    """Save it into the folder on the command line, as a SavedModel and as HDF5."""
    tf.keras.utils.set_random_seed(1)
    model = PanopticNet(
        "resnet50",
        input_shape=(256, 256, 2),
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


main()
