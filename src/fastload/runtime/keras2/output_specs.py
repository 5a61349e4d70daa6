"""The output-spec cache: what Keras 2's symbolic layer calls return, recorded at the first rebuild.

Keras 2 traces every symbolic layer call in a scratch graph, only to learn shape, dtype and name of
the outputs: half of the time of a rebuild. A call is recorded if the layer and all layers in it are
Keras's own, and tracing changed nothing on them but what a replay can set too; it is replayed only
for the same layer on inputs with the same specs. All other calls are traced.
"""

from __future__ import annotations

import functools
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any, Final

from fastload.runtime.core.code_facts import PLAIN
from fastload.runtime.core.code_record import Ran, recording
from fastload.runtime.core.rebuild import current_rebuild
from fastload.runtime.core.spec_codec import NotPlainError, decode, decode_spec, encode, encode_spec
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.keras2.keras2_parts import Keras2

#: Their outputs depend on a Python function or on values, not on specs alone.
_OPAQUE: Final = frozenset(
    {"Lambda", "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"}
)
_HOLDERS: Final = (tuple, list, dict)
#: What a SavedModel said of the layer, which its attributes say as well.
_METADATA: Final = "_serialized_attributes"
#: Attributes that a layer's first call sets; `_set_save_spec` sets the outer layer's own specs.
_CALL_MARKS: Final = ("_called", "_saved_model_inputs_spec", "_saved_model_arg_spec")


class SpecCache:
    """What symbolic layer calls return, by call.

    Args:
        recorded: `calls` of an earlier rebuild; empty at the first.
    """

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        self._calls: dict[str, Any] = dict(recorded)
        self._known = len(self._calls)
        self._kinds: set[str] = set()
        #: What ran in the calls that this rebuild recorded.
        self.ran = Ran(is_known=True)
        #: How long the calls took that this rebuild recorded, in seconds.
        self.seconds = 0.0
        #: How often this rebuild's traces have read the learning phase.
        self.phase_reads = 0
        self._told: Any = None

    @property
    def calls(self) -> Mapping[str, Any]:
        """All recorded calls, as JSON values."""
        return self._calls

    @property
    def grew(self) -> bool:
        """Whether this rebuild recorded calls, where none were known."""
        return bool(self._calls) and not self._known

    def recall(self, key: str) -> Any:
        """Return the call recorded under *key*, or None."""
        return self._calls.get(key)

    def learn(self, key: str, call: Any) -> None:
        """Record *call* under *key*."""
        self._calls[key] = call

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Note in the block, which rebuilds a model, what its calls tell the user."""
        if self._known:  # nothing is learnt
            yield
            return
        # Imported here: a hit recalls what was recorded.
        from fastload.runtime.core.told import Told, hearing

        self._told = Told()
        with hearing(self._told):
            yield

    def heard(self) -> int:
        """Return how often the rebuild has told the user something so far."""
        return 0 if self._told is None else int(self._told.heard)

    @contextmanager
    def tracing(self, kind: str) -> Iterator[None]:
        """Note how long the block takes and, if it is the first call of its *kind*, what runs."""
        start = time.perf_counter()
        if kind in self._kinds or self._known:
            yield
        else:
            self._kinds.add(kind)
            with recording() as ran:
                yield
            self.ran.codes |= ran.codes
            self.ran.is_known &= ran.is_known
        self.seconds += time.perf_counter() - start


def patched_infer_output_signature(parts: Keras2, stock: Callable[..., Any]) -> Callable[..., Any]:
    """Return the replacement of `Layer._infer_output_signature`."""

    @functools.wraps(stock)
    def infer_output_signature(self: Any, *arguments: Any) -> Any:
        rebuild = current_rebuild()
        if rebuild is None or rebuild.spec_cache is None or not _is_own(parts, self):
            return stock(self, *arguments)
        return _infer(parts, stock, rebuild.spec_cache, self, arguments)

    return infer_output_signature


def patched_learning_phase(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Count reads of the learning phase: before Keras 2.12 a read sets it.

    From then on every layer of the process that is called without `training` gets that value.
    """

    @functools.wraps(stock)
    def learning_phase() -> Any:
        rebuild = current_rebuild()
        if rebuild is not None and rebuild.spec_cache is not None:
            rebuild.spec_cache.phase_reads += 1
        return stock()

    return learning_phase


def _infer(
    parts: Keras2,
    stock: Callable[..., Any],
    spec_cache: SpecCache,
    layer: Any,
    arguments: tuple[Any, ...],
) -> Any:
    inputs, args, kwargs, _ = arguments
    # Stock does so inside its scratch graph, where no scope of the caller is; the layer's names
    # the variables.
    with tensorflow().name_scope(""):
        with parts.backend.name_scope(layer._name_scope()):
            layer._maybe_build(inputs)
        key = _key(parts, layer, arguments)
    recorded = spec_cache.recall(key) if key else None
    if recorded is not None:
        layer._set_save_spec(inputs, args, kwargs)
        return _replay(parts, layer, recorded)
    before, reads = _state(layer), spec_cache.phase_reads
    heard = spec_cache.heard()
    with spec_cache.tracing(_kind(layer, arguments)) if key else nullcontext():
        outputs = stock(layer, *arguments)
    if not key or spec_cache.heard() > heard:  # stock tells it at each load
        return outputs
    if (call := _recording(parts, layer, before, outputs)) is not None:
        spec_cache.learn(key, {**call, "asks_for_phase": spec_cache.phase_reads > reads})
    return outputs


def _key(parts: Keras2, layer: Any, arguments: Any) -> str | None:
    """Return a key of all that the outputs depend on, or None if the call must be traced."""
    if (hasattr(layer, "_set_inputs") and not layer.inputs) or not all(
        _is_plain(parts, inner) for inner in layer._flatten_layers()
    ):
        return None
    try:
        leaves = [
            encode(leaf, _tensor_leaf(parts)) for leaf in tensorflow().nest.flatten(arguments)
        ]
    except NotPlainError:
        return None
    made_of = [_made_of(inner) for inner in layer._flatten_layers()]
    return f"{type(layer).__name__}:{layer.name}:{layer._name_scope()}:{made_of}:{leaves}"


def _made_of(layer: Any) -> str:
    """Return what the code of *layer* reads of it: what its config said, or a program set."""
    values = [f"{name}={_text(value)}" for name, value in _attributes(layer)]
    return f"{layer.compute_dtype} {zlib.crc32(' '.join(values).encode()):08x}"


def _attributes(layer: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(layer).items():
        if _has_text(value) and name not in (*_CALL_MARKS, _METADATA):
            yield name, value


def _has_text(value: Any) -> bool:
    return type(value) in PLAIN or isinstance(value, (FunctionType, *_HOLDERS))


def _text(value: Any) -> str:
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, dict):
        return str([f"{key}={_text(each)}" for key, each in value.items() if _has_text(each)])
    if isinstance(value, _HOLDERS):
        return str([_text(each) for each in value if _has_text(each)])
    return repr(value)


def _kind(layer: Any, arguments: Any) -> str:
    """Return what the calls have in common that run the same code: all but names and sizes.

    Lists and dicts are left out: Keras keeps books in them, where each layer has its name.
    """
    values = [
        f"{name}={_small(value)}"
        for inner in layer._flatten_layers()
        for name, value in _attributes(inner)
        if not (isinstance(value, (list, dict)) or (isinstance(value, str) and "name" in name))
    ]
    shapes = [
        f"{[_small(size) for size in leaf.shape]} {leaf.dtype}"
        for leaf in tensorflow().nest.flatten(arguments)
        if getattr(getattr(leaf, "shape", None), "rank", None) is not None
    ]
    return f"{type(layer).__name__} {values} {shapes}"


def _small(value: Any) -> Any:
    """Return a number as zero, one or many; of several, each."""
    if type(value) is tuple:
        return [_small(each) for each in value if _has_text(each)]
    return min(value, 2) if type(value) in (int, float) else _text(value)


def _is_own(parts: Keras2, layer: Any) -> bool:
    return type(layer).__module__.startswith((f"{parts.package}.src.", f"{parts.package}.layers."))


def _is_plain(parts: Keras2, layer: Any) -> bool:
    """Say whether the outputs of *layer* depend on its config and its inputs' specs alone."""
    return (
        layer.built
        and _is_own(parts, layer)
        and getattr(layer, "_activity_regularizer", None) is None
        and not any(_is_foreign(parts, value) for value in vars(layer).values())
        and "call" not in vars(layer)
        and type(layer).__name__ not in _OPAQUE
        and not _has_yet_to_seed(layer)
    )


def _is_foreign(parts: Keras2, value: Any) -> bool:
    """Say whether *value* is a function of the program's, which may give anything."""
    if not callable(value):
        return False
    module = str(getattr(value, "__module__", None) or type(value).__module__)
    return module.partition(".")[0] not in (parts.package, "builtins", "numpy", "tensorflow")


def _has_yet_to_seed(layer: Any) -> bool:
    """Say whether the first call of *layer* creates its random generator, as in Keras 2.8."""
    return not getattr(getattr(layer, "_random_generator", None), "_built", True)


def _state(layer: Any) -> list[dict[str, tuple[Any, int]]]:
    """Return what a trace could change on *layer* and its inner layers: attributes, list
    lengths.
    """
    return [
        {
            # Holding the value keeps its id from being reused.
            name: (value, len(value) if isinstance(value, (list, dict)) else 0)
            for name, value in vars(inner).items()
        }
        for inner in layer._flatten_layers()
    ]


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the names of attributes that were added, removed, replaced or resized."""
    both = old.keys() & new.keys()
    same = {n for n in both if old[n][0] is new[n][0] and old[n][1] == new[n][1]}
    return (old.keys() | new.keys()) - same


def _recording(parts: Keras2, layer: Any, before: list[Any], outputs: Any) -> dict[str, Any] | None:
    """Return the record of the call that was just traced, or None if it cannot be replayed."""
    after = _state(layer)
    if len(before) != len(after):
        return None
    changed = [_changed(old, new) for old, new in zip(before, after, strict=True)]
    if any(names.difference(_CALL_MARKS) for names in changed):
        return None
    try:
        marks = [
            {name: encode(vars(inner)[name], _no_leaf) for name in sorted(names)}
            for names, inner in zip(changed, layer._flatten_layers(), strict=True)
        ]
        return {"outputs": encode(outputs, _tensor_leaf(parts)), "marks": marks[1:]}
    except NotPlainError:
        return None


def _replay(parts: Keras2, layer: Any, recorded: Mapping[str, Any]) -> Any:
    inner_layers = list(layer._flatten_layers())[1:]
    for inner, marks in zip(inner_layers, recorded["marks"], strict=True):
        # Keras itself sets them without attribute tracking.
        vars(inner).update({name: decode(value, _no_leaf) for name, value in marks.items()})
    if recorded["asks_for_phase"]:
        parts.backend.learning_phase()
    return decode(recorded["outputs"], functools.partial(_keras_tensor, parts))


def _no_leaf(leaf: Any) -> Any:
    raise NotPlainError(type(leaf).__name__)


def _tensor_leaf(parts: Keras2) -> Callable[[Any], Any]:
    def leaf(tensor: Any) -> Any:
        """Encode a dense symbolic tensor: its spec, its name, its mask."""
        if type(tensor) is not parts.keras_tensor.KerasTensor or tensor._inferred_value is not None:
            raise NotPlainError(type(tensor).__name__)
        if type(tensor.type_spec) is not tensorflow().TensorSpec:
            raise NotPlainError(type(tensor.type_spec).__name__)
        mask = getattr(tensor, "_keras_mask", None)
        return {
            "tensor": [
                encode_spec(tensor.type_spec),
                tensor._name,
                None if mask is None else leaf(mask),
            ]
        }

    return leaf


def _keras_tensor(parts: Keras2, value: Mapping[str, Any]) -> Any:
    spec, name, mask = value["tensor"]
    tensor = parts.keras_tensor.KerasTensor(decode_spec(spec), name=name)
    if mask is not None:
        tensor._keras_mask = _keras_tensor(parts, mask)
    return tensor
