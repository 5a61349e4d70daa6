"""How a migrated model is compiled, as far as it can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastload.keras2to3.rules.rule import Record
from fastload.keras2to3.rules.training import migrated_training
from fastload.keras2to3.tf_training import OptimizerState, compile_as


def compile_migrated(
    keras: Any,
    model: Any,
    training: Mapping[str, Any],
    record: Record,
    state: OptimizerState | None = None,
) -> None:
    """Compile *model* as its original was; where that fails, it is left uncompiled.

    Args:
        keras: Keras 3.
        model: the model, with its weights.
        training: the training configuration in Keras 2.
        record: takes down the rules, and what is left out.
        state: the state of the optimizer, where it can be had.
    """
    try:
        compile_as(keras, model, migrated_training(training, record))
    except Exception as error:  # noqa: BLE001 - a loss that is not at hand, say; it predicts as well
        told = str(error).strip().splitlines()[:1]
        record.left_out["compile"] = f"{type(error).__name__}: {''.join(told)[:200]}"
        return
    reason = "its file has it in another form" if state is None else state.give(model)
    if reason is not None:
        record.left_out["optimizer state"] = reason
