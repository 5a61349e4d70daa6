"""Compiled models for both generations: optimizers with slots, schedules, losses, metrics."""

from __future__ import annotations

from typing import Any

from zoo.catalogue import Kit, zoo_model
from zoo.samples import inputs_of, targets_of

_ALL = {"keras2": "tf h5 keras", "keras3": "keras h5"}
_MAIN = {"keras2": "tf h5", "keras3": "keras h5"}


def _network(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.BatchNormalization()(k.layers.Dense(3, activation="relu")(inputs))
    return k.keras.Model(inputs, k.layers.Dense(2, activation="softmax")(x))


def _two_ends(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    outputs = [k.layers.Dense(2, name="label")(inputs), k.layers.Dense(1, name="score")(inputs)]
    return k.keras.Model(inputs, outputs)


def train(k: Kit, model: Any, steps: int = 2) -> Any:
    """Train *model* for some steps, so that its optimizer has slots and a count, and return it."""
    k.keras.utils.set_random_seed(11)
    inputs = inputs_of(k, model)
    targets = targets_of(model(inputs))
    for _ in range(steps):
        model.train_on_batch(inputs, targets)
    return model


def _trained(k: Kit, optimizer: Any, **compiling: Any) -> Any:
    model = _network(k)
    model.compile(optimizer=optimizer, **{"loss": "mse", **compiling})
    return train(k, model)


@zoo_model("quick", **_ALL)
def trained_with_adam(k: Kit) -> Any:
    return _trained(k, "adam", metrics=["mae", "accuracy"])


@zoo_model(**_MAIN)
def trained_with_amsgrad_and_clipping(k: Kit) -> Any:
    return _trained(k, k.keras.optimizers.Adam(0.02, beta_1=0.8, amsgrad=True, clipnorm=1.0))


@zoo_model("quick", **_ALL)
def trained_with_momentum(k: Kit) -> Any:
    return _trained(k, k.keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True))


@zoo_model(**_MAIN)
def trained_with_plain_sgd(k: Kit) -> Any:
    return _trained(k, "sgd", loss="categorical_crossentropy", metrics=["categorical_accuracy"])


@zoo_model(**_MAIN)
def trained_with_rmsprop(k: Kit) -> Any:
    return _trained(k, k.keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True))


@zoo_model("quick", **_ALL)
def trained_with_schedule(k: Kit) -> Any:
    schedule = k.keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    return _trained(k, k.keras.optimizers.AdamW(schedule, weight_decay=0.01))


@zoo_model(**_MAIN)
def trained_with_moving_average(k: Kit) -> Any:
    return _trained(k, k.keras.optimizers.Nadam(0.01, use_ema=True, ema_momentum=0.9))


@zoo_model(**_MAIN)
def trained_with_adagrad(k: Kit) -> Any:
    return _trained(k, k.keras.optimizers.Adagrad(0.1))


@zoo_model(**_MAIN)
def trained_with_ftrl(k: Kit) -> Any:
    return _trained(k, k.keras.optimizers.Ftrl(0.1, l1_regularization_strength=0.01))


@zoo_model("quick", **_ALL)
def trained_in_mixed_precision(k: Kit) -> Any:
    inputs = k.keras.Input((4,))
    x = k.layers.Dense(3, dtype="mixed_float16")(inputs)
    model = k.keras.Model(inputs, k.layers.Dense(1, dtype="float32")(x))
    optimizer = k.keras.mixed_precision.LossScaleOptimizer(k.keras.optimizers.Adam(0.01))
    model.compile(optimizer=optimizer, loss="mse")
    return train(k, model)


@zoo_model(**_MAIN)
def trained_with_frozen_layer(k: Kit) -> Any:
    model = _network(k)
    model.layers[1].trainable = False
    model.compile(optimizer="adam", loss="mse")
    return train(k, model)


@zoo_model("quick", **_ALL)
def compiled_and_never_trained(k: Kit) -> Any:
    model = _network(k)
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


@zoo_model(**_MAIN)
def compiled_with_everything(k: Kit) -> Any:
    model = _two_ends(k)
    model.compile(
        optimizer=k.keras.optimizers.Adam(),
        loss={"label": k.keras.losses.CategoricalCrossentropy(from_logits=True), "score": "huber"},
        loss_weights={"label": 0.3, "score": 2.0},
        metrics={"label": ["accuracy", k.keras.metrics.AUC(num_thresholds=5)], "score": ["mse"]},
        weighted_metrics={
            "label": ["mae"],
            "score": [k.keras.metrics.MeanAbsoluteError(name="far")],
        },
        run_eagerly=False,
        steps_per_execution=1,
    )
    return train(k, model)


@zoo_model(**_MAIN)
def compiled_by_lists(k: Kit) -> Any:
    model = _two_ends(k)
    model.compile("sgd", loss=["mse", k.keras.losses.LogCosh()], metrics=[["mae"], ["mse", "mae"]])
    return model


@zoo_model(**_MAIN)
def compiled_without_loss(k: Kit) -> Any:
    model = _network(k)
    model.compile(optimizer="adam")
    return model


@zoo_model("quick", **_ALL)
def compiled_with_registered_objects(k: Kit) -> Any:
    return _trained(k, "adam", loss=k.own.registered_loss, metrics=[k.own.RegisteredMetric()])


@zoo_model("quick", custom=("PassedLoss", "passed_metric"), **_ALL)
def compiled_with_passed_objects(k: Kit) -> Any:
    return _trained(k, "sgd", loss=k.own.PassedLoss(), metrics=[k.own.passed_metric])


@zoo_model(**_MAIN)
def compiled_with_unknown_objects(k: Kit) -> Any:
    return _trained(k, "sgd", loss=k.own.unknown_loss, metrics=["mae"])


@zoo_model(custom=("PassedOptimizer",), **_MAIN)
def compiled_with_passed_optimizer(k: Kit) -> Any:
    return _trained(k, k.own.PassedOptimizer(0.05))


@zoo_model(**_MAIN)
def compiled_sequential(k: Kit) -> Any:
    model = k.keras.Sequential([k.keras.Input((4,)), k.layers.Dense(3), k.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse", metrics=["mse"])
    return train(k, model)


@zoo_model(**_MAIN)
def compiled_inside_compiled(k: Kit) -> Any:
    body = compiled_sequential(k)
    inputs = k.keras.Input((4,))
    model = k.keras.Model(inputs, k.layers.Dense(1)(body(inputs)))
    model.compile(optimizer="sgd", loss="mse")
    return train(k, model)
