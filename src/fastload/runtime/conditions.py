"""What decides how TensorFlow optimizes and executes a graph, besides the graph."""

from __future__ import annotations

import functools
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastload.runtime import eager
from fastload.runtime.flat_call import has_accelerators

_IGNORED_VARIABLES: Final = ("TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL", "TF2_BEHAVIOR")
_PREFIXES: Final = ("TF_", "XLA_", "ONEDNN_", "DNNL_", "OMP_", "MKL_")


def conditions() -> str | None:
    """Return all that the optimizers look at besides the function, as text.

    None where the executed graph is no graph of this processor alone.
    """
    if has_accelerators():
        return None
    variables = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(_PREFIXES) and name not in _IGNORED_VARIABLES
    }
    options = eager.context().function_call_options
    asked = (options.executor_type, options.config_proto_serialized)
    return repr((eager.version(), _processor(), asked, variables))


@functools.cache
def _processor() -> str:
    """Say which processor this is, and what it can do."""
    told = ""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        lines = iter(lambda: file.readline().partition(":"), ("", "", ""))
        first = {}
        for key, _, value in lines:
            if not key.strip():
                break  # the next processor is like this one
            first[key.strip()] = value.strip()
        told = " ".join(first.get(key, "") for key in ("model name", "flags", "Features"))
    return f"{platform.machine()} {told} {os.cpu_count()}"
