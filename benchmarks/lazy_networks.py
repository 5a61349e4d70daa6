"""Makes a network: `python -m benchmarks.lazy_networks large keras2 PATH`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.cases import Generation
from benchmarks.networks import SEED, stock_keras

#: Pixels of a side of the input, and steps of the recurrent layers.
_SIDE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a network is; a layer has 9, 16 or 8 times width squared weights.

    Attributes:
        width: channels and units of the narrow layers; the wide ones have four times as many.
        convolutions: how many.
        dense: how many in the first tower.
        recurrent: how many LSTMs.
    """

    width: int
    convolutions: int
    dense: int
    recurrent: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what the network takes."""
        return (_SIDE, _SIDE, self.width)

    def inputs(self, batch: int) -> np.ndarray[Any, Any]:
        """Return *batch* inputs, always the same."""
        generator = np.random.default_rng(SEED)
        return generator.standard_normal((batch, *self.input_shape), dtype="float32")


#: By name: 2 GiB with layers of 16 to 64 MiB, and 256 MiB with layers of 8 to 32 MiB.
SIZES: Final = {
    "large": Size(width=1024, convolutions=12, dense=20, recurrent=11),
    "small": Size(width=728, convolutions=4, dense=4, recurrent=3),
}


def build(size: Size, keras: Any) -> Any:
    """Return a network with all kinds of layers, and skips around them."""
    layers, width = keras.layers, size.width
    image = keras.Input(size.input_shape)
    values = image
    for _ in range(size.convolutions):
        convolved = layers.Conv2D(width, 3, padding="same", activation="relu")(values)
        values = layers.Add()([values, convolved])
    values = layers.GlobalAveragePooling2D()(values)
    values = layers.Dense(4 * width, activation="tanh")(layers.LayerNormalization()(values))
    for _ in range(size.dense):
        values = layers.Add()([values, layers.Dense(4 * width, activation="tanh")(values)])
    values = layers.Reshape((_SIDE, width))(layers.LayerNormalization()(values))
    for _ in range(size.recurrent):
        values = layers.Add()([values, layers.LSTM(width, return_sequences=True)(values)])
    values = layers.Dense(10)(layers.Flatten()(values))
    return keras.Model(image, values)


def main(arguments: list[str]) -> None:
    """Save the network that *arguments* name: its size, the Keras, the path."""
    size, generation, path = arguments
    keras = stock_keras(Generation(generation))
    keras.utils.set_random_seed(SEED)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    build(SIZES[size], keras).save(path)


if __name__ == "__main__":
    main(sys.argv[1:])
