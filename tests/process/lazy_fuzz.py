"""Run random models within random budgets: `lazy_fuzz.py KERAS FIRST_SEED COUNT THREADS`.

THREADS is how many operations TensorFlow runs at once; its default is as many as there are cores.
Prints a line of JSON as each model begins, and one as it ends: what was wrong with it, if anything.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from random_models import RandomModels

import fastload
from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.residency import _known

INTERVAL_S = 0.005
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


class Residency:
    """The most that was in memory of some mapped files.

    The kernel writes its list piece by piece, so nothing is mapped or dropped meanwhile: a weight
    that goes, and the one that comes for it, would both be counted.

    Args:
        folder: where the files are.
        budget: of the weights in them.
    """

    def __init__(self, folder: Path, budget: Budget) -> None:
        self._folder, self._budget = str(folder), budget
        self.most = 0

    def now(self) -> int:
        """Return how many bytes are in memory, by what the kernel says."""
        total, is_ours = 0, False
        with self._budget.changed:
            listed = Path("/proc/self/smaps").read_text()
        for line in listed.splitlines():
            if _MAPPING.match(line):
                is_ours = self._folder in line and ".h5" in line
            elif is_ours and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
        return total

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look again and again while the block runs."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(INTERVAL_S):
                self.most = max(self.most, self.now())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()


def calls(model: Any) -> dict[str, Callable[[Any], Any]]:
    """Return the ways in which *model* is called."""
    if getattr(model, "jit_compile", None):  # what XLA computes differs in the last bits
        model.jit_compile = False
    return {
        "eager": lambda inputs: model(inputs, training=False),
        "predict": lambda inputs: model.predict(inputs, batch_size=2, verbose=0),
        "predict again": lambda inputs: model.predict(inputs, batch_size=2, verbose=0),
        "function": tf.function(lambda inputs: model(inputs, training=False)),
        "eager again": lambda inputs: model(inputs, training=False),
    }


def answers(model: Any, inputs: Any) -> dict[str, list[bytes]]:
    """Return what *model* says to *inputs*, each way it is asked."""
    return {
        name: [np.asarray(each).tobytes() for each in tf.nest.flatten(call(inputs))]
        for name, call in calls(model).items()
    }


def chosen_budget(path: Path, keras: str, random: np.random.Generator) -> int:
    """Return a budget between the smallest and what the whole model takes, often the smallest."""
    try:
        fastload.load_model(path, memory_budget=1, keras=keras)
    except MemoryBudgetError as error:
        smallest = error.needed
    lender = _known[fastload.load_model(path, memory_budget=smallest, keras=keras)]
    if random.random() < 0.4:
        return smallest
    return int(random.integers(smallest, lender.plan.total_nbytes))


def faults(folder: Path, keras: str, seed: int) -> list[str]:
    """Return what is wrong with the lazy form of the model that *seed* makes."""
    random = np.random.default_rng(seed)
    module = importlib.import_module(keras)
    module.utils.set_random_seed(seed)
    models = RandomModels(module, random)
    path = folder / f"{seed}.keras"
    model = models.model(int(random.integers(2, 9)))
    model.save(path)
    inputs = models.sample(model)
    expected = answers(module.models.load_model(path), inputs)
    limit = chosen_budget(path, keras, random)
    lazy = fastload.load_model(path, keras=keras, memory_budget=limit)
    lender = _known[lazy]
    residency = Residency(folder, lender.budget)
    with residency.watched():
        actual = answers(lazy, inputs)
    found = [f"{name}: other bits" for name in expected if expected[name] != actual[name]]
    room = limit - lender.plan.kept_nbytes
    if lender.budget.high_water > limit:
        found.append(f"high water: {lender.budget.high_water} of {limit}")
    if residency.most > room:
        found.append(f"resident: {residency.most} of {room}")
    return found


def tell(**what: Any) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(keras: str, first: int, count: int, threads: int) -> None:
    """Make and run the models."""
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for seed in range(first, first + count):
        tell(begins=seed)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FASTLOAD_CACHE_DIR"] = str(Path(folder) / "cache")
            try:
                found = faults(Path(folder), keras, seed)
            except Exception:
                found = [traceback.format_exc()]
        tell(ends=seed, faults=found)
        if found:
            sys.exit(1)
        importlib.import_module(keras).backend.clear_session()
        gc.collect()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
