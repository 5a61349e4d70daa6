"""Runs programs, each as the first touch of TensorFlow after a prediction; tells what they print.

`first_touch.py stock|deferred <SavedModel> <JSON list of texts>` prints a JSON list. The processes
are forked after TensorFlow was imported, or started, and before its threads are there; each loads
the predictor itself. With `stock`, TensorFlow is imported as a whole.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator

import numpy as np

import fastload
from fastload.runtime.core import early

X = np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4)


def outputs(path: str, programs: list[str]) -> Iterator[str]:
    """Yield what each program prints; two run at a time."""
    started: list[int] = []
    for program in programs:
        started.append(_start(path, program))
        if len(started) > 1:
            yield _output(started.pop(0))
    for each in started:
        yield _output(each)


def _start(path: str, program: str) -> int:
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        sys.stdout = os.fdopen(write, "w")
        _run(path, program)
        sys.stdout.flush()
        os._exit(0)
    os.close(write)
    return read


def _output(read: int) -> str:
    with os.fdopen(read) as file:
        text = file.read()
    return re.sub(r"0x[0-9a-f]{6,}", "0x", text)


def _run(path: str, program: str) -> None:
    try:
        predict = fastload.load_predictor(path, strict=True)
        y = predict(X)
        y = y if hasattr(y, "shape") else next(iter(y.values()))
        if (os.environ["FASTLOAD_DEFER"] == "1") != is_waiting():
            print("not as it should be", end=": ")  # noqa: T201 - the output is compared
        exec(program, {"np": np, "sys": sys, "X": X, "y": y, "predict": predict, "path": path})
    except BaseException as error:
        print(type(error), error)  # noqa: T201 - the same


def is_waiting() -> bool:
    return type(sys.modules["tensorflow"]).__name__ == "LazyModule"


def main() -> None:
    mode, path, programs = sys.argv[1:]
    os.environ["FASTLOAD_DEFER"] = str(int(mode == "deferred"))
    early.start(may_defer=mode == "deferred")
    found = list(outputs(path, json.loads(programs)))
    sys.__stdout__.write(json.dumps(found))  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
