"""Compare what fastload loads with what the stock loader loads, to the bit."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np

from fastload import registry
from fastload.api.load_model import load_model
from fastload.api.warm import warm
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.stats import note_stock_seconds
from fastload.errors import StockLoadError
from fastload.loading.request import current_settings
from fastload.report import LoadReport, last_load
from fastload.runtime.core.keras import Keras, KerasChoice, is_known, keras_of
from fastload.runtime.core.sample_inputs import UnknownInputsError, as_taken, input_specs, seeded
from fastload.runtime.core.tensors import flattened, tensor_of, value_of
from fastload.twin.index import read_index
from fastload.twin.weights import Array

#: For axes that a model leaves open: long enough for several poolings, quick all the same.
_OPEN_AXIS: Final = 32
#: Integers mostly index a table, whose length nothing tells.
_INTEGERS_BELOW: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What comparing two loads of one model found.

    Attributes:
        path: the model, as the caller spelled it.
        compiled: whether both were loaded with `compile=True`; the stock loader refused it if not.
        weight_count: variables compared, the optimizer's included.
        weight_differences: one sentence for each variable that differs.
        outputs_compared: outputs of the model that were compared on seeded inputs.
        output_differences: one sentence for each output that differs.
        skipped: why no outputs were compared, or None.
        stock_seconds: wall time of the stock loader, all imports done.
        hit_seconds: wall time of `fastload.load_model` from the twin, likewise.
    """

    path: str
    compiled: bool
    weight_count: int
    weight_differences: tuple[str, ...]
    outputs_compared: int
    output_differences: tuple[str, ...]
    skipped: str | None
    stock_seconds: float
    hit_seconds: float

    @property
    def is_equal(self) -> bool:
        """True if nothing that was compared differs."""
        return not self.weight_differences and not self.output_differences

    @property
    def is_verified(self) -> bool:
        """True if nothing differs and nothing was left out."""
        return self.is_equal and self.skipped is None


def verify_against_stock(
    path: str | os.PathLike[str], *, keras: KerasChoice = "auto"
) -> Verification:
    """Load a model with the stock loader and with fastload, and compare both bit for bit.

    Both models are in memory at once. The twin is written if it is not there, and the time that the
    stock loader took is noted in the cache, so that later reports can say what a load saved.

    Args:
        path: what would be given to `load_model`.
        keras: as in `load_model`.

    Returns:
        What differs, what was compared, and both times.

    Raises:
        StockLoadError: the stock loader cannot open the model.
        CacheError: the cache or the twin cannot be used.
        BypassError: fastload leaves this model to the stock loader; the message says why.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.

    Example:
        >>> from fastload.api.against_stock import verify_against_stock
        >>> verify_against_stock("path/to/model").is_verified  # doctest: +SKIP
        True
    """
    chosen = keras_of(keras)
    # Also the dress rehearsal: the first load of a process pays for the start of TensorFlow.
    twin = warm(path, keras=keras).twin
    stock = _load_stock(chosen, os.fspath(path), _custom_objects(chosen, twin))
    ours = load_model(path, compile=stock.compiled, keras=keras, strict=True)
    report = last_load()
    if report is not None:
        _note(report, stock.seconds)
    weights = _compare(_variables(stock.model), _variables(ours))
    outputs = _compare_outputs(chosen, stock.model, ours)
    return Verification(
        path=os.fspath(path),
        compiled=stock.compiled,
        weight_count=weights.count,
        weight_differences=weights.differences,
        outputs_compared=outputs.count,
        output_differences=outputs.differences,
        skipped=outputs.skipped,
        stock_seconds=stock.seconds,
        hit_seconds=report.seconds if report else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _StockLoad:
    """A model from the stock loader, and what it took."""

    model: Any
    compiled: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """How many values were compared, and which differ."""

    count: int = 0
    differences: tuple[str, ...] = ()
    skipped: str | None = None


def _load_stock(chosen: Keras, path: str, custom_objects: Mapping[str, Any]) -> _StockLoad:
    """Load with the stock loader; without compiling where it cannot compile."""
    with suppress(Exception):  # a loss that is not at hand, say: only the other way can tell
        return _timed(chosen, path, custom_objects, compiled=True)
    try:
        return _timed(chosen, path, custom_objects, compiled=False)
    except Exception as error:
        raise StockLoadError(path, f"{type(error).__name__}: {error}") from error


def _timed(
    chosen: Keras, path: str, custom_objects: Mapping[str, Any], *, compiled: bool
) -> _StockLoad:
    gc.collect()  # or it may fall into one of the two times
    start = time.perf_counter()
    model = chosen.load_model(path, custom_objects=dict(custom_objects), compile=compiled)
    return _StockLoad(model=model, compiled=compiled, seconds=time.perf_counter() - start)


def _custom_objects(chosen: Keras, twin: Path | None) -> Mapping[str, Any]:
    """Return what fastload resolves for this model and the stock loader has to be given."""
    names = read_index(twin).manifest.object_names if twin else ()
    return registry.resolve(names, lambda name: is_known(chosen, name))


def _note(report: LoadReport, seconds: float) -> None:
    if report.twin is not None:
        cache = CacheDir.locate(current_settings())
        note_stock_seconds(CacheEntry(cache=cache, name=report.twin.stem), seconds)


def _variables(model: Any) -> list[tuple[str, Array]]:
    """Return name and value of each variable of *model* and of its optimizer."""
    variables = getattr(getattr(model, "optimizer", None), "variables", ())
    kept = variables() if callable(variables) else variables
    own = model.weights if model.built else ()  # Keras 2 raises where there are none yet
    # Not `path`: Keras 3 numbers some of its parts anew with each load of one process.
    return [(str(variable.name), value_of(variable)) for variable in (*own, *kept)]


def _compare(stock: Sequence[tuple[str, Array]], ours: Sequence[tuple[str, Array]]) -> _Comparison:
    pairs = zip_longest(stock, ours)
    found = (_difference(left, right) for left, right in pairs)
    return _Comparison(count=len(stock), differences=tuple(filter(None, found)))


def _difference(stock: tuple[str, Array] | None, ours: tuple[str, Array] | None) -> str | None:
    """Say in which way two values differ, or None."""
    if stock is None or ours is None:
        name, _ = stock or ours or ("", None)
        return f"{name}: only {'fastload' if stock is None else 'stock'} has it"
    (name, left), (our_name, right) = stock, ours
    if name != our_name:
        return f"{name}: fastload calls it {our_name}"
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        kinds = [f"{value.dtype}{list(value.shape)}" for value in (left, right)]
        return f"{name}: stock has {kinds[0]}, fastload {kinds[1]}"
    return None if _same_bits(left, right) else f"{name}: its values differ"


def _same_bits(left: Array, right: Array) -> bool:
    """Say whether two arrays of one dtype and shape hold the same bytes (a NaN is like itself)."""
    if left.dtype.kind == "O":
        return bool(left.tolist() == right.tolist())
    return _raw(left).data == _raw(right).data


def _raw(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _compare_outputs(chosen: Keras, stock: Any, ours: Any) -> _Comparison:
    """Call both models on the same inputs and compare what they return."""
    try:
        inputs = _seeded_inputs(chosen, stock)
        expected = _rehearsed(chosen, stock, inputs)
    except UnknownInputsError as error:
        return _Comparison(skipped=f"inputs cannot be made: {error}")
    try:
        compared = _compare(expected, _outputs(chosen, ours, inputs))
    except Exception as error:  # noqa: BLE001 - whatever it is, stock's model does not raise it
        difference = f"fastload's model raises {type(error).__name__}: {error}"
        return _Comparison(count=len(expected), differences=(difference,))
    if compared.differences and _compare(expected, _outputs(chosen, stock, inputs)).differences:
        return _Comparison(skipped="the stock model's own outputs change from call to call")
    return compared


def _rehearsed(chosen: Keras, model: Any, inputs: Any) -> list[tuple[str, Array]]:
    try:
        return _outputs(chosen, model, inputs)
    except Exception as error:
        reason = f"the stock model refuses made-up ones ({type(error).__name__})"
        raise UnknownInputsError(reason) from error


def _outputs(chosen: Keras, model: Any, inputs: Any) -> list[tuple[str, Array]]:
    """Return each output of *model* under a name that says its place."""
    outputs = model(inputs, training=False)
    flat = flattened(chosen, outputs)
    return [(f"output {place}", value_of(value)) for place, value in enumerate(flat)]


def _seeded_inputs(chosen: Keras, model: Any) -> Any:
    """Return one row of made-up inputs for *model*, the same ones each time.

    Raises:
        UnknownInputsError: the model does not say what it takes, or takes what is not made here.
    """
    specs = input_specs(model)
    values = seeded(specs, rows=1, open_axis=_OPEN_AXIS, integers_below=_INTEGERS_BELOW)
    return as_taken(model, [tensor_of(chosen, value) for value in values])
