"""Models that only Keras 3 makes: `keras.ops` in the graph, quantized layers, seed generators."""

from __future__ import annotations

from typing import Any

from zoo.catalogue import Kit, zoo_model
from zoo.compiled import train

_ALL = {"keras3": "keras h5"}


@zoo_model("quick", **_ALL)
def keras_operations(k: Kit) -> Any:
    inputs = k.keras.Input((4, 6))
    x = k.keras.ops.transpose(inputs, (0, 2, 1))
    x = k.keras.ops.concatenate([x, k.keras.ops.relu(x) * 2.0 + 1.0], axis=-1)
    return k.keras.Model(inputs, k.layers.Dense(2)(k.keras.ops.reshape(x, (-1, 48))))


@zoo_model("quick", **_ALL)
def keras_slices(k: Kit) -> Any:
    inputs = k.keras.Input((6, 4))
    return k.keras.Model(inputs, k.layers.Dense(2)(inputs[:, 1:5:2, 1]))


@zoo_model("quick", **_ALL)
def lambda_refused(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Lambda(lambda x: x * 2.0, output_shape=(4,))(inputs))


@zoo_model(safe_mode=False, **_ALL)
def lambda_let_in(k: Kit) -> Any:
    return lambda_refused(k)


@zoo_model("quick", **_ALL)
def seed_generators(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.GaussianDropout(0.2)(k.layers.Dropout(0.5, seed=3)(inputs))
    return k.keras.Model(inputs, k.layers.AlphaDropout(0.1)(k.layers.Dense(3)(x)))


@zoo_model("quick", **_ALL)
def quantized_to_int8(k: Kit) -> Any:
    model = k.keras.Sequential([k.keras.Input((4,)), k.layers.Dense(8), k.layers.Dense(2)])
    model.quantize("int8")
    return model


@zoo_model(**_ALL)
def einsum_and_newer_norms(k: Kit) -> Any:
    inputs = k.keras.Input((4, 8))
    x = k.layers.EinsumDense("abc,cd->abd", output_shape=(4, 6), bias_axes="d")(inputs)
    x = k.layers.RMSNormalization()(k.layers.SpectralNormalization(k.layers.Dense(6))(x))
    return k.keras.Model(inputs, x)


@zoo_model(**_ALL)
def grouped_query_attention(k: Kit) -> Any:
    inputs = k.keras.Input((5, 8))
    layer = k.layers.GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)
    return k.keras.Model(inputs, layer(inputs, inputs))


@zoo_model("quick", **_ALL)
def optional_and_nested_inputs(k: Kit) -> Any:
    inputs = {"pair": [k.keras.Input((2,)), k.keras.Input((3,))], "one": k.keras.Input((4,))}
    x = k.layers.Concatenate()([*inputs["pair"], inputs["one"]])
    return k.keras.Model(inputs, k.layers.Dense(2)(x))


@zoo_model(**_ALL)
def feature_space_like(k: Kit) -> Any:
    words, number = k.keras.Input((1,), dtype="string"), k.keras.Input((1,))
    encoded = k.layers.StringLookup(vocabulary=["cat", "dog"], output_mode="one_hot")(words)
    binned = k.layers.Discretization([0.0, 1.0], output_mode="one_hot")(number)
    return k.keras.Model(
        [words, number], k.layers.Dense(1)(k.layers.Concatenate()([encoded, binned]))
    )


@zoo_model(**_ALL)
def trained_with_accumulation(k: Kit) -> Any:
    return _trained_with(k, k.keras.optimizers.Adam(0.01, gradient_accumulation_steps=2))


@zoo_model(**_ALL)
def trained_with_lion(k: Kit) -> Any:
    return _trained_with(k, k.keras.optimizers.Lion(0.01))


@zoo_model(**_ALL)
def trained_with_adafactor(k: Kit) -> Any:
    return _trained_with(k, k.keras.optimizers.Adafactor(0.01))


@zoo_model(compile=False, **_ALL)
def trained_and_opened_uncompiled(k: Kit) -> Any:
    return _trained_with(k, "adam")


def _trained_with(k: Kit, optimizer: Any) -> Any:
    inputs = k.keras.Input((4,))
    model = k.keras.Model(inputs, k.layers.Dense(1)(k.layers.Dense(3)(inputs)))
    model.compile(optimizer=optimizer, loss="mse")
    return train(k, model)
