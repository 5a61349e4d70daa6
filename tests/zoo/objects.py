"""Custom classes and functions of the zoo, made for the Keras that `zoo.framework` picked.

`Registered...` are in Keras's own registry as soon as this module is imported, `Passed...` have to
come in `custom_objects=`, `Unknown...` are never at hand when a model is loaded.
"""

from __future__ import annotations

from typing import Any

from zoo.framework import keras, tensorflow

tf = tensorflow()

register = keras.utils.register_keras_serializable(package="zoo")


class _Scaled(keras.layers.Layer):
    """Multiplies by one trainable scalar: the smallest layer with a weight and a config."""

    def __init__(self, start: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape: Any) -> None:
        start = keras.initializers.Constant(self.start)
        self.scale = self.add_weight(name="scale", shape=(), initializer=start)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start}


@register
class RegisteredScale(_Scaled):
    """In Keras's registry."""


class PassedScale(_Scaled):
    """Has to be passed."""


class UnknownScale(_Scaled):
    """At hand for nobody who loads."""


@register
class RegisteredBlock(keras.layers.Layer):
    """Layers inside a layer, in attributes and in a list."""

    def __init__(self, width: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.first = keras.layers.Dense(width, activation="relu", name="first")
        self.rest = [keras.layers.Dense(width, name=f"rest_{i}") for i in range(2)]
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, input_shape: Any) -> None:
        self.first.build(input_shape)
        hidden = (*tuple(input_shape)[:-1], self.width)
        for layer in [*self.rest, self.norm]:
            layer.build(hidden)
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None) -> Any:
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return self.norm(x, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*tuple(input_shape)[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


class PassedWithoutConfig(keras.layers.Layer):
    """No `get_config`, and a constructor that Keras cannot guess."""

    def __init__(self, factor: Any = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


@register
class RegisteredOddWeights(keras.layers.Layer):
    """Weights of the dtypes that real models rarely hold."""

    def build(self, input_shape: Any) -> None:
        ones, zeros = keras.initializers.Ones(), keras.initializers.Zeros()
        self.small = self.add_weight(
            name="small", shape=(3,), dtype="int8", initializer=ones, trainable=False
        )
        self.large = self.add_weight(
            name="large", shape=(2, 2), dtype="int64", initializer=ones, trainable=False
        )
        self.flags = self.add_weight(
            name="flags", shape=(2,), dtype="bool", initializer=zeros, trainable=False
        )
        self.empty = self.add_weight(name="empty", shape=(0, 3), initializer=zeros)
        self.step = self.add_weight(name="step", shape=(), initializer=ones)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs * self.step


@register
class RegisteredCounter(keras.layers.Layer):
    """A weight that changes whenever the layer is called, as running statistics do."""

    def build(self, input_shape: Any) -> None:
        zeros = keras.initializers.Zeros()
        self.calls = self.add_weight(name="calls", shape=(), initializer=zeros, trainable=False)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        self.calls.assign(self.calls + 1.0)
        return inputs + self.calls


@register
class RegisteredModel(keras.Model):
    """A subclassed model that has a config."""

    def __init__(self, width: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.inner = keras.layers.Dense(width)
        self.outer = keras.layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.outer(self.inner(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


class UnknownModel(keras.Model):
    """A subclassed model without a config, of a class that the loading program does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.layers.Dense(3, activation="relu")
        self.outer = keras.layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.outer(self.inner(inputs))


class UnknownSwish(keras.layers.Layer):
    """With layers inside, a mode, and an operation whose gradient is a function of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)
        self.norm = keras.layers.BatchNormalization()

    def call(self, inputs: Any, training: Any = None) -> Any:
        return tf.nn.swish(self.norm(self.dense(inputs), training=training))


class UnknownParts(keras.layers.Layer):
    """Takes a list, and gives a tuple."""

    def call(self, inputs: Any) -> Any:
        return inputs[0] + inputs[1], inputs[0] - inputs[1]


class UnknownTree(keras.Model):
    """Without a config, with layers in lists and dictionaries, and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = UnknownSwish()
        self.ends = [keras.layers.Dense(2), keras.layers.Dense(2)]
        self.named = {"last": keras.Sequential([keras.layers.Dense(1), UnknownSwish()])}

    def call(self, inputs: Any, training: Any = None) -> Any:
        hidden = self.first(inputs, training=training)
        outputs = [each(hidden) for each in self.ends]
        return [*outputs, self.named["last"](hidden, training=training)]


@register
class RegisteredFunctional(keras.Model):
    """A subclass that is built from inputs and outputs."""

    def note(self) -> str:
        return "still a subclass"


@register
def registered_activation(x: Any) -> Any:
    """A registered function."""
    return tf.nn.relu(x) * 0.5


def passed_activation(x: Any) -> Any:
    """A function that has to be passed."""
    return tf.nn.tanh(x) + 1.0


@register
def registered_loss(y_true: Any, y_pred: Any) -> Any:
    """A registered loss."""
    return tf.reduce_mean(tf.abs(y_true - y_pred), axis=-1)


def unknown_loss(y_true: Any, y_pred: Any) -> Any:
    """A loss that nobody who loads has."""
    return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)


class PassedLoss(keras.losses.Loss):
    """A loss class that has to be passed."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)


def passed_metric(y_true: Any, y_pred: Any) -> Any:
    """A metric function that has to be passed."""
    return tf.reduce_mean(tf.abs(y_true - y_pred), axis=-1)


@register
class RegisteredMetric(keras.metrics.Metric):
    """A metric with a weight of its own."""

    def __init__(self, name: str = "registered_metric", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(tf.reduce_sum(tf.cast(y_pred, tf.float32)))

    def result(self) -> Any:
        return self.total


class PassedOptimizer(keras.optimizers.SGD):
    """An optimizer class that has to be passed."""
