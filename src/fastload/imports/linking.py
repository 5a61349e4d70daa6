"""TensorFlow's libraries are linked in a thread, while modules of Python are imported in this one.

The dynamic linker looks up half a million symbols for them. Where Python links, it lets no other
thread run meanwhile; `dlopen`, called as a C function, does. What is linked, in which order and
with which flags is what `import tensorflow` does, so that finds its libraries there, and nothing
else is different: docs/decisions/0022-linking-beside.md.

`expected` says which TensorFlow is installed, if its import is known: its stock import was compared
with what is left behind when a part came first (docs/decisions/0016-deferred-tensorflow.md).
"""

from __future__ import annotations

import os
import site
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from ctypes import CDLL
    from threading import Thread
    from typing import Any

#: The first library that TensorFlow's import opens; it needs all the large ones.
_FIRST_LIBRARY = "python/platform/_pywrap_cpu_feature_guard.so"
#: Functions of TensorFlow's C interface (`c_api.h`): one lists all operations, the other frees the
#: list. Whoever asks for an operation first waits until all are registered; so it is asked here.
_LIST, _FREE = "TF_GetAllOpList", "TF_DeleteBuffer"
#: What comes before: numpy, for all that is imported meanwhile; `ssl`, which TensorFlow imports
#: before its own libraries, as they bring another one; and libraries of other modules that are
#: imported meanwhile, as the linker links for one thread at a time.
_BEFORE = (
    "numpy",
    "ssl",
    "_bisect",
    "_blake2",
    "_bz2",
    "_contextvars",
    "_csv",
    "_hashlib",
    "_heapq",
    "_json",
    "_lzma",
    "_opcode",
    "_posixsubprocess",
    "_random",
    "_sha2",  # of Python 3.12 and later, which has it in the place of the next
    "_sha512",
    "array",
    "binascii",
    "fcntl",
    "grp",
    "google._upb._message",
    "mmap",
    *(("readline",) if sys.version_info >= (3, 13) else ()),  # which `pdb` imports since then
    "select",
    "termios",
    "zlib",
)
#: For each version: what TensorFlow's first modules import that links nothing, and those of them
#: that link nothing. In 2.15 absl would come before `six`, and another finder before Python's own.
MEANWHILE: Mapping[str, tuple[str, ...]] = {
    "2.21": (
        "xml.dom.minidom",
        "absl.logging",
        "google.protobuf.internal.builder",
        "google.protobuf.any_pb2",
        "google.protobuf.text_format",
        "pdb",
        "absl.app",
        "tensorflow.core.framework.api_def_pb2",
        "tensorflow.core.framework.summary_pb2",
        "tensorflow.core.function",
        "tensorflow.core.lib.core.error_codes_pb2",
        "tensorflow.core.protobuf.struct_pb2",
        "tensorflow.python.client",
        "tensorflow.python.framework.cpp_shape_inference_pb2",
        "tensorflow.python.framework.registry",
        "tensorflow.python.framework.stack",
        "tensorflow.python.framework.tfrt_utils",
        "tensorflow.python.framework.traceable_stack",
        "tensorflow.python.framework.type_spec_registry",
        "tensorflow.python.ops",
        "tensorflow.python.platform.self_check",
        "tensorflow.python.profiler.internal",
        "tensorflow.python.pywrap_dlopen_global_flags",
        "tensorflow.python.saved_model",
        "tensorflow.python.types.doc_typealias",
        "tensorflow.python.util.custom_nest_protocol",
        "tensorflow.python.util.deprecation",
        "tensorflow.python.util.function_utils",
        "tensorflow.python.util.lock_util",
        "tensorflow.python.util.numpy_compat",
        "tensorflow.python.util.object_identity",
        "tensorflow.python.util.traceback_utils",
    ),
}

_thread: Thread | None = None


def begin() -> None:
    """Have TensorFlow linked meanwhile, if its import is known and it has not begun.

    Nothing fails here: what is wrong is found, and told, where TensorFlow is imported.
    """
    global _thread  # noqa: PLW0603 - a process links once
    found = None if _thread or not _is_of_use() else expected()
    if found is None:
        return
    package, version = found
    _import(_BEFORE)
    prepare_environment(version)
    _thread = _started(os.path.join(package, _FIRST_LIBRARY))  # noqa: PTH118 - no `pathlib` yet


def use_the_time(version: str) -> None:
    """Import what TensorFlow *version* is about to import, if it is being linked."""
    if is_running():
        _import(MEANWHILE.get(version, ()))


def is_running() -> bool:
    """Say whether TensorFlow is being linked."""
    return _thread is not None and _thread.is_alive()


def wait() -> None:
    """Return when nothing is being linked."""
    if _thread is not None:
        _thread.join()


def _is_of_use() -> bool:
    if "tensorflow" in sys.modules or sys.platform != "linux":
        return False
    return len(os.sched_getaffinity(0)) > 1


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        with suppress(Exception):  # whoever needs it will say so
            import_module(name)


def _started(library: str) -> Thread | None:
    import threading

    thread = threading.Thread(target=_link, args=(library,), name="fastload-linking")
    try:
        thread.start()
    except RuntimeError:  # the system has no thread left
        return None
    # A child would have the linker's lock without the thread that holds it.
    os.register_at_fork(before=wait)
    return thread


def _link(library: str) -> None:
    import ctypes

    with suppress(AttributeError):  # the C library, or TensorFlow, has no such function
        dlopen = _function(ctypes.CDLL(None), "dlopen", ctypes.c_char_p, ctypes.c_int)
        handle = dlopen(os.fsencode(library), sys.getdlopenflags())
        if handle:
            tensorflow = ctypes.CDLL(library, handle=handle)
            free = _function(tensorflow, _FREE, ctypes.c_void_p)
            free(_function(tensorflow, _LIST)())


def _function(library: CDLL, name: str, *takes: Any) -> Any:
    """Return a function of *library* that gives an address or nothing."""
    import ctypes

    function = getattr(library, name)
    function.argtypes, function.restype = takes, ctypes.c_void_p
    return function


_TELEMETRY = {"ENABLE_RUNTIME_UPTIME_TELEMETRY": "1"}
#: For each version: what TensorFlow puts into the environment before all else, where it is not
#: there already.
SET_FIRST: Mapping[str, Mapping[str, str]] = {
    **{version: {} for version in ("2.15", "2.16", "2.17")},
    **dict.fromkeys(("2.18", "2.19", "2.20", "2.21"), _TELEMETRY),
}
#: TensorFlow loads what these name before it can be used; that is left to its own import.
_PLUGIN_VARIABLES = ("TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_USE_MODULAR_FILESYSTEM")
_PLUGINS = "tensorflow-plugins"
_DISTRIBUTIONS = ("tensorflow", "tensorflow_cpu", "tensorflow_macos")


def expected() -> tuple[str, str] | None:
    """Return folder and version, as `2.21`, of the package if its import is known, or None."""
    spec = find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return None
    package = os.path.dirname(spec.origin)  # noqa: PTH120 - `pathlib` is not imported yet
    folder = os.path.dirname(package)  # noqa: PTH120
    version = _version_in(folder)
    return None if version not in SET_FIRST or _has_plugins(folder) else (package, version)


def prepare_environment(version: str) -> None:
    """Set what TensorFlow *version* sets before its libraries are linked."""
    for name, value in SET_FIRST[version].items():
        os.environ.setdefault(name, value)


def _version_in(folder: str) -> str:
    """Return the version, as `2.21`, of the TensorFlow that is installed in *folder*."""
    names = os.listdir(folder)  # noqa: PTH208 - a thousand names, no paths
    found = {".".join(version.split(".")[:2]) for name in names if (version := _version_of(name))}
    return found.pop() if len(found) == 1 else ""


def _version_of(name: str) -> str:
    """Return the version that the name of a folder of metadata tells, if it is TensorFlow's."""
    distribution, _, version = name.removesuffix(".dist-info").partition("-")
    is_metadata = name.endswith(".dist-info") and distribution in _DISTRIBUTIONS
    return version if is_metadata else ""


def _has_plugins(folder: str) -> bool:
    """Say whether TensorFlow's import would load libraries of others, devices for instance."""
    folders = {folder, *site.getsitepackages(), site.getusersitepackages(), *sys.path}
    return any(os.environ.get(name) for name in _PLUGIN_VARIABLES) or any(
        os.path.exists(os.path.join(each, _PLUGINS))  # noqa: PTH110, PTH118
        for each in folders
        if each
    )
