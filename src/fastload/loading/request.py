"""What a caller asked of a loader, and what the environment asks for. Values only: no loader."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastload import switch
from fastload.cache.entry import KERAS3
from fastload.errors import UnsupportedRequestError, UnsupportedSourceError
from fastload.lean_dataclass import dataclass
from fastload.settings import Settings, WeightsMode
from fastload.source.detect import SHARDS_SUFFIX, ModelSource, SourceKind, detect, is_address

if TYPE_CHECKING:
    from fastload.loading.at_address import ModelAtAddress
    from fastload.predictor.predictor import Reference
    from fastload.runtime.core.keras import KerasChoice
    from fastload.source.held import Held

_logger: Final = logging.getLogger("fastload")
#: The argument of loaders of SavedModels.
OPTIONS: Final = "options"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of `load_model`, and what all requests have.

    Attributes:
        filepath: as the caller gave it.
        keras: which Keras makes the model.
        custom_objects, compile, safe_mode: as in the stock loader.
        stock_only: further arguments, which only the stock loader understands.
        weights: how the twin's weights are read.
        memory_budget: bytes that lazy weights may take; None for all that fits.
        device: where it runs, as for `tf.device`; None for where TensorFlow would run it.
        strict: raise the reason instead of going to the stock loader.
        settings: what the environment asks for.
        stock: the stock function that the caller called, where a hook caught the call.
        held: what the caller holds open or in memory, where *filepath* is that and no path.
    """

    filepath: Any
    keras: KerasChoice = "auto"
    custom_objects: Mapping[str, Any] | None = None
    compile: bool = True
    safe_mode: bool = True
    stock_only: Mapping[str, Any] = field(default_factory=dict)
    weights: WeightsMode = "auto"
    memory_budget: int | None = None
    device: str | None = None
    strict: bool = False
    settings: Settings
    stock: Callable[..., Any] | None = None
    held: Held | None = None

    @property
    def source_is_told(self) -> bool:
        """Whether it is for a reference, and not for what is at a path."""
        return hasattr(self.filepath, "known_source")

    @property
    def at_address(self) -> ModelAtAddress | None:
        """The model at an address that it is for; None where it is for a path."""
        return self.filepath if hasattr(self.filepath, "on_disk") else None

    @contextmanager
    def letting_go(self) -> Iterator[None]:
        """Remove what was copied of a model at an address, when the block is over."""
        try:
            yield
        finally:
            if self.at_address is not None:
                self.at_address.let_go()

    def source_on_disk(self) -> ModelSource:
        """Return what is on disk, where a model at an address is copied to.

        Raises:
            BypassError: there is no model that fastload reads.
        """
        return self.source() if self.at_address is None else self.at_address.on_disk()[0]

    def source(self) -> ModelSource:
        """Return what is on disk or held; or what a reference, which is a path too, tells of it.

        Raises:
            BypassError: there is no model that fastload reads.
        """
        if self.held is not None:
            return self.held.source
        if not self.source_is_told:
            return detect(self._place())
        found: ModelSource = self.filepath.known_source()
        return found

    def _place(self) -> Any:
        """Return where the model is; that of a hub is put there first, as stock does it."""
        is_of_hub = isinstance(self.filepath, str) and self.filepath.startswith("hf://")
        if not is_of_hub or type(self) is not Request:
            return self.filepath
        # Imported here: few models are of a hub.
        from fastload.runtime.core.keras import keras_of
        from fastload.runtime.keras3.keras3_files import hub_folder

        is_known = keras_of(self.keras).generation == KERAS3
        return hub_folder(self.filepath) if is_known else self.filepath

    @property
    def options(self) -> Any:
        """The `tf.saved_model.LoadOptions` that the caller gave, or None."""
        return self.stock_only.get(OPTIONS)

    @property
    def allows_partial(self) -> bool:
        """Whether variables may lack a value in the checkpoint of a SavedModel."""
        return bool(getattr(self.options, "allow_partial_checkpoint", False))

    @property
    def makes_keras_model(self) -> bool:
        """Whether a Keras model is made for it, be it for a predictor."""
        return not isinstance(self, (ObjectsRequest, WeightsRequest))

    @property
    def must_be_served(self) -> bool:
        """Whether the stock loader cannot answer: it was ruled out, or knows no budget."""
        has_budget = self.weights == "lazy" and self.memory_budget is not None
        return (self.strict or has_budget) and not self.settings.disabled


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsRequest(Request):
    """A call of `load_saved_model`.

    Attributes:
        tags: as in the stock loader.
    """

    tags: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRequest(Request):
    """A call of `load_weights`.

    Attributes:
        model: the model that gets the weights.
        arguments: as in the stock function, by name, besides the model and the path.
    """

    model: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def source(self) -> ModelSource:
        """Return what is on disk.

        Raises:
            BypassError: there are no weights that fastload reads.
        """
        if isinstance(self.filepath, (str, os.PathLike)):
            spelled = os.fsdecode(self.filepath)
            is_file_of_keras = spelled.endswith((".h5", ".hdf5", ".keras"))
            if not is_file_of_keras and Path(f"{spelled}.index").is_file():
                raise UnsupportedSourceError(f"{spelled!r} is a TensorFlow checkpoint")
        # Named, as a dataclass with slots is another class than the one that is written here.
        found = Request.source(self)
        is_in_shards = found.kind is SourceKind.KERAS_SHARDS
        if is_in_shards != os.fsdecode(self.filepath).endswith(SHARDS_SUFFIX):
            raise UnsupportedSourceError(f"Keras takes {self.filepath!r} for something else")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorRequest(Request):
    """A call of `load_predictor`.

    Attributes:
        signature: the function to call; None for the model's only one, or TensorFlow's default.
    """

    signature: str | None = None

    def reference(self, digest: str | None, kind: str | None = None) -> Reference:
        """Return what a pickle of the predictor holds.

        Args:
            digest: hex digest of the model's content; None where the stock loader loaded it.
            kind: of the model; None with the digest.
        """
        from fastload.predictor.predictor import Reference

        at_address = self.at_address
        return Reference(
            path=str(at_address or Path(self.filepath).absolute()),
            signature=self.signature,
            device=self.device,
            keras=self.keras,
            weights=self.weights,
            strict=self.strict,
            memory_budget=self.memory_budget,
            digest=digest,
            kind=kind,
        )


def addressed(path: Any, settings: Settings, *, remembers: bool = True) -> Any:
    """Return what stands for *path* on the road of a load: a model at an address, or *path* itself.

    Args:
        path: what a caller of fastload gave: a path, an address, or a reference to a model at one.
        settings: what the environment asks for.
        remembers: whether what is found out of a model at an address is kept for later loads.
    """
    is_reference = hasattr(path, "known_source")
    place = os.fspath(path) if is_reference else path
    if not is_address(place):
        return path
    # Imported here: most loads are of this disk.
    from fastload.loading.at_address import ModelAtAddress

    referred = path.known_source() if is_reference else None
    return ModelAtAddress(place, settings, referred, remembers=remembers)


def held_by(given: Any) -> Held | None:
    """Return the model that a caller of a loader gives in place of a path of the disk, if it is.

    Args:
        given: what the loader was given for a path.
    """
    if isinstance(given, str):
        if not given.startswith("ram://"):
            return None
        # Imported here, as below: most loads are of paths.
        from fastload.loading.in_memory import InMemory

        return InMemory(given)
    if isinstance(given, (bytes, os.PathLike)):
        return None
    from fastload.source.held import held

    return held(given)


def current_settings() -> Settings:
    """Read the environment, respect `disabled()`, and set up the log that `FASTLOAD_LOG` asks for.

    Raises:
        ValueError: a variable has a value that cannot be understood.
    """
    settings = Settings.from_env(os.environ)
    if switch.choice() is False:
        settings = replace(settings, disabled=True)
    if settings.log_level and not _logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("fastload: %(message)s"))
        _logger.addHandler(handler)
    if settings.log_level:
        _logger.setLevel(settings.log_level)
    return settings


def require_served(request: Request) -> None:
    """Check that loads are served here and now, and that *request* has no argument only for stock.

    Raises:
        UnsupportedRequestError: they are not, or it has one.
    """
    if request.settings.disabled:
        scoped = switch.choice() is False
        raise UnsupportedRequestError(
            "the load is inside a fastload.disabled() block"
            if scoped
            else "FASTLOAD_DISABLE is set"
        )
    others = sorted(name for name in request.stock_only if name != OPTIONS)
    if others:
        raise UnsupportedRequestError(f"{', '.join(others)}= was given")
    _require_usual_kinds(request)
    if request.options is not None:
        # Imported here: few loads have any.
        from fastload.loading.load_options import are_served

        if not are_served(request.options):
            raise UnsupportedRequestError("options= asks for what only the stock loader does")


def _require_usual_kinds(request: Request) -> None:
    """Check that arguments are of the kinds that they are meant to be: stock may refuse others.

    Raises:
        UnsupportedRequestError: one is not.
    """
    flags: dict[str, Any] = {"compile": request.compile, "safe_mode": request.safe_mode}
    unusual = [name for name, value in flags.items() if not isinstance(value, bool)]
    objects: Any = request.custom_objects
    if not isinstance(objects, (Mapping, type(None))):
        unusual.append("custom_objects")
    if unusual:
        raise UnsupportedRequestError(
            f"{', '.join(unusual)}= has a type that fastload does not expect"
        )
