"""Models that only Keras 2 makes: operations as layers, `add_loss`, ragged and sparse inputs."""

from __future__ import annotations

from typing import Any

from zoo.catalogue import Kit, zoo_model
from zoo.compiled import train

_ALL = {"keras2": "tf h5 keras"}
_MAIN = {"keras2": "tf h5"}


@zoo_model("quick", **_ALL)
def operations_as_layers(k: Kit) -> Any:
    inputs = k.keras.Input((4, 6))
    x = k.tf.transpose(inputs, [0, 2, 1])
    x = k.tf.concat([x, k.tf.nn.relu(x) * 2.0 + 1.0], axis=-1)
    return k.keras.Model(inputs, k.layers.Dense(2)(k.tf.reshape(x, [-1, 48])))


@zoo_model("quick", **_ALL)
def slices_as_layers(k: Kit) -> Any:
    inputs = k.keras.Input((6, 4))
    return k.keras.Model(inputs, k.layers.Dense(2)(inputs[:, 1:5:2, ..., 1]))


@zoo_model(**_MAIN)
def operations_with_shapes(k: Kit) -> Any:
    inputs = k.keras.Input((None, 4))
    length = k.tf.cast(k.tf.shape(inputs)[1], "float32")
    return k.keras.Model(inputs, k.layers.Dense(2)(k.tf.reduce_sum(inputs, axis=1) / length))


@zoo_model(**_MAIN)
def operation_with_constant(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Dense(1)(inputs @ k.tf.ones((4, 3))))


@zoo_model("quick", **_ALL)
def lambda_layer(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Dense(1)(k.layers.Lambda(lambda x: x * 2.0)(inputs)))


@zoo_model(safe_mode=False, **_MAIN)
def lambda_layer_let_in(k: Kit) -> Any:
    return lambda_layer(k)


@zoo_model(**_MAIN)
def lambda_of_known_function(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Lambda(k.own.registered_activation)(inputs))


@zoo_model("quick", **_ALL)
def added_loss_and_metric(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    outputs = k.layers.Dense(2, name="body")(inputs)
    model = k.keras.Model(inputs, outputs)
    model.add_loss(k.tf.reduce_mean(k.tf.abs(outputs)) * 0.1)
    model.add_metric(k.tf.reduce_max(outputs), name="highest", aggregation="mean")
    model.compile(optimizer="adam", loss="mse")
    return train(k, model)


@zoo_model(**_MAIN)
def ragged_inputs(k: Kit) -> Any:
    inputs = k.keras.Input((None, 3), ragged=True)
    return k.keras.Model(inputs, k.layers.Dense(2)(k.layers.LSTM(4)(inputs)))


@zoo_model(**_MAIN)
def sparse_inputs(k: Kit) -> Any:
    inputs = k.keras.Input((5,), sparse=True)
    return k.keras.Model(inputs, k.layers.Dense(2)(inputs))


@zoo_model(**_MAIN)
def trained_with_legacy_adam(k: Kit) -> Any:
    return _trained_with(k, k.keras.optimizers.legacy.Adam(0.01, decay=0.1))


@zoo_model(**_MAIN)
def trained_with_legacy_momentum(k: Kit) -> Any:
    return _trained_with(k, k.keras.optimizers.legacy.SGD(0.01, momentum=0.9))


@zoo_model(**_MAIN)
def trained_with_legacy_adagrad(k: Kit) -> Any:
    return _trained_with(k, k.keras.optimizers.legacy.Adagrad(0.01))


@zoo_model(**_MAIN)
def local_layers_and_relu6(k: Kit) -> Any:
    inputs = k.keras.Input((6, 2))
    x = k.layers.LocallyConnected1D(3, 2, activation=k.tf.nn.relu6)(inputs)
    return k.keras.Model(inputs, k.layers.Activation(k.tf.nn.swish)(x))


@zoo_model(keras2="tf h5")
def saved_without_optimizer(k: Kit) -> Any:
    model = _trained_with(k, "adam")
    model.optimizer = None
    return model


@zoo_model(compile=False, **_MAIN)
def trained_and_loaded_uncompiled(k: Kit) -> Any:
    return _trained_with(k, "adam")


@zoo_model("quick", **_ALL)
def input_shape_on_first_layer(k: Kit) -> Any:
    return k.keras.Sequential([k.layers.Dense(3, input_shape=(4,)), k.layers.Dense(2, name="end")])


@zoo_model(keras2="tf")
def sequential_of_models(k: Kit) -> Any:
    body = k.keras.Sequential([k.layers.Dense(3, input_dim=4), k.layers.Dropout(0.5)], name="body")
    return k.keras.Sequential([body, k.layers.Dense(2)], name="whole")


def _trained_with(k: Kit, optimizer: Any) -> Any:
    inputs = k.keras.Input((4,))
    model = k.keras.Model(inputs, k.layers.Dense(1)(k.layers.Dense(3)(inputs)))
    model.compile(optimizer=optimizer, loss="mse")
    return train(k, model)
