"""Lenders of weights in a file that no twin writer made."""

from __future__ import annotations

from pathlib import Path

from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import SMALL_BYTES, Plan, plan_of
from fastload.lazy_weights.pages import pages_of
from fastload.twin.format import WeightRef

#: What each weight of `plan_of_layers` takes.
LENT_BYTES = SMALL_BYTES
KEPT_BYTES = 100


def plan_of_layers(count: int) -> Plan:
    """A large and a small weight for each of `layers/a0`, `layers/a1`, ..."""
    large = [_ref(f"a{i}", 0, i * LENT_BYTES, LENT_BYTES) for i in range(count)]
    small = [
        _ref(f"a{i}", 1, count * LENT_BYTES + i * KEPT_BYTES, KEPT_BYTES) for i in range(count)
    ]
    return plan_of([*large, *small])


def lender_over(folder: Path, plan: Plan, limit: int, kind: type[Lender] = Lender) -> Lender:
    """Lend the weights of a plan from a file in which each is of bytes with its own number."""
    path = folder / "weights"
    refs = sorted((weight.ref for weight in (*plan.lent, *plan.kept)), key=lambda ref: ref.offset)
    path.write_bytes(b"".join(bytes([i]) * ref.nbytes for i, ref in enumerate(refs)))
    return kind(plan, Budget(limit), pages_of(path))


def _ref(layer: str, number: int, offset: int, nbytes: int) -> WeightRef:
    return WeightRef(
        name=f"state/layers/{layer}/vars/{number}",
        dtype="uint8",
        shape=(nbytes,),
        offset=offset,
        nbytes=nbytes,
        sha256="",
    )
