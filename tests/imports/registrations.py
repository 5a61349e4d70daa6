"""Prints, as JSON, what an import of TensorFlow left behind: `registrations.py MODE [text]`.

The mode is `stock`, `light` or `deferred`.

The text is a program that runs after the import. What is left behind is the contents of every
container which a module, a class of it or an object in it holds, by the names of what is in there;
the operations; the protocol buffers; and what belongs to the process. Registries are among them
without being named here, those of future versions included.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import json
import os
import signal
import sys
import types
import weakref
import zlib  # noqa: F401 - it uses TensorFlow's library, or another if it comes first, as for us
from collections import deque
from typing import Any

TABLES = (dict, types.MappingProxyType, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
#: In a list of registrations the order may decide; in a table it does not.
ORDERED = (list, tuple, deque)
CONTAINERS = (*TABLES, *ORDERED, set, frozenset, weakref.WeakSet)
PLAIN = (bool, int, float, str, type(None))
LEAVES = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, str, bytes, int, float)
#: Deeper than this nothing is registered: a module's object, its table, an entry, its table.
DEEPEST = 4
_OUR_FINDERS = {"_LightImport", "_Rest"}
_plain_get = types.ModuleType.__getattribute__


def label(value: Any) -> str:
    """Name *value* alike in each process; no address is part of it."""
    if isinstance(value, types.ModuleType):
        return f"module {_plain_get(value, '__dict__').get('__name__')}"
    if isinstance(value, int) and value > 10**9:
        return "a large number"  # Most are addresses.
    if value is None or isinstance(value, str | bytes | int | float):
        return repr(value)[:200]
    if isinstance(value, tuple | frozenset):
        inner = map(label, value)
        # TensorFlow sorts the types of a union by their addresses.
        has_no_order = isinstance(value, frozenset) or all(isinstance(each, type) for each in value)
        return f"({', '.join(sorted(inner) if has_no_order else inner)})"
    # Nothing else is asked for a name: six's modules import when they are asked for anything.
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


class Walk:
    """Goes through the modules.

    Attributes:
        found: the labels in each container by its path.
        values: the plain values, but for those in containers.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self.values: dict[str, str] = {}
        # Whichever module is the first would be the place of these.
        self.seen: dict[int, Any] = {id(vars(builtins)): vars(builtins)}

    def module(self, name: str, module: types.ModuleType) -> None:
        for key, value in list(_plain_get(module, "__dict__").items()):
            if key not in {"__builtins__", "__path__", "__spec__", "__loader__", "__all__"}:
                self.visit(f"{name}:{key}", value, name, 0)

    def visit(self, path: str, value: Any, module: str, depth: int) -> None:
        if isinstance(value, PLAIN):
            self.values[path] = label(value)
        if isinstance(value, LEAVES) or id(value) in self.seen or depth > DEEPEST:
            return
        if isinstance(value, type) and getattr(value, "__module__", None) != module:
            return
        self.seen[id(value)] = value
        if isinstance(value, CONTAINERS):
            labels = [label(key) for key in list(value)]
            self.found[path] = labels if isinstance(value, ORDERED) else sorted(labels)
            if isinstance(value, dict):
                for key, inner in list(value.items()):
                    self.visit(f"{path}[{label(key)}]", inner, module, depth + 1)
            return
        for key, inner in attributes(value):
            self.visit(f"{path}.{key}", inner, module, depth + 1)


def attributes(value: Any) -> list[tuple[str, Any]]:
    """Return what *value* holds, in a dictionary or in slots, without running code of its own."""
    try:
        held = dict(vars(value) if isinstance(value, type) else _plain_get_of(value, "__dict__"))
    except (AttributeError, TypeError):
        held = {}
    for owner in () if isinstance(value, type) else type(value).__mro__:
        slots = vars(owner).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            try:
                held[slot] = _plain_get_of(value, slot)
            except AttributeError:
                continue
    return [(key, inner) for key, inner in held.items() if key not in {"__weakref__", "__dict__"}]


def _plain_get_of(value: Any, name: str) -> Any:
    return object.__getattribute__(value, name)


def operations() -> list[str]:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    listed = op_def_pb2.OpList.FromString(
        pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    )
    return sorted(op.name for op in listed.op)


def process() -> dict[str, Any]:
    """Return what belongs to no module."""
    return {
        "environment": dict(os.environ),
        "path": sys.path,
        "meta_path": [name for name in map(finder_name, sys.meta_path) if name not in _OUR_FINDERS],
        "exit functions": atexit._ncallbacks(),
        "signals": {str(s): label(signal.getsignal(s)) for s in signal.valid_signals()},
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "hooks": [label(sys.excepthook), label(sys.displayhook), len(sys.path_hooks)],
        "working folder": os.getcwd(),  # noqa: PTH109 - as text
    }


def finder_name(finder: Any) -> str:
    return str(getattr(finder, "__name__", type(finder).__name__))


def main() -> None:
    if sys.argv[1] == "light":
        from fastload.imports import light_import

        light_import.add()
    if sys.argv[1] == "deferred":
        from fastload.imports import linking
        from fastload.runtime.core import early

        linking.begin()
        early.start(may_defer=True)
    import tensorflow as tf

    tf.constant  # noqa: B018 - the first touch

    exec("".join(sys.argv[2:]), {"tf": tf})
    gc.collect()  # or what waits to be freed would seem to be registered
    modules = dict(sys.modules)
    deferred = [name for name, m in modules.items() if type(m).__name__ == "LazyModule"]
    walk = Walk()
    for name, module in modules.items():
        is_ours = name.startswith(("fastload", "__m"))
        if isinstance(module, types.ModuleType) and name not in deferred and not is_ours:
            walk.module(name, module)
    left_behind = {
        "deferred": deferred,
        "modules": list(modules),
        "containers": walk.found,
        "values": walk.values,
        "operations": operations(),
        "process": process(),
        "tensorflow": {key: label(value) for key, value in vars(tf).items()},
        "all": tf.__all__,
    }
    sys.stdout.write(json.dumps(left_behind))


if __name__ == "__main__":
    main()
