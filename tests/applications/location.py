"""DeepCell's `Location2D`, ported to Keras 3."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Location2D(keras.layers.Layer):
    """The place of each pixel, from 0 to 1 down and across, as an image of two channels."""

    def __init__(self, data_format: str = "channels_last", **rest: Any) -> None:
        super().__init__(**rest)
        self.data_format = data_format

    def call(self, image: Any) -> Any:
        batch, *sizes = ops.shape(image)
        is_last = self.data_format == "channels_last"
        down, across = (_steps(size, image.dtype) for size in (sizes[:2] if is_last else sizes[1:]))
        places = ops.meshgrid(down, across, indexing="ij")
        return ops.tile(ops.stack(places, axis=-1 if is_last else 0)[None], (batch, 1, 1, 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


def _steps(count: Any, dtype: str) -> Any:
    places = ops.arange(count, dtype=dtype)
    return places / ops.max(places)
