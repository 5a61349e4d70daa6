"""Custom objects for both generations: registered, passed, unknown; layers, functions, models."""

from __future__ import annotations

from typing import Any

from zoo.catalogue import Kit, zoo_model

_ALL = {"keras2": "tf h5 keras", "keras3": "keras h5"}
_MAIN = {"keras2": "tf h5", "keras3": "keras h5"}


def _around(k: Kit, layer: Any) -> Any:
    inputs = k.keras.Input((4,))
    return k.keras.Model(inputs, k.layers.Dense(2)(layer(k.layers.Dense(3)(inputs))))


@zoo_model("quick", **_ALL)
def registered_layer(k: Kit) -> Any:
    return _around(k, k.own.RegisteredScale(0.5))


@zoo_model("quick", custom=("PassedScale",), **_ALL)
def passed_layer(k: Kit) -> Any:
    return _around(k, k.own.PassedScale(0.5))


@zoo_model("quick", **_ALL)
def unknown_layer(k: Kit) -> Any:
    return _around(k, k.own.UnknownScale(0.5))


@zoo_model("quick", keras2="tf")
def unknown_gradient(k: Kit) -> Any:
    return _around(k, k.own.UnknownSwish())


@zoo_model(keras2="tf")
def unknown_parts(k: Kit) -> Any:
    inputs = [k.keras.Input((4,)), k.keras.Input((4,))]
    parts = k.own.UnknownParts()([k.layers.Dense(4)(inputs[0]), inputs[1]])
    return k.keras.Model(inputs, list(parts))


@zoo_model(keras2="tf")
def subclassed_unknown_tree(k: Kit) -> Any:
    model = k.own.UnknownTree()
    model(k.tf.zeros((2, 4)))
    return model


@zoo_model("quick", **_ALL)
def layer_of_layers(k: Kit) -> Any:
    return _around(k, k.own.RegisteredBlock())


@zoo_model(custom=("PassedWithoutConfig",), keras2="tf")
def layer_without_config(k: Kit) -> Any:
    return _around(k, k.own.PassedWithoutConfig(k.tf.constant(3.0)))


@zoo_model("quick", **_ALL)
def odd_weights(k: Kit) -> Any:
    return _around(k, k.own.RegisteredOddWeights())


@zoo_model(**_MAIN)
def weight_changed_by_calls(k: Kit) -> Any:
    return _around(k, k.own.RegisteredCounter())


@zoo_model(**_MAIN)
def registered_function(k: Kit) -> Any:
    return _around(k, k.layers.Dense(3, activation=k.own.registered_activation))


@zoo_model(custom=("passed_activation",), **_MAIN)
def passed_function(k: Kit) -> Any:
    return _around(k, k.layers.Activation(k.own.passed_activation))


@zoo_model(custom=("PassedScale",), **_MAIN)
def passed_layer_inside_wrapper(k: Kit) -> Any:
    inputs = k.keras.Input((5, 4))
    return k.keras.Model(inputs, k.layers.TimeDistributed(k.own.PassedScale(2.0))(inputs))


@zoo_model("quick", keras2="tf keras", keras3="keras")
def subclassed_with_config(k: Kit) -> Any:
    model = k.own.RegisteredModel(3)
    model(k.tf.zeros((2, 4)))
    return model


@zoo_model("quick", keras2="tf keras", keras3="keras")
def subclassed_unknown(k: Kit) -> Any:
    model = k.own.UnknownModel()
    model(k.tf.zeros((2, 4)))
    return model


@zoo_model(custom=("UnknownModel",), keras2="tf keras", keras3="keras")
def subclassed_without_config(k: Kit) -> Any:
    # Built by another batch than `subclassed_unknown`: models with the same content share a twin.
    model = k.own.UnknownModel()
    model(k.tf.zeros((3, 4)))
    return model


@zoo_model("quick", **_ALL)
def functional_subclass(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    return k.own.RegisteredFunctional(inputs, k.layers.Dense(2)(inputs), name="kept")


@zoo_model("quick", keras2="tf h5 keras", keras3="keras h5")
def further_attributes(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    model = k.keras.Model(inputs, k.layers.Dense(2)(inputs))
    model.extra = k.tf.Variable([1.0, 2.0], name="extra")
    model.tag = "noted"
    model.settings = {"depth": 3, "names": ["a", "b"]}
    return model
