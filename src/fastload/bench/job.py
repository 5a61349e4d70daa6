"""What a measured process is asked, and what it tells: values that travel as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastload.api.explain import Function
    from fastload.runtime.core.keras import KerasChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Made-up inputs: every process makes the same ones of it.

    Attributes:
        specs: name, dtype and shape of each, in the order in which the function takes them.
        number: which of the `probes` for them.
    """

    specs: tuple[tuple[str, str, tuple[int | None, ...] | None], ...]
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One load to measure, and a prediction after it.

    Attributes:
        path: the model.
        is_folder: it is a SavedModel.
        function: the function of fastload's that is asked.
        is_stock: its stock loader is asked instead.
        keras: as in `load_model`.
        signature: the function of a SavedModel that predicts; None for the default.
        compile: passed to `load_model`; None for True or, where stock refuses that, False.
        objects: names of classes and functions that stock has to be given.
        predicts: it predicts, too.
        inputs: what it predicts from; None for the first inputs that it does not refuse.
        is_profiled: stock's load is taken apart into phases.
    """

    path: str
    is_folder: bool
    function: Function
    is_stock: bool
    keras: KerasChoice = "auto"
    signature: str | None = None
    compile: bool | None = True
    objects: tuple[str, ...] = ()
    predicts: bool = True
    inputs: Inputs | None = None
    is_profiled: bool = False

    def to_json(self) -> str:
        """Return it as one line, which `of_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> Job:
        """Return the job in what `to_json` returned."""
        document = json.loads(text)
        document["objects"] = tuple(document["objects"])
        document["inputs"] = _inputs(document["inputs"])
        return cls(**document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a process tells of its load.

    Attributes:
        outcome: `hit`, `miss` or `bypass`; `stock` for a stock loader.
        reason: why the stock loader was used; None where it was not.
        code: the code of the error behind the reason, or None.
        entry: the name of the twin's entry in the cache, or None.
        weights_bytes: bytes of weights in the twin (0 where none is known).
        compile: whether the model was compiled.
        import_s: seconds of imports of TensorFlow and Keras.
        load_s: seconds of the load, without these imports.
        predict_s: seconds of the first prediction, or None.
        phases: seconds of the load by phase.
        inputs: what it predicted from, or None.
        digest: of what it predicted, or None.
        uncompared: why it did not predict, or None.
        cpu_s: seconds of all its threads, in the system too.
        peak_bytes: most memory at once.
        wall_s: seconds from the start of the process to its end; 0 in the process itself.
        error: what the load raised, with its code, where it raised; then nothing else is told.
    """

    outcome: str = ""
    reason: str | None = None
    code: str | None = None
    entry: str | None = None
    weights_bytes: int = 0
    compile: bool = True
    import_s: float = 0.0
    load_s: float = 0.0
    predict_s: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    inputs: Inputs | None = None
    digest: str | None = None
    uncompared: str | None = None
    cpu_s: float = 0.0
    peak_bytes: int = 0
    wall_s: float = 0.0
    error: Mapping[str, str] | None = None

    def to_json(self) -> str:
        """Return it as one line, which `of_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str, wall_s: float) -> Told:
        """Return what `to_json` returned, of a process that took *wall_s* seconds."""
        document = json.loads(text)
        document["inputs"] = _inputs(document["inputs"])
        return replace(cls(**document), wall_s=wall_s)


def _inputs(document: Any) -> Inputs | None:
    if document is None:
        return None
    specs = [
        (name, dtype, None if shape is None else tuple(shape))
        for name, dtype, shape in document["specs"]
    ]
    return Inputs(specs=tuple(specs), number=document["number"])
