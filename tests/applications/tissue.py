"""Segment a made-up tissue with DeepCell's Mesmer; print digests of the model and of the image.

    python tissue.py MODEL WAY

WAY is how `Location2D`, a layer of DeepCell's, is found: `stock` passes it to the stock loader,
`registered` to `fastload.register`, `declared` leaves it to an entry point, and `plain` is a
program that knows neither the layer nor fastload.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

PIXELS = 256
#: The weights are random, so what they give is far below what Mesmer takes for a cell.
FAINT = {"maxima_threshold": 1e-4, "interior_threshold": 1e-4}


def load(path: str, way: str) -> Any:
    """Return the model in *path*."""
    if way == "stock":
        from deepcell.layers import Location2D

        return tf.keras.models.load_model(path, custom_objects={"Location2D": Location2D})
    if way == "plain":
        return tf.keras.models.load_model(path)
    import fastload

    if way == "registered":
        from deepcell.layers import Location2D

        fastload.register(Location2D)
    return fastload.load_model(path)


def tissue() -> np.ndarray:
    """Return an image of forty cells: nuclei in one channel, membranes in the other."""
    random = np.random.default_rng(5)
    rows, columns = np.mgrid[:PIXELS, :PIXELS]
    image = 0.05 * random.random((PIXELS, PIXELS, 2))
    for row, column in random.integers(10, PIXELS - 10, (40, 2)):
        square = (rows - row) ** 2 + (columns - column) ** 2
        image += np.stack([np.exp(-square / 20), np.exp(-square / 60)], axis=-1)
    return image[None].astype("float32")


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return a digest of the bytes of *arrays*."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def main() -> None:
    """Load, predict and segment."""
    model = load(*sys.argv[1:])
    from deepcell.applications import Mesmer

    image = tissue()
    labels = Mesmer(model=model).predict(
        image,
        image_mpp=0.5,
        compartment="both",
        postprocess_kwargs_whole_cell=FAINT,
        postprocess_kwargs_nuclear=FAINT,
    )
    layer = next(each for each in model.layers if each.name.startswith("location"))
    print(type(model), type(layer), digest(model.get_weights()), digest(model.predict(image)))
    print(labels.shape, labels.max(axis=(0, 1, 2)).tolist(), digest([labels]))


main()
