"""A flat function, one `FunctionDef` whose weights are plain tensor arguments, and calls of it."""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import numpy as np

from fastload import unfinished
from fastload.lean_dataclass import dataclass
from fastload.runtime.core import eager
from fastload.runtime.core.eager import placed, program_options
from fastload.runtime.requirements import FLAT

#: A weight's name in the twin or, for what the twin has not, its values.
Value: TypeAlias = "str | np.ndarray[Any, Any]"


class NotFlatError(Exception):
    """A function needs real variables or other state, or cannot be kept as it was optimized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatFunction:
    """A flat function, ready to be registered with TensorFlow.

    Attributes:
        name: its name, which no other function of the process has.
        arguments: as in `Capturing`.
        results: as in `Capturing`.
        captures: where the values of the arguments after those come from.
        definitions: the functions that it calls and, last, its own: serialized `FunctionDef`s.
        varies: whether what it computes depends on the device that it runs on.
        is_optimized: TensorFlow's graph optimizers went over it already; see `optimizing`.
    """

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    captures: tuple[Value, ...]
    definitions: tuple[bytes, ...]
    varies: bool
    is_optimized: bool = False

    @classmethod
    def of_definition(cls, definition: Any) -> FlatFunction:
        """Return a function that captures nothing, of its `FunctionDef`."""
        signature = definition.signature
        return cls(
            name=signature.name,
            arguments=tuple(each.name for each in signature.input_arg),
            results=tuple(each.name for each in signature.output_arg),
            captures=(),
            definitions=(definition.SerializeToString(),),
            varies=False,
        )


class FlatCall:
    """A flat function with its weights, registered with TensorFlow for as long as this lives.

    Args:
        function: the function.
        weights: its values after the inputs: tensors on the CPU.
        device: where it runs and its weights are; None for where TensorFlow would put variables.
        plain: returns *function* before it was optimized, where it was: what runs once the
            program has changed the settings of TensorFlow's optimizers.
    """

    def __init__(
        self,
        function: FlatFunction,
        weights: Sequence[Any],
        device: str | None,
        plain: Callable[[], FlatFunction] | None = None,
    ) -> None:
        # Checked now: when the function is called, it is too late to leave the load to stock.
        FLAT.part("context")
        self._function = function
        self._device = device
        if device is not None or eager.logical_devices("GPU"):
            with placed(device):
                weights = [eager.copied(weight) for weight in weights]
        self.weights = list(weights)
        self._plain = plain
        self._asked = program_options() if function.is_optimized else None
        self._lock = unfinished.lock()
        registered(function, self)

    def __call__(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the function on tensors by name; their shapes are not checked here."""
        context, function = eager.context(), self._function
        options = context.function_call_options
        config = options.config_proto_serialized
        if function.is_optimized:
            if program_options() != self._asked:
                return self._made_plain()(inputs)
            config = without_optimizers(config)
        attributes = ("executor_type", options.executor_type or "", "config_proto", config)
        with placed(self._device):
            tensors = eager.runtime().execute.execute(
                function.name.encode(),
                len(function.results),
                [*(inputs[name] for name in function.arguments), *self.weights],
                attributes,
                context,
            )
        return dict(zip(function.results, tensors, strict=True))

    def _made_plain(self) -> FlatCall:
        """Return a call of the plain function, which is made once."""
        with self._lock:
            if self._plain is not None:
                self._replaced = FlatCall(self._plain(), self.weights, self._device)
                self._plain = None
            return self._replaced


@functools.lru_cache(maxsize=4)
def without_optimizers(config: bytes) -> bytes:
    """Return a serialized `ConfigProto` like *config*, with Grappler off."""
    message = eager.runtime().config_pb2.ConfigProto.FromString(config)
    message.graph_options.rewrite_options.disable_meta_optimizer = True
    content: bytes = message.SerializeToString()
    return content


class ConcreteCall:
    """A concrete function of TensorFlow.

    Args:
        function: the function; it takes its inputs by name and gives a mapping.
        owner: what keeps its variables alive.
        device: where it runs; None for where TensorFlow would run it.
    """

    def __init__(self, function: Any, owner: Any, device: str | None) -> None:
        self._function, self._owner, self._device = function, owner, device

    def __call__(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the function on tensors by name."""
        with placed(self._device):
            found: Mapping[str, Any] = self._function(**inputs)
        return found


def parsed(definition: bytes) -> Any:
    """Return a serialized `FunctionDef` as a message."""
    return eager.runtime().function_pb2.FunctionDef.FromString(definition)


_users: Final[Counter[str]] = Counter()
_lock: Final = unfinished.lock()


def registered(function: FlatFunction, owner: Any) -> None:
    """Register *function*, and those that it calls, with TensorFlow while *owner* lives."""
    _register(function)
    weakref.finalize(owner, _unregister, function).atexit = False


@contextmanager
def registration(function: FlatFunction) -> Iterator[None]:
    """Register *function*, and those that it calls, with TensorFlow inside the block."""
    _register(function)
    try:
        yield
    finally:
        _unregister(function)


def _register(function: FlatFunction) -> None:
    """Register *function*, and those that it calls, unless they are registered."""
    with _lock:
        if not _users[function.name]:
            for content in function.definitions:
                eager.context().add_function_def(parsed(content))
        _users[function.name] += 1  # only now: where the above is interrupted, it is done again


def _unregister(function: FlatFunction) -> None:
    """Remove *function*, and those that it calls, when its last user is gone."""
    with _lock:
        _users[function.name] -= 1
        if not _users[function.name]:
            del _users[function.name]
            for content in function.definitions:
                eager.context().remove_function(parsed(content).signature.name)


def require_device(device: str | None) -> None:
    """Check that TensorFlow has the device called *device*; or it would silently run elsewhere.

    Raises:
        ValueError: it has not.
    """
    FLAT.part("context")
    there = [each.name for each in eager.logical_devices()]
    try:
        with placed(device):
            name = str(eager.context().device_name or there[0])
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"device={device!r} is not understood: {error}") from error
    if not name.endswith(tuple(there)):
        raise ValueError(f"TensorFlow has no device {device!r} here; it has {', '.join(there)}")
