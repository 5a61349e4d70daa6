"""Plain networks that both Kerases build from the same lines: graphs, layers, dtypes, flags."""

from __future__ import annotations

from typing import Any

from zoo.catalogue import Kit, zoo_model

_ALL = {"keras2": "tf h5 keras", "keras3": "keras h5"}
_MAIN = {"keras2": "tf h5", "keras3": "keras h5"}


@zoo_model("quick", **_ALL)
def sequential_with_input(k: Kit) -> Any:
    return k.keras.Sequential(
        [
            k.keras.Input((4,), name="features"),
            k.layers.Dense(3, activation="relu"),
            k.layers.Dense(2, activation="softmax", use_bias=False),
        ]
    )


@zoo_model(**_MAIN)
def sequential_built_by_call(k: Kit) -> Any:
    model = k.keras.Sequential(
        [k.layers.Dense(3, activation="tanh"), k.layers.Dense(2)], name="late"
    )
    model(k.tf.zeros((2, 4)))
    return model


@zoo_model(**_MAIN)
def sequential_built_by_shape(k: Kit) -> Any:
    model = k.keras.Sequential(
        [k.layers.Dense(3), k.layers.BatchNormalization(), k.layers.Dense(2)]
    )
    model.build((None, 4))
    return model


@zoo_model(keras2="h5 keras", keras3="keras h5")
def sequential_never_built(k: Kit) -> Any:
    return k.keras.Sequential([k.layers.Dense(3), k.layers.Dense(2)])


@zoo_model("quick", **_ALL)
def functional_several_ends(k: Kit) -> Any:
    left, right = k.keras.Input((4,), name="left"), k.keras.Input((3,), name="right")
    merged = k.layers.Concatenate()([k.layers.Dense(5, name="wide")(left), right])
    score = k.layers.Dense(1, activation="sigmoid", name="score")(merged)
    label = k.layers.Dense(2, name="label")(k.layers.Add()([merged, merged]))
    return k.keras.Model([left, right], [score, label], name="two_ends")


@zoo_model(**_MAIN)
def dict_inputs_and_outputs(k: Kit) -> Any:
    inputs = {"b": k.keras.Input((3,), name="b"), "a": k.keras.Input((4,), name="a")}
    merged = k.layers.Concatenate()([inputs["a"], inputs["b"]])
    outputs = {"first": k.layers.Dense(2)(merged), "second": k.layers.Dense(1)(merged)}
    return k.keras.Model(inputs, outputs)


@zoo_model(**_MAIN)
def shared_layer(k: Kit) -> Any:
    shared = k.layers.Dense(3, name="shared")
    left, right = k.keras.Input((4,)), k.keras.Input((4,))
    return k.keras.Model([left, right], k.layers.Subtract()([shared(left), shared(right)]))


@zoo_model(**_MAIN)
def layer_called_in_a_row(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    square, norm = k.layers.Dense(4, activation="relu"), k.layers.BatchNormalization()
    return k.keras.Model(inputs, norm(square(norm(square(inputs)))))


@zoo_model("quick", **_ALL)
def nested_two_levels(k: Kit) -> Any:
    def block(width: int, name: str) -> Any:
        inputs = k.keras.Input((width,))
        return k.keras.Model(inputs, k.layers.Dense(3, name=f"{name}_inner")(inputs), name=name)

    inputs = k.keras.Input((4,))
    middle_in = k.keras.Input((4,))
    middle_out = k.layers.BatchNormalization(name="norm")(block(4, "deep")(middle_in))
    middle = k.keras.Model(middle_in, middle_out, name="middle")
    tail = k.keras.Sequential([k.keras.Input((3,)), k.layers.Dense(2, name="last")], name="tail")
    return k.keras.Model(inputs, tail(middle(inputs)), name="outer")


@zoo_model(keras2="tf keras", keras3="keras h5")
def nested_with_equal_names(k: Kit) -> Any:
    def branch(name: str) -> Any:
        inputs = k.keras.Input((4,), name="inner_in")
        return k.keras.Model(inputs, k.layers.Dense(3, name="same")(inputs), name=name)

    inputs = k.keras.Input((4,))
    merged = k.layers.Add()([branch("one")(inputs), branch("two")(inputs)])
    return k.keras.Model(inputs, k.layers.Dense(1, name="same")(merged))


@zoo_model(**_MAIN)
def nested_model_used_twice(k: Kit) -> Any:
    tower = k.keras.Sequential(
        [k.keras.Input((4,)), k.layers.Dense(3), k.layers.Dense(2)], name="tower"
    )
    left, right = k.keras.Input((4,)), k.keras.Input((4,))
    return k.keras.Model([left, right], k.layers.Concatenate()([tower(left), tower(right)]))


@zoo_model("quick", **_ALL)
def convolution_norm_dropout(k: Kit) -> Any:
    inputs = k.keras.Input((8, 8, 3))
    x = k.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = k.layers.ReLU(max_value=6.0)(k.layers.BatchNormalization(momentum=0.9)(x))
    x = k.layers.Dropout(0.5)(k.layers.MaxPooling2D()(x))
    return k.keras.Model(inputs, k.layers.Dense(2)(k.layers.GlobalAveragePooling2D()(x)))


@zoo_model(**_MAIN)
def separable_convolutions(k: Kit) -> Any:
    inputs = k.keras.Input((None, None, 3))
    x = k.layers.DepthwiseConv2D(3, depth_multiplier=2)(k.layers.ZeroPadding2D(1)(inputs))
    x = k.layers.PReLU(shared_axes=[1, 2])(k.layers.SeparableConv2D(4, 3, dilation_rate=2)(x))
    x = k.layers.Conv2DTranspose(2, 3, strides=2)(x)
    return k.keras.Model(inputs, k.layers.GlobalMaxPooling2D()(k.layers.UpSampling2D(2)(x)))


@zoo_model(**_MAIN)
def convolutions_of_one_and_three_axes(k: Kit) -> Any:
    line, box = k.keras.Input((9, 2)), k.keras.Input((4, 4, 4, 1))
    x = k.layers.GlobalAveragePooling1D()(k.layers.Conv1D(3, 3, groups=1, padding="causal")(line))
    y = k.layers.Flatten()(k.layers.Conv3D(2, 3)(box))
    return k.keras.Model([line, box], k.layers.Concatenate()([x, y]))


@zoo_model(**_MAIN)
def time_distributed(k: Kit) -> Any:
    inputs = k.keras.Input((5, 4))
    x = k.layers.TimeDistributed(k.layers.Dense(3, activation="elu"))(inputs)
    return k.keras.Model(
        inputs, k.layers.Permute((2, 1))(k.layers.RepeatVector(2)(k.layers.Flatten()(x)))
    )


@zoo_model("untraced", **_MAIN)
def masked_embedding(k: Kit) -> Any:
    tokens, series = k.keras.Input((6,), dtype="int32"), k.keras.Input((6, 3))
    words = k.layers.LSTM(4)(k.layers.Embedding(10, 4, mask_zero=True)(tokens))
    return k.keras.Model([tokens, series], [words, k.layers.GRU(2)(k.layers.Masking(0.0)(series))])


@zoo_model("quick", **_ALL)
def transformer_block(k: Kit) -> Any:
    inputs = k.keras.Input((5, 8))
    attended = k.layers.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs)
    x = k.layers.LayerNormalization(epsilon=1e-6)(k.layers.Add()([inputs, attended]))
    hidden = k.layers.Dense(8)(k.layers.Dense(16, activation="gelu")(x))
    return k.keras.Model(inputs, k.layers.LayerNormalization()(k.layers.Add()([x, hidden])))


@zoo_model(**_MAIN)
def normalisations(k: Kit) -> Any:
    inputs = k.keras.Input((4, 8))
    x = k.layers.GroupNormalization(groups=2)(k.layers.LayerNormalization(axis=[1, 2])(inputs))
    x = k.layers.UnitNormalization()(k.layers.BatchNormalization(scale=False, axis=1)(x))
    return k.keras.Model(inputs, k.layers.GaussianNoise(0.1)(k.layers.SpatialDropout1D(0.2)(x)))


@zoo_model(**_MAIN)
def attention_and_dot(k: Kit) -> Any:
    query, value = k.keras.Input((3, 4)), k.keras.Input((5, 4))
    x = k.layers.Attention(use_scale=True)([query, value])
    y = k.layers.AdditiveAttention()([query, value])
    return k.keras.Model([query, value], k.layers.Dot(axes=2, normalize=True)([x, y]))


@zoo_model(**_MAIN)
def regularised_and_constrained(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.Dense(
        3,
        kernel_regularizer=k.keras.regularizers.L1L2(0.01, 0.02),
        bias_constraint=k.keras.constraints.MaxNorm(1.0),
        kernel_initializer=k.keras.initializers.HeNormal(seed=3),
    )(inputs)
    x = k.layers.ActivityRegularization(l2=0.1)(x)
    return k.keras.Model(inputs, k.layers.Dense(1, activity_regularizer="l1")(x))


@zoo_model("quick", **_ALL)
def frozen_layers(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.Dense(4, trainable=False)(inputs)
    norm = k.layers.BatchNormalization()
    x = k.layers.Dense(3)(norm(x))
    norm.trainable = False
    return k.keras.Model(inputs, k.layers.Dense(1)(x))


@zoo_model(**_MAIN)
def frozen_inner_model(k: Kit) -> Any:
    body = k.keras.Sequential(
        [k.keras.Input((4,)), k.layers.Dense(3), k.layers.BatchNormalization()], name="body"
    )
    body.trainable = False
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Dense(1)(body(inputs)))


@zoo_model(**_MAIN)
def partly_frozen_inner_model(k: Kit) -> Any:
    body = k.keras.Sequential(
        [k.keras.Input((4,)), k.layers.Dense(3), k.layers.Dense(3)], name="body"
    )
    body.layers[0].trainable = False
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Dense(1)(body(inputs)))


@zoo_model(**_MAIN)
def whole_model_frozen(k: Kit) -> Any:
    model = sequential_with_input(k)
    model.trainable = False
    return model


@zoo_model("quick", **_ALL)
def mixed_float16(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.Dense(3, dtype="mixed_float16")(inputs)
    x = k.layers.BatchNormalization(dtype="mixed_float16")(x)
    return k.keras.Model(inputs, k.layers.Dense(2, dtype="float32")(x))


@zoo_model("quick", keras2="tf keras", keras3="keras h5")
def bfloat16_weights(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.Dense(3, dtype="bfloat16")(inputs)
    return k.keras.Model(inputs, k.layers.Dense(2, dtype="float32")(x))


@zoo_model(**_MAIN)
def float16_and_float64_weights(k: Kit) -> Any:
    inputs = k.keras.Input((4,), dtype="float64")
    x = k.layers.Dense(3, dtype="float64")(inputs)
    return k.keras.Model(inputs, [k.layers.Dense(2, dtype="float16")(x), x])


@zoo_model(**_MAIN)
def model_of_one_input_layer(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, inputs)


@zoo_model("quick", keras3="keras h5")
def unicode_layer_names(k: Kit) -> Any:
    inputs = k.keras.Input((4,), name="données")
    return k.keras.Model(inputs, k.layers.Dense(2, name="층_слой")(inputs), name="modèle")


@zoo_model("untrainable", **_MAIN)  # stock dies of a division by zero while it trains
def zero_size_weight(k: Kit) -> Any:
    inputs = k.keras.Input((0,))
    return k.keras.Model(inputs, k.layers.Dense(2)(inputs))
