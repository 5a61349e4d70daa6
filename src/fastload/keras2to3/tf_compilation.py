"""A migrated model, compiled as its original was, with the state of the optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.rule import Record
from fastload.keras2to3.rules.training import migrated_training
from fastload.keras2to3.tf_optimizer_state import OptimizerState


def compile_migrated(
    keras: Any,
    model: Any,
    training: Mapping[str, Any],
    record: Record,
    state: OptimizerState | None = None,
) -> None:
    """Compile *model* as its original was; where that fails, leave it uncompiled.

    Args:
        keras: Keras 3.
        model: the model, with its weights.
        training: the training configuration in Keras 2.
        record: records the rules that were applied, and what is left out.
        state: the state of the optimizer, if the source has it in a known form.
    """
    try:
        compile_as(keras, model, migrated_training(training, record))
    except MigrationError as error:  # of an optimizer, a loss or a metric
        record.left_out["compile"] = f"{error.owner.removeprefix('layer ')}: {error.reason}"
        return
    except Exception as error:  # noqa: BLE001 - for instance an unknown loss; it predicts all the same
        first_line = str(error).strip().splitlines()[:1]
        record.left_out["compile"] = f"{type(error).__name__}: {''.join(first_line)[:200]}"
        return
    reason = "the file has it in an unknown form" if state is None else state.assign_to(model)
    if reason is not None:
        record.left_out["optimizer state"] = reason


#: Where the classes of an argument of `compile` are: those of many losses and metrics share a name.
_PARTS: Final = {
    "optimizer": ("optimizers", "optimizers.schedules"),
    "loss": ("losses",),
    "metrics": ("metrics",),
    "weighted_metrics": ("metrics",),
    "loss_weights": (),
}


def compile_as(keras: Any, model: Any, training: Mapping[str, Any]) -> None:
    """Compile *model* with *training*, a result of `keras2to3.rules.training`.

    Raises:
        Exception: whatever Keras raises.
    """
    arguments = {key: _deserialized(keras, value, _PARTS[key]) for key, value in training.items()}
    names = list(getattr(model, "output_names", ("",)))  # a Sequential has one output
    for key in ("metrics", "weighted_metrics"):
        arguments[key] = _by_output(arguments[key], names)
    given = {key: value for key, value in arguments.items() if value is not None}
    model.compile(**given)
    if model.optimizer is not None:  # or a load of the twin would lack its variables
        model.optimizer.build(model.trainable_variables)


def _deserialized(keras: Any, value: Any, parts: Sequence[str]) -> Any:
    if isinstance(value, str) and "losses" in parts:
        keras.losses.get(value)  # Keras itself looks it up, and fails, when training starts
    if isinstance(value, Mapping) and "class_name" in value:
        made = keras.saving.deserialize_keras_object(_with_modules(keras, value, parts))
        return _telling(made, value["config"])
    if isinstance(value, Mapping):
        return {key: _deserialized(keras, each, parts) for key, each in value.items()}
    return [_deserialized(keras, e, parts) for e in value] if isinstance(value, list) else value


def _telling(made: Any, config: Mapping[str, Any]) -> Any:
    """Have *made* name every argument that it was made with, and return it.

    Some losses and metrics of Keras 3 leave arguments out of their configuration (`Huber` its
    `delta`, `CosineSimilarity` its `axis`): saved and loaded, they would have the default.
    """
    if not hasattr(made, "get_config"):  # a function
        return made
    told = made.get_config
    untold = {key: config[key] for key in config.keys() - told().keys()}
    if untold:
        made.get_config = lambda: {**told(), **untold}
    return made


def _with_modules(keras: Any, value: Any, parts: Sequence[str]) -> Any:
    """Return *value* with the module of each object in it, which is one of *parts*."""
    if isinstance(value, list):
        return [_with_modules(keras, each, parts) for each in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:
        return {key: _with_modules(keras, each, parts) for key, each in value.items()}
    config = {key: _with_modules(keras, each, parts) for key, each in value["config"].items()}
    name = value["class_name"]
    module = next((f"keras.{part}" for part in parts if _has(keras, part, name)), None)
    registered = None if module else name
    return {"class_name": name, "config": config, "module": module, "registered_name": registered}


def _has(keras: Any, part: str, name: str) -> bool:
    found = keras
    for each in part.split("."):
        found = getattr(found, each)
    return hasattr(found, name)


def _by_output(metrics: Any, names: list[str]) -> Any:
    """Return metrics without the prefix of their output's name: Keras 3 adds it itself."""
    if not isinstance(metrics, list) or not metrics or not isinstance(metrics[0], list):
        return metrics
    if len(names) == 1:
        return metrics[0]
    for name, own in zip(names, metrics, strict=False):
        for metric in own:
            if hasattr(metric, "name") and metric.name.startswith(f"{name}_"):
                metric.name = metric.name.removeprefix(f"{name}_")
    return metrics
