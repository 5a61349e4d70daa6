"""What a rule is, and the kinds of changes that most rules make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastload.errors import MigrationError

#: An object in a configuration: `class_name`, `config`, and what Keras puts beside them.
Item = Mapping[str, Any]

#: Any value, in the tables of arguments that Keras 3 dropped.
ANY: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One difference between the configurations of Keras 2 and Keras 3.

    Attributes:
        name: its name in a twin's record.
        mends: the files that do not open without it.
        classes: names of the classes that it applies to; all classes if empty.
        change: returns the changed object, or the same one where the rule does not apply.
    """

    name: str
    mends: str
    classes: frozenset[str] = frozenset()
    change: Callable[[Item], Item]

    def apply(self, item: Item) -> Item:
        """Return *item* as Keras 3 has it; the same object if nothing changes."""
        if self.classes and item["class_name"] not in self.classes:
            return item
        return self.change(item)


@dataclass(slots=True)
class Record:
    """The rules that a migration applied, in the order of their first use, with their counts."""

    rules: dict[str, int] = field(default_factory=dict)
    #: Parts of the original that the model lacks, with reasons: why it is not compiled, for
    #: instance.
    left_out: dict[str, str] = field(default_factory=dict)
    #: Layers that call a function of the SavedModel, with the names of their classes in Keras 2.
    functions: dict[str, str] = field(default_factory=dict)
    #: The names of classes and functions in the configuration in Keras 2.
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Record that the rule *name* was applied."""
        self.rules[name] = self.rules.get(name, 0) + 1


def with_config(item: Item, changes: Mapping[str, Any], *, less: Collection[str] = ()) -> Item:
    """Return *item* with *changes* to its configuration, without the keys *less*."""
    kept = {key: value for key, value in item["config"].items() if key not in less}
    return {**item, "config": {**kept, **changes}}


def without(**dropped: Any) -> Callable[[Item], Item]:
    """Return a change that drops arguments which Keras 3 does not have.

    Args:
        dropped: for each argument the values that Keras 3 implies: one, a tuple of them, or `ANY`.
            A file with another value cannot be migrated.
    """

    def change(item: Item) -> Item:
        found = dropped.keys() & item["config"].keys()
        for key in sorted(found):
            _require_harmless(item, key, dropped[key])
        return with_config(item, {}, less=found) if found else item

    return change


def renamed(**new_names: str) -> Callable[[Item], Item]:
    """Return a change that gives arguments their names in Keras 3."""

    def change(item: Item) -> Item:
        found = {old: new for old, new in new_names.items() if old in item["config"]}
        values = {new: item["config"][old] for old, new in found.items()}
        return with_config(item, values, less=found) if found else item

    return change


def class_renamed(new_name: str) -> Callable[[Item], Item]:
    """Return a change that gives a class its name in Keras 3."""
    return lambda item: {**item, "class_name": new_name}


def refused(reason: str) -> Callable[[Item], Item]:
    """Return a change that raises an error: Keras 3 has no equivalent, for *reason*."""

    def change(item: Item) -> Item:
        raise MigrationError(owner(item), reason)

    return change


def owner(item: Item) -> str:
    """Return a description of the object *item* for messages."""
    name = item["config"].get("name") if isinstance(item["config"], Mapping) else None
    kind = f"of class {item['class_name']}"
    return f"layer {name!r} {kind}" if name else f"an object {kind}"


def _require_harmless(item: Item, key: str, allowed: Any) -> None:
    value = item["config"][key]
    choices = allowed if isinstance(allowed, tuple) else (allowed,)
    if not any(choice is ANY or choice == value for choice in choices):
        raise MigrationError(owner(item), f"Keras 3 has no {key}={value!r}")
