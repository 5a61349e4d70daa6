"""One Keras 2 model for each rule of the migration: what does not open in Keras 3 without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Maker = Callable[[Any], Any]


def _functional(keras: Any, shape: tuple[int | None, ...], *layers: Any, **given: Any) -> Any:
    x = inputs = keras.Input(shape, **given)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def _recurrent(k: Any) -> Any:
    return _functional(k, (5, 3), k.layers.LSTM(4, return_sequences=True), k.layers.GRU(2))


def _images(k: Any, *layers: Any) -> Any:
    return _functional(k, (8, 8, 3), *layers)


def _attention(k: Any) -> Any:
    inputs = k.Input((5, 8))
    return k.Model(inputs, k.layers.MultiHeadAttention(2, 4, attention_axes=[1])(inputs, inputs))


def _single_axis(k: Any) -> Any:
    return _images(k, k.layers.BatchNormalization(axis=[3]))


def _words(k: Any) -> Any:
    lookup = k.layers.StringLookup(vocabulary=["a", "cat"])
    return _functional(k, (2,), lookup, dtype="string")


def _augmented(k: Any) -> Any:
    return _images(k, k.layers.RandomFlip(seed=1), k.layers.Flatten())


def _half(k: Any) -> Any:
    policy = k.mixed_precision.Policy("mixed_float16")
    return _functional(k, (4,), k.layers.Dense(3, dtype=policy), k.layers.Dense(2))


def _hard(k: Any) -> Any:
    lstm = k.layers.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True)
    gru = k.layers.GRU(3, recurrent_activation="hard_sigmoid", activation="hard_sigmoid")
    return _functional(k, (5, 3), lstm, gru, k.layers.Dense(2, activation="hard_sigmoid"))


def _hard_both_ways(k: Any) -> Any:
    """Return a model whose recurrent layers are within others, which name them anew."""
    layer, hard = k.layers, {"recurrent_activation": "hard_sigmoid"}
    back = layer.GRU(2, go_backwards=True, return_sequences=True)
    x = inputs = k.Input((5, 3))
    x = layer.Bidirectional(layer.LSTM(4, return_sequences=True, **hard))(x)
    x = layer.Bidirectional(layer.GRU(2, return_sequences=True, **hard), backward_layer=back)(x)
    x = layer.TimeDistributed(layer.Dense(3, activation="hard_sigmoid"))(x)
    return k.Model(
        inputs, k.Sequential([k.Input((5, 3)), layer.Bidirectional(layer.GRU(2, **hard))])(x)
    )


def _embedded(k: Any) -> Any:
    return _functional(k, (5,), k.layers.Embedding(30, 3, input_length=5), dtype="int32")


#: By the name of the rule.
MODELS: Final[dict[str, Maker]] = {
    "time-major": _recurrent,
    "depthwise-groups": lambda k: _images(k, k.layers.DepthwiseConv2D(3)),
    "separable-kernels": lambda k: _images(k, k.layers.SeparableConv2D(4, 3)),
    "transposed-groups": lambda k: _images(k, k.layers.Conv2DTranspose(4, 3)),
    "leaky-slope": lambda k: _functional(k, (4,), k.layers.LeakyReLU(0.2)),
    "attention-shapes": _attention,
    "random-state": _augmented,
    "dropout-noise": lambda k: _functional(k, (5, 3), k.layers.SpatialDropout1D(0.2)),
    "dtype-policies": _half,
}
#: Models that open without the rule, or compute something else.
OTHERS: Final[dict[str, Maker]] = {
    "batch-input-shape": lambda k: _functional(k, (4,), k.layers.Dense(2)),
    "implementation": _recurrent,
    "vocabulary-size": _words,
    "single-axis": _single_axis,
    "embedding-length": _embedded,
}
HARD_SIGMOIDS: Final[dict[str, Maker]] = {"plain": _hard, "within others": _hard_both_ways}


def operations(keras: Any, tf: Any) -> Any:
    """Return a model with a fair part of the functions that the table of operations has."""
    inputs = keras.Input((None, 4, 6))
    x = tf.transpose(inputs, [0, 1, 3, 2])
    x = tf.concat([x, tf.nn.relu(x) * 2.0 + 1.0, 3.0 - tf.math.tanh(x)], axis=-1)
    x = tf.where(x > 0.5, x, tf.math.exp(-tf.math.abs(x)))
    left, right = tf.split(x, [5, 7], axis=-1)
    x = tf.nn.l2_normalize(left, axis=-1) + tf.reduce_mean(right, axis=-1, keepdims=True)
    x = tf.stack([x[:, :, 1:4], tf.pad(x, [[0, 0], [0, 0], [1, 0], [0, 0]])[:, :, 2:5]], axis=2)
    length = tf.shape(x)[1]
    x = tf.reshape(x, [-1, length, 6, 5])
    x = tf.matmul(x, tf.transpose(x, [0, 1, 3, 2])) / tf.cast(length, "float32")
    x = tf.squeeze(tf.expand_dims(tf.nn.softmax(tf.clip_by_value(x, -2.0, 2.0)), 1), [1])
    return keras.Model(inputs, tf.math.reduce_max(tf.math.squared_difference(x, 0.1), axis=1))


def images(keras: Any, tf: Any) -> Any:
    """Return a model that resizes and shuffles images with TensorFlow's functions and layers."""
    inputs = keras.Input((9, 7, 4))
    layer = keras.layers
    found = [
        tf.image.resize(inputs, [6, 8], method="bilinear"),
        tf.image.resize(inputs, [6, 8], method="nearest"),
        tf.image.resize(inputs, [6, 8], method="bicubic"),
        layer.Resizing(6, 8)(inputs),
        layer.Resizing(6, 8, interpolation="nearest")(inputs),
        layer.Resizing(6, 8, crop_to_aspect_ratio=True)(inputs),
        layer.CenterCrop(6, 8)(inputs),
        layer.UpSampling2D(2, interpolation="bilinear")(layer.CenterCrop(3, 4)(inputs)),
    ]
    deep = tf.nn.depth_to_space(tf.concat(found, axis=-1), 2)
    return keras.Model(inputs, tf.nn.space_to_depth(deep, 4))


def cuts(keras: Any, tf: Any) -> Any:
    """Return a model that cuts and joins in as many ways as there are."""
    left, right = keras.Input((4, 5)), keras.Input((4, 5))
    x = keras.layers.Dense(5)(left) * 2.0 + right
    parts = tf.unstack(x, axis=1)
    found = [
        x[:, 1:3, ::-1],
        x[..., None, :2][:, :, 0],
        x[:, -1][:, None],
        tf.add_n(parts)[:, tf.newaxis],
        tf.stack([parts[0], 1.0 - parts[1]], axis=1),
        tf.reverse(x, [1]),
        tf.gather(x, [2, 0], axis=1),
        tf.tile(x[:, :1], [1, 2, 1]),
        tf.pad(x, [[0, 0], [1, 1], [0, 0]], mode="REFLECT"),
        tf.pad(x, [[0, 0], [1, 0], [0, 0]], constant_values=0.5),
        tf.where(tf.logical_not(x > 0.0), x, right),
        tf.one_hot(tf.argmax(x, axis=-1), 5),
        tf.cumsum(x, axis=1),
    ]
    flat = [keras.layers.Flatten()(each) for each in found]
    length = tf.shape(x)[0]
    joined = tf.reshape(tf.concat(flat, 1), tf.stack([length, sum(each.shape[1] for each in flat)]))
    return keras.Model([left, right], [joined, tf.squeeze(tf.expand_dims(joined, 1), [1]) ** 2.0])
