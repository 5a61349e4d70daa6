"""The predictor: a model's functions and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any

import fastload
from fastload import unfinished
from fastload.errors import ModelChangedError, NoSuchSignatureError
from fastload.lean_dataclass import dataclass
from fastload.predictor.inputs import array_of, batches, joined, named_inputs, tensor_of
from fastload.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, map_structure

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastload.runtime.core.keras import KerasChoice
    from fastload.settings import WeightsMode

#: Runs a function: tensors by name in, tensors by name out.
Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The call of `load_predictor` that gives a predictor again: what a pickle holds.

    Attributes:
        path: of the model, absolute.
        signature, device, keras, weights, memory_budget, strict: of the call.
        digest: hex digest of the model's content; None where the stock loader loaded it.
        kind: of the model; None where that is not known, as in pickles of version 0.1.
    """

    path: str
    signature: str | None
    device: str | None
    keras: KerasChoice
    weights: WeightsMode
    memory_budget: int | None
    strict: bool
    digest: str | None
    kind: str | None = None


def reopened(reference: Reference) -> Predictor:
    """Load again the predictor that a pickle refers to by path.

    Raises:
        ModelChangedError: another model is at its path now.
    """
    call = asdict(reference)
    digest, _ = call.pop("digest"), call.pop("kind")
    predictor = fastload.load_predictor(**call)
    if digest not in (None, predictor.digest):
        raise ModelChangedError(reference.path)
    return predictor


class SignatureFunction:
    """One function of a model, called with inputs by name, as a SavedModel's signature is.

    Attributes:
        input_specs: what it takes, by name.
        output_specs: what it gives, by name.
    """

    def __init__(self, signature: Signature, run: Callable[[], Run]) -> None:
        self._signature, self._run = signature, run
        self.input_specs: Mapping[str, TensorSpec] = signature.inputs
        self.output_specs: Mapping[str, TensorSpec] = signature.outputs

    def __call__(self, /, **inputs: Any) -> dict[str, Any]:
        """Run it.

        Args:
            **inputs: arrays or tensors by name.

        Returns:
            Tensors by name.

        Raises:
            TypeError, ValueError: an input is not what the signature says.
        """
        return self.call(None, inputs)

    def call(self, given: Any, named: Mapping[str, Any]) -> dict[str, Any]:
        """Run it on inputs as a Keras model takes them, or by name; see `Predictor.__call__`."""
        run = self._run()
        return dict(run(self._tensors(named_inputs(self._signature, given, named))))

    def predict(self, x: Any, batch_size: int | None = None) -> dict[str, Any]:
        """Run it on some rows at a time; see `Predictor.predict`.

        Returns:
            Numpy arrays by name.
        """
        run, signature = self._run(), self._signature
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r} is not a positive number of rows")
        values = named_inputs(signature, x, {})
        arrays = {n: array_of(signature, signature.inputs[n], v) for n, v in values.items()}
        parts = batches(signature, arrays, batch_size)
        return joined([run(self._tensors(part)) for part in parts])

    def _tensors(self, values: Mapping[str, Any]) -> dict[str, Any]:
        inputs = self._signature.inputs
        return {n: tensor_of(self._signature, inputs[n], value) for n, value in values.items()}

    def __repr__(self) -> str:
        return f"<signature {self._signature.name!r} of a fastload predictor>"


class Signatures(Mapping[str, SignatureFunction]):
    """All functions of a model by name, each got ready when it is first called.

    Args:
        signatures: what each takes and gives.
        get_ready: returns what runs the function of a name.
    """

    def __init__(
        self, signatures: Mapping[str, Signature], get_ready: Callable[[str], Run]
    ) -> None:
        self._signatures, self._get_ready = signatures, get_ready
        self._ready: dict[str, Run] | None = {}
        self._lock = unfinished.lock()

    def ready(self, name: str) -> Run:
        """Return what runs the function of that *name*.

        Raises:
            ValueError: the predictor is closed.
        """
        with self._lock:
            if self._ready is None:
                raise ValueError("the predictor is closed")
            if name not in self._ready:
                self._ready[name] = self._get_ready(name)
            return self._ready[name]

    def close(self) -> None:
        """Let go of all functions and their weights."""
        with self._lock:
            self._ready = None

    def spec(self, name: str) -> Signature:
        """Return what the function of that *name* takes and gives."""
        return self._signatures[name]

    def __getitem__(self, name: str) -> SignatureFunction:
        return SignatureFunction(self._signatures[name], lambda: self.ready(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._signatures)

    def __len__(self) -> int:
        return len(self._signatures)


def chosen_signature(names: Mapping[str, Any], wanted: str | None, path: str) -> str:
    """Return the name of the signature that a predictor calls.

    Args:
        names: all signatures.
        wanted: the one asked for; None for TensorFlow's default or, where it is the only one, any.
        path: the model, for messages.

    Raises:
        NoSuchSignatureError: there is no such signature, or none was asked for of several.
    """
    if wanted is None:
        wanted = next(iter(names)) if len(names) == 1 else DEFAULT_SIGNATURE
    if wanted not in names:
        raise NoSuchSignatureError(path, wanted, sorted(names))
    return wanted


def predictor_over(
    reference: Reference, signatures: Mapping[str, Signature], get_ready: Callable[[str], Run]
) -> Predictor:
    """Return a predictor whose function is ready to be called.

    Args:
        reference: the call that asks for it.
        signatures: what each function of the model takes and gives, by name.
        get_ready: returns what runs the function of a name.

    Raises:
        NoSuchSignatureError: the model lacks the signature that was asked for.
    """
    name = chosen_signature(signatures, reference.signature, reference.path)
    functions = Signatures(signatures, get_ready)
    functions.ready(name)
    return Predictor(functions, name, reference)


class Predictor:
    """Inference with a model, without the model: what `fastload.load_predictor` returns.

    It may be used by several threads at once. A pickle of it is a reference to the model
    (`fastload.Ref`), and holds no weights. As a context manager it releases its weights at the end.

    Attributes:
        signatures: all functions of the model by name; each takes inputs by name.
        signature: the name of the one that this calls.
    """

    def __init__(
        self,
        signatures: Signatures,
        signature: str,
        reference: Reference,
    ) -> None:
        self.signatures = signatures
        self.signature = signature
        self._spec = signatures.spec(signature)
        self._reference = reference

    @property
    def digest(self) -> str | None:
        """Hex digest of the model's content; None where the stock loader loaded it."""
        return self._reference.digest

    @property
    def input_specs(self) -> Mapping[str, TensorSpec]:
        """What the function takes, by name."""
        return self._spec.inputs

    @property
    def output_specs(self) -> Mapping[str, TensorSpec]:
        """What the function returns, by name."""
        return self._spec.outputs

    def __call__(self, inputs: Any = None, /, **named: Any) -> Any:
        """Run the function once.

        Args:
            inputs: an array or tensor; a list of them, in the order of the Keras model's inputs; or
                a dict by input name.
            **named: the same by name, instead.

        Returns:
            Tensors: in the structure in which the Keras model gives its outputs where that is
            known, or else a dict by output name.

        Raises:
            TypeError, ValueError: an input is not what the signature says.
        """
        return self._packed(self.signatures[self.signature].call(inputs, named))

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """Predict row by row, as `predict` of Keras's models does.

        Args:
            x: as for a call; the first dimension of each input is cut into batches.
            batch_size: rows at a time; by default 32, or as many as the signature fixes.

        Returns:
            Numpy arrays, in the structure of a call's results.

        Raises:
            TypeError, ValueError: an input is not what the signature says, or has no rows.
        """
        return self._packed(self.signatures[self.signature].predict(x, batch_size))

    def keras_model(self) -> Any:
        """Load the whole model, as `fastload.load_model` does."""
        path: Any = self._reference.path
        if self._reference.kind is not None:
            path = fastload.Ref(**asdict(self._reference))
        return fastload.load_model(path, keras=self._reference.keras)

    def close(self) -> None:
        """Release the weights; a later call raises a ValueError."""
        self.signatures.close()

    def shared(self) -> Predictor:
        """Return another predictor over the same functions, which is closed by itself."""
        names = self.signatures
        specs = {name: names.spec(name) for name in names}
        made = Predictor(Signatures(specs, names.ready), self.signature, self._reference)
        if self._reference.weights == "lazy":
            # Imported here: most predictors do without.
            from fastload.lazy_weights.residency import share

            share(self, made)
        return made

    def _packed(self, outputs: Mapping[str, Any]) -> Any:
        if self._spec.structure is None:
            return dict(outputs)
        return map_structure(outputs.__getitem__, self._spec.structure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        known = asdict(self._reference)
        if known["kind"] is None:  # the stock loader loaded it, by path
            return reopened, (self._reference,)
        return fastload.Ref.load_predictor, (fastload.Ref(**known),)

    def __repr__(self) -> str:
        takes = ", ".join(f"{name}: {spec}" for name, spec in self.input_specs.items())
        return f"<fastload.Predictor {self._reference.path!r} {self.signature!r} ({takes})>"
