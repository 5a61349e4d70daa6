"""The twin of a plan: opened or, where there is none, built (`loading.build`)."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastload.cache.directory import is_network_filesystem
from fastload.cache.entry import CacheEntry, mark_used
from fastload.cache.publish import cache_faults
from fastload.errors import RestoreError, TwinCorruptError, is_passing
from fastload.lean_dataclass import dataclass
from fastload.loading.plan import Plan, migration_record, refusal
from fastload.loading.request import Request
from fastload.report import Outcome, PhaseClock
from fastload.twin.format import is_served
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")
#: The kind of the side entry that `failures` keeps.
FAILURES: Final = "failures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A plan whose twin is open.

    Attributes:
        plan: what was decided.
        twin: the twin.
        outcome: `hit` if it was there, `miss` if it was built now.
        store: the address of the shared store that it was fetched from now; None for none.
    """

    plan: Plan
    twin: Twin
    outcome: Outcome
    store: str | None = None


def open_plan(plan: Plan, clock: PhaseClock, *, behind: bool = False) -> Opened:
    """Open the twin of *plan*, building it first where there is none.

    Args:
        plan: what was decided.
        clock: of the load.
        behind: whether a twin that is built may be published after this returns; see
            `loading.behind`.

    Raises:
        CacheError: the cache cannot be used, or the twin in it cannot; a corrupt twin is removed,
            but from a layer.
        BypassError: the source cannot be converted, or migrated, to what is wanted.
    """
    entry = plan.identity.entry
    with clock.phase("twin"), cache_faults(entry.cache.root), dropping_corrupt(entry):
        opened = _open_or_build(plan, clock, behind=behind)
        require_section(opened.twin, plan.identity.section)
    other = _for_other_ports(opened)
    return opened if other is None else open_plan(other, clock)


def _for_other_ports(opened: Opened) -> Plan | None:
    """Return what to do for a migrated model whose ports are not those it was proved with."""
    if not opened.plan.identity.is_migrated:
        return None
    # Imported here: most loads do without.
    from fastload.loading.ports import plan_for_other_ports

    return plan_for_other_ports(opened)


@contextmanager
def dropping_corrupt(entry: CacheEntry) -> Iterator[None]:
    """Remove the twin if the block finds it corrupt, so that the next load writes it anew."""
    try:
        yield
    except TwinCorruptError as error:
        if entry.cache.layer_of(error.path) is None:
            entry.twin.discard()
        raise


@contextmanager
def tried_once(opened: Opened) -> Iterator[None]:
    """Raise what the block raised in an earlier load like this one; note what it raises now.

    Raises:
        RestoreError: what the block raised then.
    """
    # Imported where something failed: a hit does without.
    if opened.plan.identity.entry.side(FAILURES).is_there():
        from fastload.loading.failures import raise_known

        raise_known(opened)
    outer = sys.exc_info()[1]
    try:
        yield
    except RestoreError as error:
        from fastload.loading.failures import Failure

        # Without its files a model may lack assets; where they are, it would not fail.
        is_whole = not opened.plan.request.source_is_told
        if is_whole and not is_passing(error, outer):
            error.failure = Failure.of(opened)
        raise


def require_section(twin: Twin, section: str) -> None:
    """Check that *twin* can serve what it is wanted for.

    Raises:
        BypassError: what was wanted when it was written was another section, and this one could not
            be made.
    """
    if not is_served(section, twin.refusals):
        raise refusal(*twin.refusals[section])


def _open_or_build(plan: Plan, clock: PhaseClock, *, behind: bool) -> Opened:
    entry = plan.identity.entry
    is_trusted = entry.cache.trusted()
    if is_trusted and (found := open_own(plan)) is not None:
        return found
    if entry.cache.layers:
        # Imported here: most users have no layers.
        from fastload.loading.from_layers import open_in_layers

        if (found := open_in_layers(plan)) is not None:
            return found
    if (settings := plan.request.settings.remote) is not None:
        # Imported here: most users have no store.
        from fastload.loading.shared import open_shared

        if (found := open_shared(plan, settings, clock)) is not None:
            return found
    if not is_trusted:
        entry.cache.ensure()
    # Imported here: a hit writes nothing.
    from fastload.loading.build import build

    with readable(plan) as on_disk:
        opened = build(on_disk, clock, behind=behind)
    return opened if plan.request.source_is_told else replace(opened, plan=plan)


def open_built(plan: Plan, outcome: Outcome) -> Opened:
    """Open the twin that is in the cache now.

    Raises:
        CacheError: it cannot be read.
    """
    entry = plan.identity.entry
    twin = Twin.open(entry.path, mapped=is_mapped(plan.request, entry.cache.root))
    if outcome is Outcome.MISS and plan.identity.is_migrated:
        _logger.info("%s is a Keras 3 model now: %s", plan.request.filepath, _proof_of(twin))
    return Opened(plan=plan, twin=twin, outcome=outcome)


@contextmanager
def readable(plan: Plan) -> Iterator[Plan]:
    """Give *plan* with files that a conversion can read.

    Raises:
        BypassError: the model that a reference means is not at its path.
        OSError: what the caller holds in memory cannot be written to a file.
    """
    held = plan.request.held
    if held is not None and held.content is not None:
        with held.on_disk() as source:
            yield replace(plan, identity=replace(plan.identity, source=source))
    elif plan.identity.source.digest is not None:
        from fastload.loading.referred import with_source

        yield with_source(plan)
    else:
        yield plan


def open_own(plan: Plan) -> Opened | None:
    """Open the twin in the cache itself; None if there is none.

    Raises:
        CacheError: it cannot be read.
    """
    entry = plan.identity.entry
    with suppress(FileNotFoundError):
        mapped = is_mapped(plan.request, entry.cache.root)
        twin = Twin.open(entry.path, mapped=mapped)
        mark_used(entry)
        return Opened(plan=plan, twin=twin, outcome=Outcome.HIT)
    return None


def place_of(opened: Opened) -> str:
    """Return the folder with the assets of a SavedModel, which its twin lacks.

    Where a reference tells the content, it is the model's folder if that still has this content, or
    no assets at all; and none otherwise, so that a model never gets another one's.
    """
    plan = opened.plan
    if plan.request.held is not None:
        return plan.request.held.name
    path: str = os.fspath(plan.request.filepath)
    if plan.identity.source.digest is None and plan.request.at_address is None:
        return path
    # Imported here: few loads are of references, or of models at addresses.
    from fastload.loading.referred import place

    return place(plan, path)


def is_mapped(request: Request, folder: Path) -> bool:
    """Say whether *request* wants a twin in *folder* mapped, and not read."""
    if request.weights == "auto":
        return not is_network_filesystem(folder)
    return request.weights in {"mapped", "lazy"}


def _proof_of(twin: Twin) -> str:
    proof = migration_record(twin)["proof"]
    if proof["unproved"] is not None:
        return f"not proved, because {proof['unproved']}"
    return f"its outputs differ by {proof['relative']:.2g} at most from {proof['against']}"
