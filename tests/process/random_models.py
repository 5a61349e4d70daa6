"""Random functional models: branches, shared layers, nested models, loops, embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Lengths of the vectors that layers hand on. A weight between any two is lent: 64 KiB or more.
WIDTHS = (128, 192, 256)
STEPS = 4
WORDS = 600


class RandomModels:
    """Makes one model after another.

    Args:
        keras: the Keras that makes them.
        random: what is drawn from.
    """

    def __init__(self, keras: Any, random: np.random.Generator) -> None:
        self._keras, self._layers, self._random = keras, keras.layers, random
        self._shared: list[tuple[Callable[[Any], Any], int]] = []
        self._ways: list[Callable[[Any], Any]] = [
            self._dense,
            self._dense,
            self._again,
            self._again,
            self._branches,
            self._recurrent,
            self._stacked_cells,
            self._convolution,
            self._nested,
            self._attention,
            self._normalized,
            self._per_step,
        ]

    def model(self, blocks: int) -> Any:
        """Return a model of about *blocks* blocks, with one input of numbers or of words."""
        self._shared = []
        value = inputs = self._input()
        if self._random.random() < 0.3:
            value = inputs = self._keras.Input((STEPS,), dtype="int32")
            value = self._layers.Embedding(WORDS, self._width())(value)
            value = self._flat(value)
        seen = [value]
        for _ in range(blocks):
            value = self._pick(self._ways)(value)
            seen.append(value)
        outputs = [value] if self._random.random() < 0.7 else [value, self._dense(seen[-2])]
        return self._keras.Model(inputs, outputs)

    def sample(self, model: Any, count: int = 3) -> np.ndarray[Any, Any]:
        """Return inputs for *model*."""
        shape = (count, *model.inputs[0].shape[1:])
        if "int" in str(model.inputs[0].dtype):
            return self._random.integers(0, WORDS, shape).astype("int32")
        return self._random.normal(size=shape).astype("float32")

    def _input(self) -> Any:
        return self._keras.Input((self._width(),))

    def _width(self) -> int:
        return int(self._random.choice(WIDTHS))

    def _pick(self, things: list[Any]) -> Any:
        return things[int(self._random.integers(len(things)))]

    def _new_dense(self) -> Any:
        return self._layers.Dense(self._width(), activation=self._pick(["tanh", "relu", None]))

    def _dense(self, value: Any) -> Any:
        layer = self._new_dense()
        self._shared.append((layer, value.shape[-1]))
        return layer(value)

    def _again(self, value: Any) -> Any:
        """Use a layer or a model for the second time, at once or later."""
        fitting = [layer for layer, width in self._shared if width == value.shape[-1]]
        return self._pick(fitting)(value) if fitting else self._dense(value)

    def _branches(self, value: Any) -> Any:
        width, count = self._width(), int(self._random.integers(2, 4))
        branches = [self._layers.Dense(width, activation="tanh")(value) for _ in range(count)]
        branches[0] = self._again(branches[0])
        if branches[0].shape[-1] == width and self._random.random() < 0.5:
            return self._layers.Add()(branches)
        return self._dense(self._layers.Concatenate()(branches))

    def _recurrent(self, value: Any) -> Any:
        kinds = [self._layers.LSTM, self._layers.GRU, self._layers.SimpleRNN]
        layer = self._pick(kinds)(128, return_sequences=bool(self._random.random() < 0.5))
        if self._random.random() < 0.4:
            layer = self._layers.Bidirectional(layer)
        return self._flat(layer(self._steps(value)))

    def _stacked_cells(self, value: Any) -> Any:
        """One loop over the weights of two layers."""
        cells = [self._layers.GRUCell(128), self._layers.LSTMCell(128)]
        return self._layers.RNN(cells)(self._steps(value))

    def _convolution(self, value: Any) -> Any:
        image = self._layers.Reshape((4, 4, value.shape[-1] // 16))(value)
        image = self._layers.Conv2D(256, 3, padding="same", activation="relu")(image)
        return self._layers.GlobalAveragePooling2D()(image)

    def _nested(self, value: Any) -> Any:
        inner = inputs = self._keras.Input((value.shape[-1],))
        for _ in range(int(self._random.integers(1, 4))):
            inner = self._new_dense()(inner)
        model = self._keras.Model(inputs, inner)
        self._shared.append((model, value.shape[-1]))
        return model(value)

    def _attention(self, value: Any) -> Any:
        sequence = self._layers.Reshape((2, value.shape[-1] // 2))(value)
        heads = self._layers.MultiHeadAttention(num_heads=2, key_dim=128)
        return self._flat(heads(sequence, sequence))

    def _per_step(self, value: Any) -> Any:
        sequence = self._layers.Reshape((2, value.shape[-1] // 2))(value)
        return self._flat(self._layers.TimeDistributed(self._layers.Dense(256))(sequence))

    def _normalized(self, value: Any) -> Any:
        normal = self._pick([self._layers.BatchNormalization, self._layers.LayerNormalization])
        return self._dense(self._layers.Dropout(0.5)(normal()(value)))

    def _steps(self, value: Any) -> Any:
        return self._layers.Reshape((STEPS, value.shape[-1] // STEPS))(value)

    def _flat(self, value: Any) -> Any:
        """Return a vector of a length that all layers take."""
        return self._dense(self._layers.Flatten()(value))
