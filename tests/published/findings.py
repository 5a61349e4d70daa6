"""What became of a published model, as the processes that open it tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Way(str, Enum):
    """How Keras 3 came to the model."""

    STOCK = "Keras 3 opens it"
    MIGRATED = "migrated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one model.

    Attributes:
        kind: what it is: a SavedModel, an HDF5 file, an archive.
        way: how it opened.
        ports: whether it needed ports of custom classes.
        against: what its outputs were compared with; None if they were not.
        outputs: how many outputs were compared.
        relative: how far they are apart at most, relative to the largest number of an output.
        excess: the same in units of what is allowed for the dtype.
        reason: why it was refused, or not compared.
        names_both_ways: whether a refusal names the two ways that work.
        has_predictor: whether `load_predictor` takes what was refused.
        seconds: what the first load took.
        training: how far losses of two steps of training are apart at most, relative to the
            losses; None if they were not compared.
    """

    kind: str
    way: Way
    ports: bool
    against: str | None = None
    outputs: int = 0
    relative: float | None = None
    excess: float | None = None
    reason: str = ""
    names_both_ways: bool = False
    has_predictor: bool = False
    seconds: float = 0.0
    training: float | None = None

    @property
    def is_right(self) -> bool:
        """Whether it opened, and is within the tolerance of what Keras 2 makes of it."""
        return self.way is not Way.REFUSED and self.excess is not None and self.excess <= 1

    @property
    def is_described(self) -> bool:
        """Whether it was refused as described: with the reason and with two ways that work."""
        return self.way is Way.REFUSED and self.names_both_ways and self.has_predictor

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {**asdict(self), "way": self.way.value}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Finding:
        """Return what `to_json` made a document of."""
        return cls(**{**document, "way": Way(document["way"])})
