"""Migration of a whole configuration: every object in it, from the inside out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules import (
    layer_arguments,
    layers,
    operation_layers,
    recurrent,
    sequential,
)
from fastload.keras2to3.rules.decoding import decoded
from fastload.keras2to3.rules.rule import Item, Record, Rule

RULES: Final = (operation_layers.RULE, *layer_arguments.RULES, *recurrent.RULES, *layers.RULES)
#: Applied before all others, from the outside in: they read what the others change.
FIRST_RULES: Final = sequential.RULES

#: Keys under which a bare name is that of a function.
_FUNCTION_KEYS: Final = ("activation",)
#: Keys beside an object that Keras 3 does not use.
_LABELS: Final = frozenset({"shared_object_id", "build_config", "build_input_shape"})


#: Beside a layer in a configuration: its node in the object graph, and why no rule is for it.
NODE: Final = "saved_node"
REFUSED: Final = "refused"


def migrated(config: Any, record: Record, rules: Sequence[Rule] = RULES) -> Any:
    """Return a configuration of Keras 2 as Keras 3's.

    Args:
        config: a configuration as JSON holds it.
        record: records the rules that were applied.
        rules: the rules to apply.

    Raises:
        MigrationError: Keras 3 has no equivalent; the message says of which layer, and why. Where
            the layer has a node (`with_nodes`), it is marked instead.

    Example:
        >>> record = Record()
        >>> gru = {"class_name": "GRU", "config": {"time_major": False, "reset_after": True}}
        >>> migrated(gru, record)
        {'class_name': 'GRU', 'config': {'reset_after': True}}
        >>> record.rules
        {'time-major': 1}
    """
    return _walk(decoded(config), record, rules)


def _walk(value: Any, record: Record, rules: Sequence[Rule]) -> Any:
    if not isinstance(value, Mapping) or NODE not in value:
        return _walked(value, record, rules)
    if REFUSED in value:
        return value
    try:
        return _walked(value, record, rules)
    except MigrationError as error:
        return {**value, REFUSED: error}


def _walked(value: Any, record: Record, rules: Sequence[Rule]) -> Any:
    if isinstance(value, Mapping):
        value = _changed(value, record, FIRST_RULES) if is_object(value) else value
        inner = {
            key: _function(key, _walk(each, record, rules), record) for key, each in value.items()
        }
        return _object(inner, record, rules) if is_object(inner) else inner
    if isinstance(value, (list, tuple)):
        return type(value)(_walk(each, record, rules) for each in value)
    return value


def is_object(value: Any) -> bool:
    """Say whether *value* is a serialized object."""
    return isinstance(value, Mapping) and isinstance(value.get("class_name"), str)


def _object(item: Item, record: Record, rules: Sequence[Rule]) -> Any:
    item = {key: value for key, value in item.items() if key not in _LABELS}
    item.setdefault("config", {})
    return _changed(item, record, rules)


def _changed(item: Item, record: Record, rules: Sequence[Rule]) -> Any:
    for rule in rules:
        changed = rule.apply(item)
        if changed is not item:
            record.add(rule.name)
        if not is_object(changed):
            return changed
        item = changed
    return item


def _function(key: str, value: Any, record: Record) -> Any:
    """Return Keras 3's name of the function *value*, if *key* holds functions."""
    if not key.endswith(_FUNCTION_KEYS) or not isinstance(value, str):
        return value
    name = layer_arguments.function_name(value)
    if name != value:
        record.add("function-names")
    return name
