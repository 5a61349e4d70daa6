"""Call functions with tensors by name: flat ones, and TensorFlow's own concrete functions."""

from __future__ import annotations

import functools
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fastload.runtime.core import eager
from fastload.runtime.core.conditions import asked
from fastload.runtime.core.eager import placed
from fastload.runtime.functions.flat_function import FlatFunction
from fastload.runtime.requirements import FLAT


class FlatCall:
    """A flat function with its weights, registered with TensorFlow for as long as this lives.

    Args:
        function: the function.
        weights: its values after the inputs: tensors on the CPU.
        device: where it runs and its weights are; None for where TensorFlow would put variables.
        plain: returns *function* before it was optimized, where it was: what runs when somebody
            has set TensorFlow's optimizers otherwise by then.
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
        self._asked = asked() if function.is_optimized else None
        self._lock = threading.Lock()
        registered(function, self)

    def __call__(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the function on tensors by name; nothing here looks at their shapes."""
        context, function = eager.context(), self._function
        options = context.function_call_options
        config = options.config_proto_serialized
        if function.is_optimized:
            if asked() != self._asked:
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


_users: Final[Counter[str]] = Counter()
_lock: Final = threading.RLock()


def registered(function: FlatFunction, owner: Any) -> None:
    """Have *function*, and those that it calls, be among TensorFlow's while *owner* lives."""
    _register(function)
    weakref.finalize(owner, _unregister, function).atexit = False


@contextmanager
def registration(function: FlatFunction) -> Iterator[None]:
    """Have *function*, and those that it calls, be among TensorFlow's meanwhile."""
    _register(function)
    try:
        yield
    finally:
        _unregister(function)


def _register(function: FlatFunction) -> None:
    """Add *function*, and those that it calls, to TensorFlow's, unless they are there."""
    context, function_pb2 = eager.context(), eager.runtime().function_pb2
    with _lock:
        _users[function.name] += 1
        if _users[function.name] == 1:
            for content in function.definitions:
                context.add_function_def(function_pb2.FunctionDef.FromString(content))


def _unregister(function: FlatFunction) -> None:
    """Remove *function*, and those that it calls, when its last user is gone."""
    context, function_pb2 = eager.context(), eager.runtime().function_pb2
    with _lock:
        _users[function.name] -= 1
        if not _users[function.name]:
            del _users[function.name]
            for content in function.definitions:
                definition = function_pb2.FunctionDef.FromString(content)
                context.remove_function(definition.signature.name)


def require_device(device: str | None) -> None:
    """Check that TensorFlow has the device called *device*; it would run elsewhere without a word.

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
