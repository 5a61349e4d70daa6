"""What has to be known of a model to defer it: a side entry of its twin, learnt by making it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastload.cache.publish import replacing
from fastload.errors import CacheUnwritableError
from fastload.loading import Identity
from fastload.runtime.effects import Effects
from fastload.runtime.flavour import Flavour
from fastload.runtime.model_classes import PLAIN_CLASSES, input_form, plain_class_name
from fastload.runtime.moment import Moment

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferralNote:
    """What is known of a model.

    Attributes:
        kind: the name of its class; or a sentence that says why it cannot be deferred.
        takes: the form of its inputs; see `input_form`.
        effects: what making it leaves behind.
        lasts: whether it is so in every process like this one.
    """

    kind: str
    takes: str = "one"
    effects: Effects = field(default_factory=Effects)
    lasts: bool = True

    @classmethod
    def of(cls, chosen: Flavour, model: Any, effects: Effects | None) -> DeferralNote:
        """Return what is to be known of *model*; making it had *effects*, if they can be told."""
        kind = plain_class_name(chosen, model)
        if effects is None:  # or another thread drew numbers meanwhile
            return cls(kind="making it draws random numbers", lasts=False)
        takes = input_form(model) if kind in PLAIN_CLASSES else "one"
        if takes is None:
            return cls(kind="its inputs are nested")
        return cls(kind=kind, takes=takes, effects=effects)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferralEntry:
    """Where the note on a model is.

    Attributes:
        identity: the model.
        moment: of the load; its digest is part of the name.
        compiled: whether it is loaded with `compile=True`.
    """

    identity: Identity
    moment: Moment
    compiled: bool

    @property
    def path(self) -> Path:
        """The file."""
        chosen = self.moment.chosen
        version = chosen.version.replace(".", "_")
        kind = f"deferral-{chosen.package}-{version}-{int(self.compiled)}-{self.moment.digest}"
        return self.identity.entry.side_path(kind)

    def read(self) -> DeferralNote | None:
        """Return the note; None if there is none."""
        try:
            told = json.loads(self.path.read_bytes())
            return DeferralNote(
                kind=str(told["kind"]),
                takes=str(told["takes"]),
                effects=Effects.of_json(told["effects"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, note: DeferralNote) -> None:
        """Write *note*, if it lasts and the cache can be written."""
        if not note.lasts:
            return
        told = {"kind": note.kind, "takes": note.takes, "effects": note.effects.to_json()}
        try:
            with replacing(self.path, durable=False) as partial:
                partial.write_text(json.dumps(told), encoding="utf-8")
        except CacheUnwritableError as error:
            _logger.info("what deferring needs is not kept: %s", error)
