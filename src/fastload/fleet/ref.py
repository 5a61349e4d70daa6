"""Models by reference: a few hundred bytes that open wherever a cache or a layer has the twin."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fastload
from fastload import unfinished
from fastload.cache.directory import CacheDir
from fastload.errors import CacheError
from fastload.lean_dataclass import dataclass
from fastload.loading.plan import content_of
from fastload.loading.request import Request, addressed, current_settings
from fastload.settings import budget_bytes, weights_mode
from fastload.source.detect import ModelSource, SourceKind, detect, is_address, local_path
from fastload.source.fingerprint import fingerprint

if TYPE_CHECKING:
    from fastload.predictor.predictor import Predictor
    from fastload.runtime.core.keras import KerasChoice
    from fastload.settings import WeightsMode

#: How many predictors a process keeps for the tasks that come; their weights are mapped.
MOST_SHARED: Final = 8
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KERAS: Final = ("auto", "keras", "tf_keras")
_shared: Final[OrderedDict[Ref, Predictor]] = OrderedDict()
_lock: Final = unfinished.lock()
_loads: Final[dict[Ref, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A model by its content: what `fastload.ref` returns, and what a pickled predictor is.

    It opens in any process whose cache, or one of its layers, has the twin, whether the model
    itself is there or not; and where the model is at its path, unchanged, in any process. It can be
    pickled and compared, and stands for the path of the model: `fastload.load_model(ref)`.

    Attributes:
        digest: hex digest of the model's content.
        kind: what it is: `saved_model`, `keras_archive` or `keras_hdf5`.
        path: where it was, absolute; it is read where no twin is at hand.
        keras, signature, device, weights, memory_budget, strict: as in `load_predictor`; the other
            methods use those that their function has.
    """

    digest: str
    kind: str
    path: str
    keras: KerasChoice = "auto"
    signature: str | None = None
    device: str | None = None
    weights: WeightsMode | None = None
    memory_budget: int | str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"{self.digest!r} is not the digest of a model")
        SourceKind(self.kind)
        if self.keras not in _KERAS:
            raise ValueError(f"keras={self.keras!r} is not understood")
        if self.weights is not None:
            weights_mode(self.weights)
        budget_bytes(self.memory_budget)

    def load_model(self, **arguments: Any) -> Any:
        """Return the Keras model, a new one with each call: models can be changed.

        Args:
            **arguments: of `fastload.load_model`, besides the path; they go before the reference's.

        Raises:
            ModelNotHereError: neither a twin nor the model is at hand.
            Exception: whatever `fastload.load_model` raises.
        """
        return fastload.load_model(self, **{**self._options(), **arguments})

    def load_saved_model(self, **arguments: Any) -> Any:
        """Return the objects of a SavedModel, new ones with each call: they can be changed.

        Args:
            **arguments: of `fastload.load_saved_model`, besides the path.

        Raises:
            ModelNotHereError: neither a twin nor the model is at hand.
            Exception: whatever `fastload.load_saved_model` raises.
        """
        return fastload.load_saved_model(self, **arguments)

    def load_predictor(self) -> Predictor:
        """Return a predictor, whose functions and weights are opened once in a process.

        Closing it lets go of it alone. A process keeps the last eight that were asked for, so that
        the next task finds them.

        Raises:
            ModelNotHereError: neither a twin nor the model is at hand.
            Exception: whatever `fastload.load_predictor` raises.

        Example:
            >>> import fastload
            >>> ref = fastload.ref("path/to/model")  # doctest: +SKIP
            >>> ref.load_predictor().predict(images)  # doctest: +SKIP
        """
        if current_settings().disabled:
            return self._predictor()
        with _loads.setdefault(self, unfinished.lock()):  # one load of it, beside those of others
            found = _shared.get(self) or self._predictor()
            _keep(self, found)
        _loads.pop(self, None)
        return found.shared()

    def to_json(self) -> str:
        """Return it as a JSON document of a few hundred bytes."""
        told = {name: getattr(self, name) for name in _FIELDS}
        given = {name: value for name, value in told.items() if value not in (None, "auto")}
        return json.dumps(given)

    @classmethod
    def from_json(cls, text: str | bytes) -> Ref:
        """Return what `to_json` described.

        Raises:
            ValueError: *text* describes no reference.

        Example:
            >>> Ref.from_json('{"digest": "00"}')
            Traceback (most recent call last):
            ...
            ValueError: this is not a reference: Ref lacks the argument 'kind'
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ValueError(f"this is not a reference: {error}") from error

    def known_source(self) -> ModelSource:
        """Return what a load takes for the model, whether it is at its path or not."""
        return ModelSource(
            path=Path(self.path),
            kind=SourceKind(self.kind),
            suffix=Path(self.path).suffix.lower(),
            files=(),
            digest=self.digest,
        )

    def _options(self) -> Mapping[str, Any]:
        names = ("keras", "device", "weights", "memory_budget", "strict")
        return {name: getattr(self, name) for name in names}

    def _predictor(self) -> Predictor:
        return fastload.load_predictor(self, self.signature, **self._options())

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path


def _keep(ref: Ref, predictor: Predictor) -> None:
    """Keep the predictor of *ref* for the tasks that come; the one asked for longest ago goes."""
    with _lock:
        _shared[ref] = predictor
        _shared.move_to_end(ref)
        while len(_shared) > MOST_SHARED:
            _shared.popitem(last=False)


_FIELDS: Final = (
    *("digest", "kind", "path", "keras", "signature"),
    *("device", "weights", "memory_budget", "strict"),
)


def ref(  # noqa: PLR0913 - each says another thing
    path: str | os.PathLike[str],
    *,
    keras: KerasChoice = "auto",
    signature: str | None = None,
    device: str | None = None,
    weights: WeightsMode | None = None,
    memory_budget: int | str | None = None,
    strict: bool | None = None,
) -> Ref:
    """Return a reference to the model at *path*, which other processes and machines can open.

    The model is read once, for its digest, where that is not remembered; nothing is converted.
    `fastload.warm` makes the twin that the reference opens elsewhere.

    Args:
        path: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive.
        keras: as in `load_model`.
        signature: as in `load_predictor`.
        device: as in `load_model`.
        weights: as in `load_model`.
        memory_budget: as in `load_model`.
        strict: as in `load_model`.

    Returns:
        The reference.

    Raises:
        BypassError: there is no model that fastload reads.
        ValueError: an argument has no such value.

    Example:
        >>> import fastload
        >>> ref = fastload.ref("path/to/model")  # doctest: +SKIP
        >>> fastload.Ref.from_json(ref.to_json()) == ref  # doctest: +SKIP
        True
    """
    if isinstance(path, Ref):
        digest, kind, place = path.digest, path.kind, path.path
    elif is_address(path):
        digest, kind, place = _at_address(path)
    else:
        source = detect(path)
        digest, kind = _digest(source), source.kind.value
        place = str(Path(local_path(path)).absolute())
    return Ref(
        digest=digest,
        kind=kind,
        path=place,
        keras=keras,
        signature=signature,
        device=device,
        weights=weights,
        memory_budget=memory_budget,
        strict=strict,
    )


def _at_address(url: Any) -> tuple[str, str, str]:
    """Return digest and kind of the model at an address, and the address without a password."""
    settings = current_settings()
    request = Request(filepath=addressed(url, settings), settings=settings)
    with request.letting_go():
        source = request.source()
    return str(source.digest), source.kind.value, str(request.filepath)


def _digest(source: ModelSource) -> str:
    with suppress(CacheError):  # without a cache, nothing is remembered
        return content_of(CacheDir.locate(current_settings()), source).digest
    return fingerprint(source).digest
