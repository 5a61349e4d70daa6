"""What, besides the graph itself, decides how TensorFlow optimizes and executes it."""

from __future__ import annotations

import functools
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from fastload.runtime.core import eager
from fastload.runtime.requirements import FLAT

_PREFIXES: Final = ("TF_", "XLA_", "ONEDNN_", "DNNL_", "OMP_", "KMP_", "MKL_")
#: Variables that do not change how a graph is executed, but differ from run to run.
_IGNORED: Final = (
    "TF_CONFIG",
    "TF_CPP_",
    "TF_FORCE_GPU_",
    "TF_GPU_",
    "TF_KERAS",
    "TF_USE_LEGACY_KERAS",
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
    variables = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(_PREFIXES) and not name.startswith(_IGNORED)
    }
    machine = (_processor(), _cores(), len(eager.logical_devices()))
    return repr((eager.version(), eager.has_onednn(), machine, program_options(), variables))


def has_accelerators() -> bool:
    """Say whether TensorFlow has any device that is not a CPU."""
    return any(device.device_type != "CPU" for device in eager.logical_devices())


def program_options() -> tuple[Any, ...]:
    """Return the options that the program has set so far; it may change them later."""
    options, config = eager.context().function_call_options, eager.runtime().config
    return (
        _deterministic(options.config_proto_serialized),
        options.executor_type,
        config.is_op_determinism_enabled(),
        config.tensor_float_32_execution_enabled(),
    )


@functools.lru_cache(maxsize=16)
def _deterministic(config: bytes) -> bytes:
    """Return a serialized `ConfigProto` with its maps, which come in any order, in a fixed one."""
    message = eager.runtime().config_pb2.ConfigProto.FromString(config)
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def _cores() -> int | None:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return os.cpu_count() if affinity is None else len(affinity(0))


@functools.cache
def _processor() -> str:
    """Return the processor's name and features."""
    description = ""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        lines = iter(lambda: file.readline().partition(":"), ("", "", ""))
        first = {}
        for key, _, value in lines:
            if not key.strip():
                break  # the next processor is like this one
            first[key.strip()] = value.strip()
        description = " ".join(first.get(key, "") for key in ("model name", "flags", "Features"))
    return f"{platform.machine()} {description} {os.cpu_count()}"
