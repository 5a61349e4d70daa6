"""Comparing what a stock and a light import of TensorFlow leave behind, and what programs print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ADD = "from fastload.imports import light_import; light_import.add()\n"
#: What deferring may leave out, by the path of the container: names that only `tf.lite` defines,
#: and what matplotlib's own modules note about themselves as they are imported.
MAY_LACK = {
    "tensorflow.python.util.tf_export:_NAME_TO_SYMBOL_MAPPING": ("'lite.", "'compat.v1.lite."),
    "tensorflow.python.util.all_util:_HIDDEN_ATTRIBUTES": ("'tensorflow.lite.",),
    "logging:Logger.manager.loggerDict": ("'matplotlib", "'fontTools"),
    "typing:_overload_registry": ("'matplotlib.",),
}
#: Caches, the time of day, the processor's load, and the module that walks.
DIFFER_IN_ANY_CASE = (
    "sys:",
    "re:",
    "threading:",
    "psutil",
    "linecache:",
    "zipimport",
    "more_itertools.more:numeric_range._EMPTY_HASH",  # of None, which is its address
)
#: matplotlib's registries are its own, and asking for them loads what fills them. Annotations of
#: `rich` are objects that `typing` shares with whatever was imported first.
OF_MATPLOTLIB = ("matplotlib", "pyparsing", "PIL", "rich.theme:")
Snapshot = dict[str, Any]


def snapshot(mode: str, program: str = "") -> Snapshot:
    """Import TensorFlow, run *program*, and return what is left behind."""
    command = [sys.executable, str(HERE / "registrations.py"), mode, program]
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    # TensorFlow keeps a list that it makes of a set.
    environment["PYTHONHASHSEED"] = "0"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: Snapshot = json.loads(done.stdout)
    return result


def missing(stock: Snapshot, light: Snapshot) -> set[str]:
    """The modules that only the stock import ran."""
    return set(stock["modules"]) - set(light["modules"]) | set(light["deferred"])


def lost(stock: Snapshot, light: Snapshot, but: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield each container with what the light import left out of it, or has too much."""
    skipped = missing(stock, light)
    for path, expected in stock["containers"].items():
        module = path.split(":")[0]
        if module in skipped or path.startswith(DIFFER_IN_ANY_CASE + OF_MATPLOTLIB + but):
            continue
        allowed = next((v for k, v in MAY_LACK.items() if path.startswith(k)), None)
        found = light["containers"].get(path)
        if found == expected or (found is None and allowed):
            continue
        less = Counter(expected) - Counter(found or ())
        more = Counter(found or ()) - Counter(expected)
        less = Counter({k: n for k, n in less.items() if not k.startswith(allowed or ("\0",))})
        if less or more or found is None or not allowed:
            yield path, (dict(less), dict(more), found is None)


#: Prints what each program prints, and its error.
FORK = """
import json, os, sys, traceback
os.environ['MPLBACKEND'] = 'agg'
import tensorflow as tf
results = []
for program in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        out = sys.stdout = os.fdopen(write, 'w')
        try: exec(program, {'tf': tf, 'sys': sys})
        except BaseException as error: print(type(error), error)
        out.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file: results.append(file.read())
    os.wait()
print(json.dumps(results))
"""
Outputs = dict[str, dict[str, str]]


def printed(run_python: Callable[..., str], programs: Sequence[str]) -> Outputs:
    """Return what each program prints after a stock and after a light import."""
    runs = {"stock": FORK, "light": ADD + FORK}
    return {
        mode: dict(
            zip(
                programs,
                json.loads(run_python(text, json.dumps(programs)).splitlines()[-1]),
                strict=True,
            )
        )
        for mode, text in runs.items()
    }
