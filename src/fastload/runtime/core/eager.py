"""The eager runtime: the modules of TensorFlow that run functions on arrays, and how they are set.

None of them needs the package `tensorflow`, so a process that only predicts does not import it; see
`early`.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from fastload import system
from fastload.errors import UnsupportedRequestError, UnsupportedRuntimeError
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import BESIDE, EAGER, FLAT, MODES


@dataclass(frozen=True, slots=True, kw_only=True)
class EagerRuntime:
    """The modules, each with the names that `requirements.EAGER` lists.

    Attributes:
        context: registered functions and devices.
        execute: runs an operation or a function.
        dlpack: foreign memory as tensors.
        config: the devices.
        constant_op: arrays as tensors.
        dtypes: dtypes by name.
        errors_impl: the errors of operations.
        ops: device scopes and tensors.
        versions: of TensorFlow.
        function_pb2: serialized functions.
        config_pb2: options of function calls.
        _pywrap_util_port: how TensorFlow was built and configured.
    """

    context: Any
    execute: Any
    dlpack: Any
    config: Any
    constant_op: Any
    dtypes: Any
    errors_impl: Any
    ops: Any
    versions: Any
    function_pb2: Any
    config_pb2: Any
    _pywrap_util_port: Any


@functools.cache
def runtime() -> EagerRuntime:
    """Import the modules.

    Raises:
        MissingTensorFlowError: TensorFlow is not installed.
        UnsupportedRuntimeError: one of them lacks what is used of it.
    """
    return EagerRuntime(**{name: EAGER.part(name) for name in EAGER.parts})


def context() -> Any:
    """Return TensorFlow's context of this process."""
    return runtime().context.context()


def start_runtime() -> None:
    """Start TensorFlow's runtime, as the first operation of a process does."""
    context().ensure_initialized()


def version() -> str:
    """Return the version of TensorFlow."""
    return str(runtime().versions.__version__)


def has_onednn() -> bool:
    """Say whether kernels are oneDNN's; TensorFlow read the variable when it started."""
    return bool(runtime()._pywrap_util_port.IsMklEnabled())


def executing_eagerly() -> bool:
    """Say whether operations run eagerly in this context."""
    return bool(runtime().context.executing_eagerly())


#: Scopes that do no more than place variables, where they have one device; of `tf.distribute`.
ONE_DEVICE: Final = frozenset({"OneDeviceStrategy"})
#: Those with variables of a class of their own besides.
OF_ONE_REPLICA: Final = ONE_DEVICE | {"MirroredStrategy"}


def require_plain_tensorflow(strategies: Collection[str] = ()) -> None:
    """Check that a variable created now would be an ordinary eager one.

    Args:
        strategies: classes of distribution strategies that may be active, if they have one device.

    Raises:
        MissingTensorFlowError: TensorFlow is not installed.
        UnsupportedRequestError: eager execution is off, or a distribution is active.
    """
    if not executing_eagerly():
        raise UnsupportedRequestError("eager execution is off, or the load is inside a graph")
    active = _active_strategy()
    if active is not None and not (type(active).__name__ in strategies and _is_alone(active)):
        raise UnsupportedRequestError(f"{type(active).__name__} is active, a distribution strategy")


def modes() -> Iterator[str]:
    """Yield how each switch stands by which a program changes all that TensorFlow traces."""
    ops, control_flow = MODES.part("ops"), MODES.optional("control_flow_util")
    yield str(MODES.part("config").is_op_determinism_enabled())
    yield str(getattr(control_flow, "ENABLE_CONTROL_FLOW_V2", None))
    for name in ("is_auto_dtype_conversion_enabled", "is_numpy_style_type_promotion"):
        yield str(getattr(ops, name, bool)())
    yield str(hasattr(tensorflow().Tensor, "reshape"))  # numpy's methods


def require_plain_scope() -> None:
    """Check that a function traced now would be an ordinary one.

    Raises:
        UnsupportedRequestError: each operation is watched, or goes to a device.
    """
    if context().op_callbacks:
        watching = "tf.debugging.enable_check_numerics or the like"
        raise UnsupportedRequestError(f"operations are watched by {watching}")
    if context().device_name:
        raise UnsupportedRequestError("it is inside of a device scope")


def scope_name() -> str:
    """Return the class of the distribution strategy that is active; empty if there is none."""
    active = _active_strategy()
    return "" if active is None else type(active).__name__


def _active_strategy() -> Any:
    """Return the distribution strategy that is active in this context; None if there is none."""
    # Where neither is imported, no strategy can be active.
    modules = map(BESIDE.loaded, ("distribute_lib", "distribution_strategy_context"))
    # Another thread may be importing it, at the first touch of TensorFlow.
    asked = [module for module in modules if hasattr(module, "has_strategy")]
    return next((each.get_strategy() for each in asked if each.has_strategy()), None)


def _is_alone(strategy: Any) -> bool:
    """Say whether *strategy* is TensorFlow's, with one device, and no replica of it is running."""
    is_own = type(strategy).__module__.startswith("tensorflow.")
    is_in_scope = tensorflow().distribute.in_cross_replica_context()
    return bool(is_own and is_in_scope and strategy.num_replicas_in_sync == 1)


def logical_devices(kind: str | None = None) -> Sequence[Any]:
    """Return the devices of this process, as `tf.config.list_logical_devices` does."""
    devices: Sequence[Any] = runtime().config.list_logical_devices(kind)
    return devices


def placed(device: str | None) -> AbstractContextManager[Any]:
    """Return a scope in which operations run on *device*; for None, a scope without effect.

    Raises:
        ValueError: TensorFlow has no such device.
    """
    if device is None:
        return nullcontext()
    scope: AbstractContextManager[Any] = runtime().ops.device(device)
    return scope


def tensor_of(array: Any, dtype: Any = None) -> Any:
    """Return a copy of *array* as a tensor."""
    return runtime().constant_op.constant(array, dtype=dtype)


def is_tensor(value: Any) -> bool:
    """Say whether *value* is a `tf.Tensor`, eager or symbolic."""
    return isinstance(value, tensor_class())


def is_variable(value: Any) -> bool:
    """Say whether *value* is a `tf.Variable`."""
    # None where another thread is importing it, at the first touch of TensorFlow.
    kind = getattr(BESIDE.loaded("variables"), "Variable", None)
    return kind is not None and isinstance(value, kind)


@functools.cache
def tensor_class() -> Any:
    """Return `tf.Tensor`."""
    found = getattr(BESIDE.optional("tensor"), "Tensor", None)
    if found is None:  # before TensorFlow 2.14; and where neither is, TensorFlow's own name
        found = getattr(BESIDE.optional("ops"), "Tensor", None)
    return tensorflow().Tensor if found is None else found


def copied(tensor: Any) -> Any:
    """Return *tensor* on the current device."""
    return _unary("Identity", tensor, "T", tensor.dtype.as_datatype_enum)


def bitcast(tensor: Any, dtype: str) -> Any:
    """Return the bits of *tensor* as values of *dtype*, which has the same width."""
    wanted = runtime().dtypes.as_dtype(dtype).as_datatype_enum
    return _unary("Bitcast", tensor, "T", tensor.dtype.as_datatype_enum, "type", wanted)


def _unary(operation: str, tensor: Any, *attributes: Any) -> Any:
    (result,) = runtime().execute.execute(operation.encode(), 1, [tensor], attributes, context())
    return result


_PREFIXES: Final = ("TF_", "XLA_", "ONEDNN_", "DNNL_", "OMP_", "KMP_", "MKL_")
#: Variables that do not change how a graph is executed, but differ from run to run, or from the
#: machine that builds an image to the one that runs it: `TF_CLI_` and so on are Terraform's.
_IGNORED: Final = (
    "TF_CLI_",
    "TF_CONFIG",
    "TF_CPP_",
    "TF_FORCE_GPU_",
    "TF_GPU_",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "TF_KERAS",
    "TF_PLUGIN_CACHE_DIR",
    "TF_USE_LEGACY_KERAS",
    "TF_VAR_",
    "TF_WORKSPACE",
)


def conditions() -> str | None:
    """Return everything that the optimizers depend on besides the function, as text.

    None where the graph may run on other devices than this processor.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks an interface that is needed for it.
    """
    return None if has_accelerators() else execution()


def execution() -> str:
    """Return what decides how functions are optimized and executed in this process, as text.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks an interface that is needed for it.
    """
    FLAT.part("context")
    machine = (_processor(), system.processors(), len(logical_devices()))
    return repr((version(), has_onednn(), machine, program_options(), environment()))


def environment() -> dict[str, str]:
    """Return the variables of the environment that TensorFlow may read."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(_PREFIXES) and not name.startswith(_IGNORED)
    }


def has_accelerators() -> bool:
    """Say whether TensorFlow has any device that is not a CPU."""
    return any(device.device_type != "CPU" for device in logical_devices())


def program_options() -> tuple[Any, ...]:
    """Return the options that the program has set so far; it may change them later.

    Raises:
        UnsupportedRuntimeError: TensorFlow does not say what was set.
    """
    options, config = context().function_call_options, runtime().config
    try:
        switches = (config.is_op_determinism_enabled(), config.tensor_float_32_execution_enabled())
    except AttributeError as error:
        raise UnsupportedRuntimeError(f"TensorFlow does not say what was set: {error}") from error
    return (_deterministic(options.config_proto_serialized), options.executor_type, *switches)


@functools.lru_cache(maxsize=16)
def _deterministic(config: bytes) -> bytes:
    """Return a serialized `ConfigProto` with its maps, which come in any order, in a fixed one."""
    message = runtime().config_pb2.ConfigProto.FromString(config)
    content: bytes = message.SerializeToString(deterministic=True)
    return content


@functools.cache
def _processor() -> str:
    """Return the processor's name and features."""
    first = _first_processor()
    description = " ".join(first.get(key, "") for key in ("model name", "flags", "Features"))
    return f"{platform.machine()} {description if first else ''} {os.cpu_count()}"


def _first_processor() -> dict[str, str]:
    """Return what the system tells of a processor; the others are like it."""
    first: dict[str, str] = {}
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for key, _, value in iter(lambda: file.readline().partition(":"), ("", "", "")):
            if not key.strip():
                break
            first[key.strip()] = value.strip()
    return first


def made_for(*, is_optimized: bool) -> dict[str, str]:
    """Say for people, and for nothing else, where a function that is made now will be used.

    Args:
        is_optimized: whether TensorFlow's optimizers had a part in it.
    """
    told = {"TensorFlow": version()}
    if is_optimized:
        name = _first_processor().get("model name", platform.machine())
        told["processor"] = f"{name}, {system.processors()} of {os.cpu_count()} cores"
    return told
