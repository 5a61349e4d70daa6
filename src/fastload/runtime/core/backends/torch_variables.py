"""Variables of Keras 3 on PyTorch: they start blank, and take over the memory of their weights.

PyTorch writes into the memory of a parameter. The write stays in this process, as the twin is
mapped copy-on-write, and in this model, as each load maps the twin anew; within a load, each array
of the twin goes to one variable at most.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np

from fastload.errors import UnsupportedRequestError
from fastload.runtime.core.rebuild import (
    Patch,
    Rebuild,
    available,
    can_come_later,
    current_rebuild,
)
from fastload.runtime.core.zero_copy import MappedArray, address_of
from fastload.runtime.importing import import_module
from fastload.runtime.requirements import KERAS3_TORCH

_MAKES: Final = "_initialize_with_initializer"
_CONVERTS: Final = "_convert_to_tensor"
_ASSIGNS: Final = "_direct_assign"
_HOST: Final = "cpu"
#: Initializers whose tensors are in C order. A parameter keeps the layout of its first value for
#: life, and PyTorch chooses kernels by the layout.
_IN_C_ORDER: Final = frozenset(
    {"Zeros", "Ones", "RandomNormal", "TruncatedNormal", "RandomUniform", "VarianceScaling"}
    | {f"{who}{what}" for who in ("Glorot", "He", "Lecun") for what in ("Normal", "Uniform")}
)
#: Slow initializers of other layouts; PyTorch's `meta` device gives the layout without computing.
_IN_LAYOUT_OF_META: Final = frozenset({"Orthogonal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blank:
    """The first value of a parameter.

    Attributes:
        parameter: the parameter.
        version: PyTorch's count of writes into it.
        holders: how many tensors share its memory; more mean that it is in use elsewhere.
    """

    parameter: Any
    version: int
    holders: int

    @classmethod
    def of(cls, parameter: Any) -> _Blank:
        return cls(parameter=parameter, version=parameter._version, holders=_holders(parameter))

    @property
    def is_unwritten(self) -> bool:
        """Whether nothing was written into it."""
        return bool(self.parameter._version == self.version)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was written into it, and no further tensor shares its memory."""
        return self.is_unwritten and _holders(self.parameter) == self.holders


def require_plain(*, may_be_scoped: bool = False) -> None:
    """Check that a parameter created now would be an ordinary one.

    Raises:
        UnsupportedRequestError: it would be an inference tensor, or a dispatch mode is active.
        UnsupportedRuntimeError: PyTorch lacks an interface that is needed.
    """
    torch = KERAS3_TORCH.part("torch")
    if torch.is_inference_mode_enabled():
        raise UnsupportedRequestError("PyTorch is in inference mode")
    if torch._C._len_torch_dispatch_stack():
        raise UnsupportedRequestError("a dispatch mode of PyTorch is active")


def patches(variable: type[Any], initializer: type[Any]) -> list[Patch]:
    """Return the patches of Keras's class of variables."""
    return available(functools.partial(_patches, variable, initializer))


def weight_patches(variable: type[Any]) -> list[Patch]:
    """Return the patches for parameters of a model that exists.

    Raises:
        UnsupportedRuntimeError: a private name is missing.
    """
    core = KERAS3_TORCH.part("sharing")
    makers: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        _CONVERTS: functools.partial(_patched_convert, core),
        _ASSIGNS: _patched_direct_assign,
    }
    return [Patch(_defining_class(variable, name), name, make) for name, make in makers.items()]


def _patches(variable: type[Any], initializer: type[Any]) -> list[Patch]:
    core = KERAS3_TORCH.part("sharing")
    makers: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        _MAKES: functools.partial(_patched_initialize, core, initializer),
        _CONVERTS: functools.partial(_patched_convert, core),
        _ASSIGNS: _patched_direct_assign,
    }
    return [Patch(_defining_class(variable, name), name, make) for name, make in makers.items()]


def _defining_class(variable: type[Any], name: str) -> type[Any]:
    """Return the class that defines *name*: *variable* or a base class for all backends."""
    return next(kind for kind in variable.__mro__ if name in vars(kind))


def _patched_initialize(
    core: ModuleType, base: type[Any], stock: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(stock)
    def initialize(self: Any, initializer: Any) -> None:
        rebuild = current_rebuild()
        can_wait = rebuild is not None and not rebuild.may_be_read
        layout = _layout(core, self, initializer, base) if can_wait else None
        if rebuild is None or layout is None:
            stock(self, initializer)
            return
        stock(self, lambda *_, **__: _zeros(core, self, layout))
        blank = _Blank.of(self._value)
        rebuild.zeros[id(self._value)] = blank
        rebuild.unfilled.append(functools.partial(_fill, core, self, initializer, blank))

    return initialize


def _layout(
    core: ModuleType, variable: Any, initializer: Any, base: type[Any]
) -> tuple[int, ...] | None:
    """Return the strides of *initializer*'s value; None if the value has to be computed now."""
    kind, shape = type(initializer).__name__, variable._shape
    if not can_come_later(initializer, base, shape, variable._dtype) or not all(shape):
        return None
    if core.get_device() == "meta" or kind not in _IN_C_ORDER | _IN_LAYOUT_OF_META:
        return None
    if kind in _IN_C_ORDER:
        return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    with core.device_scope("meta"):
        return tuple(initializer(shape, dtype=variable._dtype).stride())


def _zeros(core: ModuleType, variable: Any, strides: tuple[int, ...]) -> Any:
    """Return zeros; on the host they take no memory until they are written."""
    torch = import_module("torch")
    dtype, device = core.to_torch_dtype(variable._dtype), core.get_device()
    if device != _HOST:
        empty = torch.empty_strided(variable._shape, strides, dtype=dtype, device=device)
        return empty.zero_()
    nbytes = math.prod(variable._shape) * dtype.itemsize
    memory = torch.from_numpy(np.zeros(nbytes, np.uint8)).view(dtype)
    return memory.as_strided(variable._shape, strides)


def _patched_convert(core: ModuleType, stock: Callable[..., Any]) -> Callable[..., Any]:
    """Convert arrays of the twin to tensors over the same memory."""

    @functools.wraps(stock)
    def convert(self: Any, value: Any, dtype: Any = None) -> Any:
        rebuild = current_rebuild()
        if rebuild is not None and isinstance(value, MappedArray) and core.get_device() == _HOST:
            tensor = _tensor_over(core, rebuild, value, dtype)
            if tensor is not None:
                return tensor
        return stock(self, value, dtype=dtype)

    return convert


def _tensor_over(core: ModuleType, rebuild: Rebuild, array: MappedArray, dtype: Any) -> Any:
    """Return a tensor of *dtype* over *array*; None if that is impossible, or one exists
    already.
    """
    is_known = array.dtype.isbuiltin == 1 and array.dtype.name in core.TORCH_DTYPES
    if not (is_known and array.can_be_shared) or address_of(array) in rebuild.lent:
        return None
    tensor = import_module("torch").from_numpy(np.asarray(array))
    if tensor.dtype != core.to_torch_dtype(dtype or array.dtype):
        return None
    rebuild.lent[address_of(array)] = tensor
    return tensor


def _patched_direct_assign(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Let parameters whose memory is theirs alone take over tensors over the twin."""

    @functools.wraps(stock)
    def direct_assign(self: Any, value: Any) -> None:
        rebuild = current_rebuild()
        is_taken = rebuild is not None and _takes_over(rebuild, self._value, value)
        if rebuild is not None and rebuild.undo is not None:
            rebuild.undo.append(_undo_of(self._value, is_replaced=is_taken))
        if not is_taken:
            stock(self, value)
            return
        self._value.data = value
        # A copy would have incremented it.
        import_module("torch").autograd.graph.increment_version(self._value)

    return direct_assign


def _takes_over(rebuild: Rebuild, parameter: Any, value: Any) -> bool:
    return (
        rebuild.lent.get(value.data_ptr()) is value
        and _layout_of(parameter) == _layout_of(value)
        and _is_alone(rebuild, parameter)
    )


def _is_alone(rebuild: Rebuild, parameter: Any) -> bool:
    """Say whether nobody would see that a parameter gets other memory."""
    blank = rebuild.zeros.get(id(parameter))
    if blank is not None:
        return bool(blank.is_untouched)
    return rebuild.undo is not None and _holders(parameter) == _holders_of_one()


@functools.cache
def _holders_of_one() -> int:
    """Return how many holders the memory of a parameter has that shares it with none."""
    torch = import_module("torch")
    return _holders(torch.nn.Parameter(torch.zeros(1)))


def _undo_of(parameter: Any, *, is_replaced: bool) -> Callable[[], None]:
    """Return what gives a parameter the value back that it has now.

    Args:
        parameter: the parameter.
        is_replaced: it is about to get other memory; else its own is about to be written.
    """
    # A device has no room for all values twice.
    old = parameter.data if is_replaced else parameter.detach().to(_HOST, copy=True)

    def undo() -> None:
        if is_replaced:
            parameter.data = old
        else:
            parameter.data.copy_(old)

    return undo


def _layout_of(tensor: Any) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _fill(core: ModuleType, variable: Any, initializer: Any, blank: _Blank) -> None:
    """Give *variable* its stock initial value, if it got no weights."""
    parameter = blank.parameter
    if variable._value is not parameter or not blank.is_unwritten:
        return
    shape, dtype = variable._shape, variable._dtype
    value = core.convert_to_tensor(initializer(shape, dtype=dtype), dtype=dtype)
    if blank.is_untouched and _layout_of(parameter) == _layout_of(value):
        parameter.data = value
    else:
        parameter.data.copy_(value)


def _holders(tensor: Any) -> int:
    torch = import_module("torch")
    count: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return count
