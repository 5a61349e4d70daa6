"""Fork while a thread loads: `forked_loads.py KIND KERAS STATE MODEL OTHER EVERY FIRST`.

STATE is `cold` for loads that write the twin, `warm`, or `fresh` for warm loads that are the first
to use TensorFlow. At every EVERY-th step of the load from FIRST on, the process forks, and the
child loads both models. Prints a line of JSON for each fork: what was wrong, and where anything
was, what is wrong if the child loads with stock at that step.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stopped_loads import calling_at_steps, digest, left_over, loaders, steps_of

import fastload

#: How long a step waits for the fork, which h5py puts off while a thread is in HDF5.
_MOST_S = 2
#: Of a child that loads two small models.
LIMIT_S = 30


def in_fork(
    work: Callable[[], list[str]], forked: Callable[[], Any] = int, limit_s: int = LIMIT_S
) -> list[str]:
    """Return what *work* returns in a child, or that it hung or crashed; call *forked* here."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(limit_s)
        try:
            found = work()
        except BaseException:
            found = [traceback.format_exc()]
        os.write(writer, json.dumps(found).encode()[:60_000])
        os._exit(0)
    forked()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(content) if content else [f"it ended with {status}, or hung"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is loaded in parent and child.

    Attributes:
        load: loads one model.
        paths: the model that a thread loads, and another one.
        is_cold: the cache is empty before the load.
    """

    load: Callable[[Path], Any]
    paths: list[Path]
    is_cold: bool

    def again(self) -> Any:
        """Load as the thread does."""
        if self.is_cold:
            shutil.rmtree(os.environ["FASTLOAD_CACHE_DIR"], ignore_errors=True)
        return self.load(self.paths[0])

    def by_stock(self, path: Path) -> Any:
        with fastload.disabled():
            return self.load(path)

    def digests(self, load: Callable[[Path], Any]) -> list[str]:
        """Load all, and say what came of it; functions run where stock can run them."""
        may_run = not is_initialised()
        return [told(path, load(path), may_run=may_run) for path in self.paths]

    def forked_at(self, step: str, load: Callable[[Path], Any]) -> list[str]:
        """Load in a thread, fork at *step*; return what child and thread say of what they loaded.

        A child in which fastload loads says besides what is left of the other thread's load.
        """
        reached, forked = threading.Event(), threading.Event()
        said: list[str] = []

        def act(name: str) -> None:
            if name == step:
                reached.set()
                forked.wait(_MOST_S)

        def run() -> None:
            try:
                with calling_at_steps(act):
                    loaded = self.again()
                said.append(told(self.paths[0], loaded, may_run=True))
            except BaseException:
                said.append(traceback.format_exc())
            finally:
                reached.set()

        thread = threading.Thread(target=run)
        thread.start()
        reached.wait()
        left = left_over if load is self.load else list
        child = in_fork(lambda: [*left(), *self.digests(load)], forked.set)
        thread.join()
        return [*child, *said]


def told(path: Path, loaded: Any, *, may_run: bool) -> str:
    return f"{path.name}: {digest(loaded, may_run=may_run)}"


def is_initialised() -> bool:
    """Say whether TensorFlow has started its threads, which no child has."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return context is not None and context.context()._initialized


def trials(trial: Trial, state: str, steps: slice, expected: list[str]) -> None:
    """Fork at each of the *steps*, and say how it went."""
    for step in in_fork(lambda: steps_of(trial.again))[steps]:
        start = time.perf_counter()

        def try_it(load: Callable[[Path], Any], step: str = step) -> list[str]:
            return [each for each in trial.forked_at(step, load) if each not in expected]

        if state == "fresh":
            wrong = in_fork(lambda: try_it(trial.load), limit_s=2 * LIMIT_S)
            stock = in_fork(lambda: try_it(trial.by_stock), limit_s=2 * LIMIT_S) if wrong else []
        else:
            wrong = try_it(trial.load)
            stock = try_it(trial.by_stock) if wrong else []
        seconds = time.perf_counter() - start
        line = {"step": step, "wrong": wrong, "stock": stock, "seconds": seconds}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main(kind: str, package: str, state: str, *rest: str) -> None:
    """Make ready what *state* says, and fork at each step."""
    import tensorflow as tf

    __import__(package)
    model, other, every, first = rest
    paths = [Path(model), Path(other)]
    trial = Trial(load=loaders(package)[kind], paths=paths, is_cold=state == "cold")
    # With outputs, and without; and the twins are written, and what is kept beside them.
    expected = in_fork(lambda: [*trial.digests(trial.by_stock), *trial.digests(trial.by_stock)])
    in_fork(lambda: [*trial.digests(trial.load), *trial.digests(trial.load)])
    if state != "fresh":
        tf.constant(1) + 1
    trials(trial, state, slice(int(first), None, int(every)), expected)


if __name__ == "__main__":
    os.environ["FASTLOAD_LOCK_TIMEOUT"] = "1"
    faulthandler.register(signal.SIGALRM, chain=True)
    main(*sys.argv[1:])
