"""A first prediction from made-up inputs, in the process that loaded the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from fastload.bench.job import Inputs, Job, Told
from fastload.bench.outputs import digest
from fastload.predictor.predictor import Predictor, chosen_signature
from fastload.runtime.core.sample_inputs import UnknownInputsError, as_taken, input_specs, probes
from fastload.runtime.core.tensors import value_of
from fastload.signature import TensorSpec, map_structure

#: What takes values in the order of the specs, and gives values in some structure.
Call = Callable[[Sequence[Any]], Any]
_ROWS: Final = 1


def predicted(job: Job, model: Any, told: Told) -> Told:
    """Return *told* with a prediction by *model*, or with the reason why there is none."""
    try:
        specs, call = _callable(job, model)
        if job.inputs is None:
            inputs, output, predict_s = _first_taken(specs, call)
        else:
            inputs = job.inputs
            output, predict_s = _timed(call, _values(inputs))
    except UnknownInputsError as error:
        return replace(told, uncompared=f"inputs cannot be made up: {error}")
    return replace(told, inputs=inputs, predict_s=predict_s, digest=digest(_as_values(output)))


def _callable(job: Job, model: Any) -> tuple[Sequence[TensorSpec], Call]:
    """Return what *model* takes, and what predicts with it.

    Raises:
        UnknownInputsError: it does not say, or has no such function.
    """
    if isinstance(model, Predictor):
        return tuple(model.input_specs.values()), lambda values: _by_predictor(job, model, values)
    if job.function == "load_model":
        return input_specs(model), lambda values: model.predict(as_taken(model, values), verbose=0)
    return _signature(job, model)


def _by_predictor(job: Job, predictor: Predictor, values: Sequence[Any]) -> Any:
    assert job.inputs is None or len(job.inputs.specs) == len(values)  # noqa: S101
    names = [spec[0] for spec in job.inputs.specs] if job.inputs else list(predictor.input_specs)
    if job.is_folder or set(names) == set(predictor.input_specs):
        named = dict(zip(names, values, strict=True))
        return (
            predictor.signatures[predictor.signature](**named)
            if job.is_folder
            else (predictor.predict(named))
        )
    return predictor.predict(values[0] if len(values) == 1 else list(values))


def _signature(job: Job, loaded: Any) -> tuple[Sequence[TensorSpec], Call]:
    signatures = getattr(loaded, "signatures", {})
    if not signatures:
        raise UnknownInputsError("it has no signature")
    function = signatures[chosen_signature(signatures, job.signature, job.path)]
    taken = function.structured_input_signature[1]
    specs = [
        TensorSpec(name=name, dtype=spec.dtype.name, shape=_shape(spec))
        for name, spec in sorted(taken.items())
    ]

    def call(values: Sequence[Any]) -> Any:
        from fastload.runtime.core.tensorflow import tensorflow

        constant = tensorflow().constant
        named = {spec.name: constant(value) for spec, value in zip(specs, values, strict=True)}
        return function(**named)

    return specs, call


def _shape(spec: Any) -> tuple[int | None, ...] | None:
    return None if spec.shape.rank is None else tuple(spec.shape.as_list())


def _first_taken(specs: Sequence[TensorSpec], call: Call) -> tuple[Inputs, Any, float]:
    """Return the first made-up inputs that are taken, and what came of them.

    Raises:
        UnknownInputsError: none are.
    """
    refusal: Exception | None = None
    for number, values in enumerate(probes(specs, rows=_ROWS)):
        try:
            output, predict_s = _timed(call, values)
        except Exception as error:  # noqa: BLE001 - whatever a model raises
            refusal = error
            continue
        rows = tuple((spec.name, spec.dtype, spec.shape) for spec in specs)
        return Inputs(specs=rows, number=number), output, predict_s
    raise UnknownInputsError(f"the model refuses them ({type(refusal).__name__}: {refusal})")


def _values(inputs: Inputs) -> Sequence[Any]:
    specs = [TensorSpec(name=n, dtype=dtype, shape=shape) for n, dtype, shape in inputs.specs]
    return next(islice(probes(specs, rows=_ROWS), inputs.number, None))


def _timed(call: Call, values: Sequence[Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    output = call(values)
    return output, time.perf_counter() - start


def _as_values(output: Any) -> Any:
    return map_structure(value_of, output)
