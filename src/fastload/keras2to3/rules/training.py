"""Rules for how a model was compiled: optimizer, losses, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.decoding import decoded
from fastload.keras2to3.rules.rule import (
    ANY,
    Item,
    Record,
    Rule,
    owner,
    renamed,
    with_config,
    without,
)

_METRICS: Final = frozenset({"MeanMetricWrapper"})
#: The metric class for each function that Keras 2 wrapped.
_METRIC_CLASSES: Final = {
    "accuracy": "Accuracy",
    "binary_accuracy": "BinaryAccuracy",
    "categorical_accuracy": "CategoricalAccuracy",
    "sparse_categorical_accuracy": "SparseCategoricalAccuracy",
    "top_k_categorical_accuracy": "TopKCategoricalAccuracy",
    "sparse_top_k_categorical_accuracy": "SparseTopKCategoricalAccuracy",
    "binary_crossentropy": "BinaryCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "cosine_similarity": "CosineSimilarity",
    "hinge": "Hinge",
    "kl_divergence": "KLDivergence",
    "kullback_leibler_divergence": "KLDivergence",
    "mean_absolute_error": "MeanAbsoluteError",
    "mean_absolute_percentage_error": "MeanAbsolutePercentageError",
    "mean_squared_error": "MeanSquaredError",
    "mean_squared_logarithmic_error": "MeanSquaredLogarithmicError",
    "poisson": "Poisson",
    "squared_hinge": "SquaredHinge",
}
_SHORT: Final = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
}
#: With less, it is about the same where it is added; 1e-7 is what Keras has without an argument.
_NO_EPSILON: Final = 1.1e-7
#: Names that Keras 3 gave up.
_LOSS_NAMES: Final = {"logcosh": "log_cosh", "cosine_proximity": "cosine_similarity"}
_SCALING: Final = frozenset({"LossScaleOptimizer", "LossScaleOptimizerV1", "LossScaleOptimizerV3"})


def _unregistered(item: Item) -> Item:
    """Return tf-keras's `Custom>Adam` as `Adam`."""
    package, _, name = item["class_name"].rpartition(">")
    return {**item, "class_name": name} if package == "Custom" else item


def _decayed(item: Item) -> Item:
    """Return a schedule in place of `decay`, with the same arithmetic."""
    config = item["config"]
    if "decay" not in config or "learning_rate" not in config:
        return item
    decay, rate = config["decay"], config["learning_rate"]
    if not decay:
        return with_config(item, {}, less={"decay"})
    if isinstance(rate, Mapping):
        raise MigrationError(owner(item), "Keras 3 has no decay of a schedule")
    schedule = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
    made = {"class_name": "InverseTimeDecay", "config": schedule}
    return with_config(item, {"learning_rate": made}, less={"decay"})


def _small_epsilon(item: Item) -> Item:
    """Reject an epsilon of weight: Keras 3 adds it below the root, these optimizers after it."""
    config = item["config"]
    is_legacy, is_added_below = "decay" in config, bool(config.get("momentum"))
    if is_legacy and not is_added_below and (config.get("epsilon") or 0) > _NO_EPSILON:
        raise MigrationError(owner(item), f"in Keras 3 epsilon={config['epsilon']:.3g} is another")
    return item


def _scaled(item: Item) -> Item:
    """Return a loss-scaling optimizer with its name and arguments in Keras 3."""
    config = item["config"]
    inner = config.get("inner_optimizer", config.get("optimizer"))
    if inner is None or config.get("dynamic") is False:
        return item
    kept = {"inner_optimizer": inner}
    for key in ("initial_scale", "dynamic_growth_steps"):
        kept |= {key: config[key]} if config.get(key) is not None else {}
    return {"class_name": "LossScaleOptimizer", "config": kept}


def _whole_mean(item: Item) -> Item:
    is_automatic = item["config"].get("reduction") in ("auto", "none_or_auto")
    return with_config(item, {"reduction": "sum_over_batch_size"}) if is_automatic else item


def _metric_class(item: Item) -> Item:
    """Return the metric class for the function that Keras 2 wrapped."""
    name = item["config"].get("fn")
    kind = _METRIC_CLASSES.get(_SHORT.get(name, name)) if isinstance(name, str) else None
    if kind is None:
        return item
    return {**with_config(item, {}, less={"fn"}), "class_name": kind}


def _counting_all(item: Item) -> Item:
    """Reject a metric that leaves a class out: Keras 3 counts what it ignores in the mean."""
    config = item["config"]
    if "reduction" not in config and config.get("ignore_class") is not None:  # no loss
        raise MigrationError(owner(item), "in Keras 3 its mean counts the ignored class too")
    return item


#: In the order in which they are applied.
OPTIMIZER_RULES: Final = (
    Rule(
        name="registered-optimizers",
        mends="files of tf-keras, whose optimizers are registered under a package",
        change=_unregistered,
    ),
    Rule(
        name="loss-scaling",
        mends="files of Keras 2.4 to 2.15 that were trained in mixed precision",
        classes=_SCALING,
        change=_scaled,
    ),
    Rule(
        name="learning-rate",
        mends="files of Keras 2.0 to 2.2, whose optimizers had an lr",
        change=renamed(lr="learning_rate"),
    ),
    Rule(
        name="unnamed-schedules",
        mends="files of Keras 2 with a learning rate schedule without a name",
        change=lambda item: (
            with_config(item, {}, less={"name"}) if item["config"].get("name", "") is None else item
        ),
    ),
    Rule(
        name="momentum-decay",
        mends="nothing: it says why the Nadam of Keras 2.0 to 2.10 is refused",
        classes=frozenset({"Nadam"}),
        change=without(decay=1.0, schedule_decay=1.0),
    ),
    Rule(
        name="large-epsilons",
        mends="nothing: it says why some optimizers of Keras 2.0 to 2.10 are refused",
        classes=frozenset({"RMSprop", "Adagrad"}),
        change=_small_epsilon,
    ),
    Rule(
        name="decay",
        mends="files of Keras 2.0 to 2.10, whose optimizers had a decay",
        change=_decayed,
    ),
    Rule(
        name="optimizer-arguments",
        mends="files of Keras 2.9 to 2.15, whose optimizers have arguments of their compilation",
        change=without(is_legacy_optimizer=ANY, jit_compile=ANY, schedule_decay=ANY),
    ),
)
#: The same for losses and metrics.
OBJECTIVE_RULES: Final = (
    Rule(
        name="loss-reductions",
        mends="files of Keras 2.3 to 2.15 with a loss that was an object",
        change=_whole_mean,
    ),
    Rule(
        name="wrapped-metrics",
        mends="files of Keras 2.3 to 2.15 with metrics of functions",
        classes=_METRICS,
        change=_metric_class,
    ),
    Rule(
        name="objective-functions",
        mends="files of Keras 2.10 to 2.15, whose losses name their function too",
        change=without(fn=ANY),
    ),
    Rule(
        name="ignored-classes",
        mends="nothing: it says why a metric that ignores a class is refused",
        classes=frozenset({"SparseCategoricalCrossentropy"}),
        change=_counting_all,
    ),
)


def migrated_training(config: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """Return the training configuration of a model in Keras 3's form.

    Args:
        config: the training configuration of a SavedModel or a legacy HDF5 file.
        record: records the rules that were applied.

    Returns:
        `optimizer`, `loss`, `metrics`, `weighted_metrics` and `loss_weights`; objects are
        configurations.

    Example:
        >>> sgd = {"class_name": "SGD", "config": {"lr": 0.1, "decay": 0.0}}
        >>> found = migrated_training({"optimizer_config": sgd, "loss": "mse"}, Record())
        >>> found["optimizer"]["config"], found["loss"]
        ({'learning_rate': 0.1}, 'mse')
    """
    whole = decoded(config)
    objectives = ("metrics", "weighted_metrics", "loss_weights")
    whole["loss_weights"] = _all_weights(whole.get("loss_weights"), whole.get("loss"))
    return {
        # Archives have the second name.
        "optimizer": _walk(
            whole.get("optimizer_config", whole.get("optimizer")), record, OPTIMIZER_RULES
        ),
        **{key: _walk(whole.get(key), record, OBJECTIVE_RULES) for key in objectives},
        "loss": _walk(_named_anew(whole.get("loss")), record, OBJECTIVE_RULES),
    }


def _all_weights(weights: Any, loss: Any) -> Any:
    """Return *weights* with one for each loss: Keras 2 takes 1 where there is none, by name."""
    if not isinstance(weights, Mapping) or not isinstance(loss, Mapping):
        return weights
    return {**dict.fromkeys(loss, 1.0), **weights}


def _named_anew(loss: Any) -> Any:
    """Return *loss* with the names of functions that Keras 3 has."""
    if isinstance(loss, Mapping) and "class_name" not in loss:
        return {key: _named_anew(each) for key, each in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [_named_anew(each) for each in loss]
    return _LOSS_NAMES.get(loss, loss) if isinstance(loss, str) else loss


def _walk(value: Any, record: Record, rules: tuple[Rule, ...]) -> Any:
    if isinstance(value, Mapping):
        found: Item = {key: _walk(each, record, rules) for key, each in value.items()}
        return _applied(found, record, rules) if "class_name" in found else found
    if isinstance(value, (list, tuple)):
        return [_walk(each, record, rules) for each in value]
    return value


def _applied(item: Item, record: Record, rules: tuple[Rule, ...]) -> Item:
    item = {"class_name": item["class_name"], "config": item.get("config") or {}}
    for rule in rules:
        changed = rule.apply(item)
        if changed is not item:
            record.add(rule.name)
        item = changed
    return item
