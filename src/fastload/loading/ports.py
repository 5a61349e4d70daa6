"""Ports in a migrated model: whether they are the custom classes that it was proved with.

A port that is at hand goes before the function that a layer without one calls.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastload.errors import CacheError
from fastload.loading.plan import Plan, migration_record
from fastload.report import Outcome
from fastload.runtime.core.custom_code import number_of
from fastload.runtime.core.keras import Keras, is_known
from fastload.runtime.core.restore_request import (
    custom_objects,
    objects_of_program,
    program_objects,
)
from fastload.source.detect import SourceKind

if TYPE_CHECKING:
    from fastload.loading.opening import Opened


def plan_for_other_ports(opened: Opened) -> Plan | None:
    """Return the plan of a migration with the ports of this load; None if those are its own.

    Args:
        opened: the twin of a migrated model. If it was written now, its ports are noted.
    """
    plan = opened.plan
    assert isinstance(plan.keras, Keras)  # noqa: S101 - `loading.plan` migrates for no other
    ports = program_objects(opened.twin, plan.keras, plan.custom_objects)
    replaced = _ports_for_functions(opened, plan.keras)
    if replaced:
        return _migrated_with(plan, [*ports, *replaced])
    if _lacks_a_port(opened, plan.keras):
        return _migrated_with(plan, ports)
    if not ports:
        return None
    number = number_of(ports)
    kept = plan.identity.entry.side("ports")
    if opened.outcome is Outcome.MISS:
        with suppress(CacheError):
            kept.keep(json.dumps(number).encode())
        return None
    with suppress(OSError, ValueError):
        if json.loads(kept.read_bytes()) == number:
            return None
    return _migrated_with(plan, ports)


def _migrated_with(plan: Plan, ports: Sequence[Any]) -> Plan | None:
    other = plan.identity.migrated(ports=number_of(ports))
    return None if other.entry == plan.identity.entry else replace(plan, identity=other)


def _ports_for_functions(opened: Opened, keras: Keras) -> list[Any]:
    """Return the ports of layers that call a function of the SavedModel in this twin."""
    record = migration_record(opened.twin)
    if not record.get("functions"):
        return []
    names = [n for n in record["names"] if n not in opened.twin.manifest.object_names]
    return objects_of_program(names, keras, opened.plan.custom_objects)


def _lacks_a_port(opened: Opened, keras: Keras) -> bool:
    """Say whether a class of this twin is not at hand, where the original has functions for it."""
    if opened.plan.identity.source.kind is not SourceKind.SAVED_MODEL:
        return False
    objects = custom_objects(opened.twin, keras, opened.plan.custom_objects)
    bare = {name.rpartition(">")[2] for name in objects}
    names = opened.twin.manifest.object_names
    return any(n.rpartition(">")[2] not in bare and not is_known(keras, n) for n in names)
