"""The proof of a migration: the model's outputs compared with those of the original."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import reduce
from itertools import chain
from operator import and_
from typing import Any, Final

import numpy as np

from fastload.convert.keras_section import saved_metadata
from fastload.errors import MigrationError
from fastload.keras2to3.apart import ApartError
from fastload.keras2to3.difference import TOLERANCES, Difference, difference
from fastload.keras2to3.keras2_files import hdf5_config
from fastload.keras2to3.known_inputs import KnownInputs, known_inputs
from fastload.keras2to3.masks import are_told, masks_of
from fastload.keras2to3.memory_limits import (
    FLOOR_BYTES,
    TooLargeError,
    fits_as_input,
)
from fastload.keras2to3.rules.untrusted import called_by_name
from fastload.keras2to3.serving_function import NotRunError, serving_of
from fastload.keras2to3.tf_array_functions import (
    Function,
    TooSlowError,
    array_call,
    graph_call,
)
from fastload.keras2to3.tf_bounded_functions import bounded_function
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.sample_inputs import probes, stated
from fastload.runtime.core.tensorflow import parse_object_graph, tensorflow
from fastload.signature import TensorSpec
from fastload.source.detect import ModelSource, SourceKind
from fastload.source.hdf5 import read_hdf5
from fastload.source.keras_archive import read_keras_archive
from fastload.source.saved_model_parts import read_saved_model

#: The dtype whose tolerance is stated where a migration is refused.
_USUAL: Final = "float32"
#: How many rows are compared: fewer where more would take too much memory.
_ROWS: Final = (4, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The result of comparing a migrated model with its original.

    Attributes:
        against: what it was compared with, or None if it was not.
        unproved: why it was not compared, or None.
        outputs: how many outputs were compared.
        absolute: the largest difference of two numbers.
        relative: the largest difference, relative to the largest number of its output.
        tolerance: the limit of `relative` for float32.
    """

    against: str | None = None
    unproved: str | None = None
    outputs: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    tolerance: float = TOLERANCES[_USUAL]

    def __and__(self, other: Proof) -> Proof:
        """Return what both say together: nothing, if *other* was not compared."""
        if other.against is None:
            return other
        absolute, relative = max(self.absolute, other.absolute), max(self.relative, other.relative)
        return replace(self, absolute=absolute, relative=relative)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self)


class _UnprovedError(Exception):
    """Two models cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """Two models that are compared.

    Attributes:
        against: what the original is.
        reference: the original.
        migrated: the Keras 3 model.
        masks: the same, as a function to the masks that its layers make; None if none do.
        keeps_state: whether what the models give depends on what they were given before.
    """

    against: str
    reference: Function
    migrated: Function
    masks: Function | None
    keeps_state: bool


def prove_against_function(source: ModelSource, model: Any, keras: Keras) -> Proof:
    """Compare *model*, of *keras*, with the serving function of the SavedModel *source*.

    Raises:
        MigrationError: they differ by more than the tolerance; the message has the figure.
    """
    try:
        serving = serving_of(source)
        most, masks = serving.most_bytes, masks_of(model)
        with bounded_function(serving) as reference:
            sides = _Sides(
                against="the SavedModel's serving function",
                reference=reference,
                migrated=array_call(model, keras, most),
                masks=masks and array_call(model, keras, most, masks),
                keeps_state=_keeps_state(model),
            )
            return _compared(sides, model, serving.specs)
    except (NotRunError, TooSlowError) as error:
        return Proof(unproved=str(error))


def reason_not_to_open(source: ModelSource) -> str | None:
    """Return what tf-keras would call or read to open *source*; None if nothing.

    Raises:
        BypassError: the source is damaged or unsafe.
    """
    called = called_by_name(_configs(source))
    return (
        called and f"to open the original, tf-keras would use {called}, which only the file names"
    )


def _configs(source: ModelSource) -> Any:
    if source.kind is SourceKind.SAVED_MODEL:
        parts = read_saved_model(source.path / "saved_model.pb")
        return list(saved_metadata(source.path, parse_object_graph(parts.object_graph)).values())
    if source.kind is SourceKind.KERAS_ARCHIVE:
        with read_keras_archive(source.path) as archive:
            return json.loads(archive.config)
    with read_hdf5(source.path) as file:
        return hdf5_config(file)


def prove_against_model(original: Any, model: Any, most: int = FLOOR_BYTES) -> Proof:
    """Compare *model*, of Keras 3 on TensorFlow, with *original*, the same model in Keras 2.

    Args:
        original: the Keras 2 model.
        model: the Keras 3 model.
        most: how many bytes a run of either may take.

    Raises:
        MigrationError: they differ by more than the tolerance; the message has the figure.
    """
    inputs = stated(model, "inputs")
    if not inputs:
        return Proof(unproved="a subclassed model does not declare its inputs")
    specs = [
        TensorSpec(name=str(place), dtype=_dtype(each), shape=tuple(each.shape))
        for place, each in enumerate(inputs)
    ]
    masks = masks_of(model)
    sides = _Sides(
        against="tf-keras",
        reference=graph_call(original, most),
        migrated=graph_call(model, most),
        masks=masks and graph_call(model, most, masks),
        keeps_state=_keeps_state(model),
    )
    return _compared(sides, model, specs)


def _keeps_state(model: Any) -> bool:
    return any(getattr(layer, "stateful", False) for layer in model._flatten_layers())


def _compared(sides: _Sides, model: Any, specs: Sequence[TensorSpec]) -> Proof:
    reason, known = "", known_inputs(model)
    for rows in _ROWS:
        try:
            _require_sizes(model)
            values, expected = _first_accepted(sides.reference, _inputs(specs, rows, known))
            more = _accepted(sides.reference, known.over(values))
            return _compared_on_all(sides, chain([(values, expected)], more))
        except _UnprovedError as error:
            return Proof(unproved=str(error))
        except TooLargeError as error:
            reason = str(error)
    return Proof(unproved=f"the models are not run: {reason}")


def _inputs(specs: Sequence[TensorSpec], rows: int, known: KnownInputs) -> Iterator[list[Any]]:
    """Yield made-up inputs, then some that a model knows which rejects others."""
    first = None
    for values in probes(specs, rows, fits_as_input):
        first = first or values
        yield values
    yield from known.over(first or [])


def _accepted(
    reference: Function, inputs: Iterable[list[Any]]
) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield those of *inputs* that the original accepts, each with its results."""
    for each in inputs:
        with suppress(_UnprovedError):
            yield _first_accepted(reference, [each])


def _compared_on_all(sides: _Sides, accepted: Iterable[tuple[list[Any], list[Any]]]) -> Proof:
    """Compare on each of the inputs that the original *accepted*, with its results."""
    proofs, compared = [], []
    for values, expected in accepted:
        proofs.append(_compared_on(sides, values, expected))
        compared.append(values)
        if proofs[-1].against is None:
            return proofs[-1]
    if not are_told(sides.masks, compared):
        return Proof(unproved="it masks steps, and none of the generated inputs has such a step")
    return reduce(and_, proofs)


def _compared_on(sides: _Sides, values: list[Any], expected: list[Any]) -> Proof:
    try:
        results = sides.migrated(values)
        pairs = list(zip(expected, results, strict=True))
        apart = Difference()
        for left, right in pairs:
            apart |= difference(left, right)
    except TooLargeError:
        raise
    except Exception as error:
        reason = f"on the inputs of the comparison, {type(error).__name__}: {str(error)[:300]}"
        raise MigrationError("the migrated model", reason) from error
    if apart.excess > 1 and not (
        sides.keeps_state or _is_steady(sides.reference, values, expected)
    ):
        return Proof(unproved="the original's own outputs change from call to call")
    _require_near(apart)
    return Proof(
        against=sides.against, outputs=len(pairs), absolute=apart.absolute, relative=apart.relative
    )


def _require_near(apart: Difference) -> None:
    if apart.excess > 1:
        allowed = apart.relative / apart.excess if np.isfinite(apart.excess) else 0.0
        reason = (
            f"its outputs differ from the original's by {apart.relative:.3g} of the largest "
            f"({apart.absolute:.3g}), and {allowed:.1g} is allowed"
        )
        raise MigrationError("the migrated model", reason)


def _is_steady(reference: Function, values: Sequence[Any], expected: list[Any]) -> bool:
    return not any(
        difference(*pair).absolute for pair in zip(expected, reference(values), strict=True)
    )


def _first_accepted(
    reference: Function, inputs: Iterable[list[Any]]
) -> tuple[list[Any], list[Any]]:
    """Return the first of *inputs* that the original accepts and has results for, and the results.

    Raises:
        _UnprovedError: it accepts none of the generated ones.
        TooLargeError: it would take too much memory for one; the next ones are larger.
    """
    reason = "those of its sizes would take too much memory"
    for values in inputs:
        try:
            results = reference(values)
        except (tensorflow().errors.DeadlineExceededError, TooSlowError, TooLargeError):
            raise
        except ApartError as error:
            raise _UnprovedError(f"the original is not run: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, other inputs may be accepted
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            continue
        if results and all(_has_numbers(result) for result in results):
            return values, results
        reason = "its results for them are empty or not finite"
    raise _UnprovedError(f"the original accepts none of the generated inputs ({reason})")


def _has_numbers(result: Any) -> bool:
    is_float = result.dtype.name in TOLERANCES
    return bool(np.isfinite(result.astype("float64")).any() if is_float else result.size)


def _require_sizes(model: Any) -> None:
    """Check that no weight is empty.

    Raises:
        _UnprovedError: one is; TensorFlow aborts the process where a graph multiplies by it.
    """
    if any(0 in tuple(weight.shape) for weight in model.weights):
        raise _UnprovedError("it has an empty weight, for which TensorFlow may abort the process")


def _dtype(tensor: Any) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype))
