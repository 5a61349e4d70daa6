"""Interrupt loads: `interrupted_loads.py KIND KERAS STATE MODEL OTHER EVERY FIRST`.

STATE is `cold` for loads that write the twin, `warm`, or `random` for warm loads that an alarm
interrupts at random moments, EVERY of them from the seed FIRST on. Elsewhere the loads are
interrupted at every EVERY-th step from FIRST on, as the step begins. After each interrupt, stock
and fastload load both models. Prints a line of JSON for each.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stopped_loads import calling_at_steps, digest, left_over, loaders, steps_of

import fastload


def global_state(package: str) -> dict[str, Any]:
    """Return what a load must leave as it was."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    backend = __import__(package).backend
    return {
        "floatx": backend.floatx(),
        "learning phase": getattr(backend, "learning_phase", int)() if package != "keras" else 0,
        "eager": tf.executing_eagerly(),
        "device": context.context().device_name,
        "options": context.context().function_call_options.config_proto_serialized,
        "variable creators": len(tf.compat.v1.get_default_graph()._variable_creator_stack),
        "descriptors": len(list(Path("/proc/self/fd").glob("*"))),
        "environment": dict(os.environ),
        "working folder": Path.cwd(),
        "half imported": [
            name
            for name, module in list(sys.modules.items())
            if getattr(getattr(module, "__spec__", None), "_initializing", False)
            and name != "__main__"
        ],
    }


def draws() -> str:
    """Return the state of the generators that loads draw from."""
    import numpy as np

    return str((random.getstate(), np.random.get_state()))  # noqa: NPY002 - Keras draws from it


class Interrupted:
    """Loads that are interrupted.

    Args:
        kind: of the load.
        package: which Keras.
        paths: of the models.
    """

    def __init__(self, kind: str, package: str, paths: list[Path], *, is_cold: bool) -> None:
        self.package, self.paths, self.is_cold = package, paths, is_cold
        self.load = loaders(package)[kind]
        self.expected = self.digests()
        before = draws()
        self.by_stock()
        self.draws_in_load = before != draws()

    def again(self) -> Any:
        if self.is_cold:
            shutil.rmtree(os.environ["FASTLOAD_CACHE_DIR"], ignore_errors=True)
        return self.load(self.paths[0])

    def by_stock(self) -> Any:
        with fastload.disabled():
            return self.load(self.paths[0])

    def digests(self) -> list[str]:
        """Load all by stock, and say what came of it."""
        found = []
        for path in self.paths:
            with fastload.disabled():
                found.append(digest(self.load(path), may_run=True))
        return found

    def wrong(self, stop: Callable[[Callable[[], Any]], bool], load: Callable[[], Any]) -> Any:
        """Interrupt *load*; return what is wrong then, or None if it came to its end."""
        gc.collect()
        before, drawn = global_state(self.package), draws()
        if not stop(load):
            return None
        found = left_over()
        gc.collect()
        after = global_state(self.package)
        found += [name for name in before if before[name] != after[name]]
        if drawn != draws() and not self.draws_in_load:  # which is part of what stock does
            found.append("draws")
        try:
            for path, wanted in zip(self.paths, self.expected, strict=True):
                if digest(self.load(path), may_run=True) != wanted:
                    found.append(f"{path.name}: not what stock loads")
            if self.digests() != self.expected:
                found.append("stock loads something else")
        except BaseException:
            found.append(traceback.format_exc()[-1500:])
        return found


def at_step(step: str) -> Callable[[Callable[[], Any]], bool]:
    """Return what interrupts a load at *step*."""

    def act(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    def stop(load: Callable[[], Any]) -> bool:
        try:
            with calling_at_steps(act):
                load()
        except KeyboardInterrupt:
            return True
        return False

    return stop


def after_s(seconds: float) -> Callable[[Callable[[], Any]], bool]:
    """Return what interrupts a load after so many *seconds*."""

    def stop(load: Callable[[], Any]) -> bool:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                load()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            return True
        return False

    return stop


def stops(trial: Interrupted, state: str, every: int, first: int) -> Iterator[tuple[str, Any]]:
    """Yield names of moments, and what interrupts a load then."""
    if state != "random":
        for step in steps_of(trial.again)[first::every]:
            yield step, at_step(step)
        return
    draw, times = random.Random(first), []
    for _ in range(3):
        start = time.perf_counter()
        trial.again()
        times.append(time.perf_counter() - start)
    for number in range(every):
        yield f"moment {number}", after_s(max(draw.random() * min(times), 1e-6))


def main(kind: str, package: str, state: str, *rest: str) -> None:
    """Interrupt loads one after the other."""
    model, other, every, first = rest
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    trial = Interrupted(kind, package, [Path(model), Path(other)], is_cold=state == "cold")
    for path in 2 * trial.paths:
        digest(trial.load(path), may_run=True)
    for name, stop in stops(trial, state, int(every), int(first)):
        wrong = trial.wrong(stop, trial.again)
        if wrong is not None:
            stock = (trial.wrong(stop, trial.by_stock) or []) if wrong else []
            sys.stdout.write(json.dumps({"step": name, "wrong": wrong, "stock": stock}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
