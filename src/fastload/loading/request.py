"""One call of a public function: what the caller asked, and what the environment asks for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastload import registry, switch
from fastload.errors import UnconvertibleModelError, UnsupportedRequestError
from fastload.predictor.predictor import Predictor, Reference, Run, Signatures, chosen_signature
from fastload.runtime.core.eager import placed
from fastload.runtime.core.keras import KerasChoice, keras_of, require_tensorflow
from fastload.runtime.core.tensorflow import load_saved_model
from fastload.runtime.functions.flat_call import ConcreteCall
from fastload.settings import Settings, WeightsMode
from fastload.signature import Signature

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a loader.

    Attributes:
        filepath: as the caller gave it.
        weights: how the twin's weights are read.
        memory_budget: bytes that lazy weights may take; None for all that fits.
        device: where it runs, as for `tf.device`; None for where TensorFlow would run it.
        strict: raise the reason instead of going to the stock loader.
        settings: what the environment asks for.
    """

    filepath: Any
    weights: WeightsMode = "auto"
    memory_budget: int | None = None
    device: str | None = None
    strict: bool = False
    settings: Settings

    @property
    def must_be_served(self) -> bool:
        """Whether stock cannot stand in: it was ruled out, or knows no budget."""
        return self.strict or (self.weights == "lazy" and self.memory_budget is not None)

    @property
    def is_of_stock(self) -> bool:
        """Whether the caller called a stock loader, and a hook caught the call."""
        return False

    def load_stock(self) -> Any:
        """Do what the caller would have got without fastload."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall(Call):
    """One call of `load_model`.

    Attributes:
        custom_objects: as in the stock loader.
        compile: as in the stock loader.
        safe_mode: as in the stock loader.
        stock_only: further arguments, which only the stock loader understands.
        keras: which Keras is to make the model.
        stock: the very function that the caller called, where an import hook made this call.
    """

    custom_objects: Mapping[str, Any] | None = None
    compile: bool = True
    safe_mode: bool = True
    stock_only: Mapping[str, Any]
    keras: KerasChoice = "auto"
    stock: Callable[..., Any] | None = None

    @property
    def is_of_stock(self) -> bool:
        """Whether the caller called a stock loader, and a hook caught the call."""
        return self.stock is not None

    def load_stock(self) -> Any:
        """Call Keras's own `load_model`."""
        load = self.stock or keras_of(self.keras).load_model
        with placed(self.device):
            return load(self.filepath, **self._stock_arguments())

    def _stock_arguments(self) -> dict[str, Any]:
        arguments = {
            "custom_objects": self.custom_objects,
            "compile": self.compile,
            **self.stock_only,
        }
        if registry.custom_objects:
            arguments["custom_objects"] = registry.custom_objects | dict(self.custom_objects or {})
        if not self.safe_mode:  # Keras before 2.13 has no such argument
            arguments["safe_mode"] = False
        return arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModelCall(Call):
    """One call of `load_saved_model`.

    Attributes:
        tags: as in the stock loader.
        options: as in the stock loader.
        stock: the very function that the caller called, where an import hook made this call.
    """

    tags: Any = None
    options: Any = None
    stock: Callable[..., Any] = load_saved_model

    def load_stock(self) -> Any:
        """Call TensorFlow's own `saved_model.load`."""
        return self.stock(self.filepath, self.tags, self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorCall(Call):
    """One call of `load_predictor`.

    Attributes:
        signature: the function to call; None for the model's only one, or TensorFlow's default.
        keras: which Keras makes the model of a file that has no functions.
        reopen: what a pickle calls; see `predictor.predictor.Reference`.
        load_model: what `keras_model()` of the predictor calls.
    """

    signature: str | None = None
    keras: KerasChoice = "auto"
    reopen: Callable[..., Predictor]
    load_model: Callable[[], Any]

    def load_stock(self) -> Predictor:
        """Make a predictor over what the stock loader returns."""
        path = Path(self.filepath)
        if path.is_dir() or not (path.suffix or path.exists()):
            from fastload.convert.session_section import serving_tags

            loaded = load_saved_model(self.filepath, serving_tags(path))
            return self._over_saved_model(loaded)
        keras = keras_of(self.keras)
        require_tensorflow(keras, "a predictor")
        objects = registry.custom_objects or None
        return self._over_model(keras.load_model(self.filepath, custom_objects=objects))

    def predictor(
        self, found: Mapping[str, Signature], get_ready: Callable[[str], Run], digest: str | None
    ) -> Predictor:
        """Return the predictor over functions.

        Args:
            found: what each function takes and gives, by name.
            get_ready: returns what runs the function of a name.
            digest: hex digest of the model's content, if that is known.

        Raises:
            NoSuchSignatureError: the model lacks the one asked for.
        """
        path = str(Path(self.filepath).absolute())
        name = chosen_signature(found, self.signature, str(self.filepath))
        signatures = Signatures(found, get_ready)
        signatures.ready(name)
        arguments = (
            path,
            self.signature,
            self.device,
            self.keras,
            self.weights,
            self.strict,
            self.memory_budget,
        )
        reference = Reference(reopen=self.reopen, arguments=arguments, digest=digest)
        return Predictor(signatures, name, reference, self.load_model)

    def _over_saved_model(self, loaded: Any) -> Predictor:
        # Imported here, as below: a hit does without.
        from fastload.runtime.functions.inference import signature_of

        told = _told_by_the_file(Path(self.filepath))
        found = {
            name: told.get(name) or signature_of(name, loaded.signatures[name])
            for name in loaded.signatures
        }
        return self.predictor(
            found, lambda name: ConcreteCall(loaded.signatures[name], loaded, self.device), None
        )

    def _over_model(self, model: Any) -> Predictor:
        from fastload.runtime.functions.inference import inference_of

        inference = inference_of(model)
        found = {inference.signature.name: inference.signature}
        return self.predictor(found, lambda _: ConcreteCall(inference, model, self.device), None)


def _told_by_the_file(folder: Path) -> Mapping[str, Signature]:
    """Return what a SavedModel says of its signatures: more than what is loaded of it does."""
    from fastload.convert.function_section import saved_signatures

    try:
        return saved_signatures(folder)
    except UnconvertibleModelError:  # written by TensorFlow 1
        return {}


def current_settings() -> Settings:
    """Read the environment, mind `disabled()`, and let the log through if it is asked for.

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


def require_enabled(settings: Settings) -> None:
    """Check that loads are served at all, here and now.

    Raises:
        UnsupportedRequestError: they are not.
    """
    if settings.disabled:
        scoped = switch.choice() is False
        raise UnsupportedRequestError(
            "it is inside of fastload.disabled()" if scoped else "FASTLOAD_DISABLE is set"
        )
