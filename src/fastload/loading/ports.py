"""Ports in a migrated model: whether they are the custom classes that it was proved with."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from fastload.errors import CacheError
from fastload.loading.plan import Plan
from fastload.report import Outcome
from fastload.runtime.core.custom_code import number_of
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import program_objects

if TYPE_CHECKING:
    from fastload.loading.store import Opened


def plan_for_other_ports(opened: Opened) -> Plan | None:
    """Return the plan of a migration with the ports of this load; None if those are its own.

    Args:
        opened: the twin of a migrated model. If it was written now, its ports are noted.
    """
    plan = opened.plan
    assert isinstance(plan.keras, Keras)  # noqa: S101 - `loading.plan` migrates for no other
    ports = program_objects(opened.twin, plan.keras, plan.custom_objects)
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
    other = plan.identity.migrated(ports=number)
    return None if other.entry == plan.identity.entry else replace(plan, identity=other)
