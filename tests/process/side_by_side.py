"""What processes do that share a cache, and stock's answer to it: `side_by_side.py WHAT ...`.

Each prints a line of JSON; the tests of `test_side_by_side.py` say which.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from forked_loads import in_fork
from stopped_loads import digest, loaders

import fastload
from tests.small_models import INPUTS


def tell(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def by_stock(load: Callable[[], Any]) -> Any:
    with fastload.disabled():
        return load()


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


def replace(path: str, versions: str, seconds: str) -> None:
    """Put one version after the other at *path*, each at once."""
    draft, until = Path(path).with_suffix(".draft"), time.monotonic() + float(seconds)
    count = 0
    while time.monotonic() < until:
        for version in sorted(Path(versions).iterdir()):
            shutil.copy(version, draft)
            draft.replace(path)
            count += 1
            time.sleep(0.02)
    tell(count)


def save_over(path: str, versions: str, seconds: str) -> None:
    """Write one version after the other into the folder *path*, file by file, as savers do."""
    until, count = time.monotonic() + float(seconds), 0
    while time.monotonic() < until:
        for version in sorted(Path(versions).iterdir()):
            shutil.copytree(version, path, dirs_exist_ok=True)
            count += 1
            time.sleep(0.02)
    tell(count)


def load_on(package: str, path: str, versions: str, seconds: str) -> None:
    """Load what is at *path* until the time is up; then each version, at a place of its own.

    Tells how often a load gave a version, something else, or an error; and the versions of which a
    load gave something else afterwards.
    """
    load = loaders(package)["model"]
    known = {}
    for version in sorted(Path(versions).iterdir()):
        with fastload.disabled():
            known[version] = digest(load(version), may_run=True)
    counts, until = Counter[str](), time.monotonic() + float(seconds)
    while time.monotonic() < until:
        try:
            found = digest(load(Path(path)), may_run=True)
            counts["version" if found in known.values() else "mixture"] += 1
        except Exception as error:
            counts[type(error).__name__] += 1
    copies = Path(path).with_suffix(f".copies-{os.getpid()}")
    wrong = []
    for version, expected in known.items():
        copy = copies / version.name
        copies.mkdir(exist_ok=True)
        shutil.copytree(version, copy) if version.is_dir() else shutil.copy(version, copy)
        found = [digest(load(copy), may_run=True) for _ in range(2)]
        wrong += [version.name] if set(found) != {expected} else []
    tell({"counts": counts, "wrong": wrong})


def few_descriptors(kind: str, package: str, path: str) -> None:
    """Load with room for a few more open files than there are, cold and warm, as stock does.

    Tells, for each room, what stock gives, and what fastload gives twice.
    """
    import resource

    __import__(package)
    load = loaders(package)[kind]
    in_fork(lambda: [digest(by_stock(lambda: load(Path(path))), may_run=False)])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def trial(room: int, *, is_stock: bool) -> list[str]:
        found = []
        for _ in range(1 if is_stock else 2):
            highest = max(int(each) for each in os.listdir("/proc/self/fd"))  # noqa: PTH208
            filled = []
            while not filled or filled[-1] < highest:  # new ones take the lowest number
                filled.append(os.open(os.devnull, os.O_RDONLY))
            resource.setrlimit(resource.RLIMIT_NOFILE, (filled[-1] + 1 + room, hard))
            try:
                with fastload.disabled() if is_stock else nullcontext():
                    loaded = load(Path(path))
            except Exception as error:
                found.append(type(error).__name__)
                continue
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                for each in filled:
                    os.close(each)
            found.append(digest(loaded, may_run=False))
        return found

    for room in range(1, 16):
        cache = Path(os.environ["FASTLOAD_CACHE_DIR"])
        shutil.rmtree(cache, ignore_errors=True)
        stock = in_fork(lambda room=room: trial(room, is_stock=True))
        cold = in_fork(lambda room=room: trial(room, is_stock=False))
        in_fork(lambda: [digest(load(Path(path)), may_run=False)])
        warm = in_fork(lambda room=room: trial(room, is_stock=False))
        tell({"room": room, "stock": stock, "found": [*cold, *warm]})


_CELL = """
class Scale(keras.layers.Layer):
    def call(self, x):
        return x * {factor}
    def get_config(self):
        return super().get_config()

def loss(y, p):
    return keras.ops.mean(abs(y - p)) * {factor} if hasattr(keras, "ops") else (
        keras.backend.mean(abs(y - p)) * {factor})
"""


def told_by(model: Any) -> list[Any]:
    """Return what a model predicts, twice, and how it trains."""
    predicted = [np.asarray(model.predict(INPUTS, verbose=0)).tolist() for _ in range(2)]
    y = np.zeros_like(predicted[0])
    trained = [np.asarray(model.train_on_batch(INPUTS, y)).tolist() for _ in range(2)]
    return [predicted, trained, np.asarray(model.predict(INPUTS, verbose=0)).tolist()]


def notebook(package: str, path: str) -> None:
    """Define a class and a loss anew, as cells of a notebook do, and load after each time."""
    keras = importlib.import_module(package)
    space: dict[str, Any] = {"keras": keras, "__name__": "__main__"}
    for number, factor in enumerate((2.0, 3.0, 2.0, 5.0)):
        exec(compile(_CELL.format(factor=factor), f"<cell {number}>", "exec"), space)
        objects = {name: space[name] for name in ("Scale", "loss")}
        if number == 0:
            keras.utils.set_random_seed(1)
            layers = [keras.Input((4,)), keras.layers.Dense(4, name="d"), objects["Scale"]()]
            model = keras.Sequential(layers)
            model.compile("sgd", objects["loss"])
            model.save(path)
        loads = [
            lambda objects=objects: keras.models.load_model(path, custom_objects=objects),
            *[lambda objects=objects: fastload.load_model(path, objects, keras=package)] * 2,
        ]
        stock, *ours = (told_by(load()) for load in loads)
        tell({"factor": factor, "same": ours == [stock] * 2, "predicted": stock[0][0][0]})


def package_of(folder: str, package: str, path: str, state: str) -> None:
    """Load by the classes of the package `own_layers` in *folder*; save the model first if new."""
    sys.path.insert(0, folder)
    keras = importlib.import_module(package)
    own = importlib.import_module("own_layers")
    objects = {"Scale": own.Scale, "loss": own.loss}
    if state == "new":
        keras.utils.set_random_seed(1)
        layers = [keras.Input((4,)), keras.layers.Dense(4, name="d"), own.Scale(name="s")]
        model = keras.Sequential(layers)
        model.compile("sgd", own.loss)
        model.save(path)
    stock = told_by(keras.models.load_model(path, custom_objects=objects))
    ours, outcomes = [], []
    for _ in range(2):
        ours.append(told_by(fastload.load_model(path, objects, keras=package)))
        outcomes.append(outcome())
    if Path(path).suffix:  # a SavedModel has functions of its own
        with keras.utils.custom_object_scope(objects):
            flat = fastload.load_predictor(path, keras=package)
        model = keras.models.load_model(path, custom_objects=objects)
        close = np.allclose(np.asarray(flat(INPUTS)), np.asarray(model(INPUTS)), rtol=1e-6)
        ours[0] = ours[0] if close else "the predictor gives something else"
    tell({"same": ours == [stock] * 2, "outcomes": outcomes, "told": stock[0][0]})


def load_again(package: str, path: str, times: str) -> None:
    """Load one model so many times."""
    load = loaders(package)["model"]
    expected = by_stock(lambda: digest(load(Path(path)), may_run=True))
    found = Counter[str]()
    for _ in range(int(times)):
        is_right = digest(load(Path(path)), may_run=True) == expected
        found[outcome() if is_right else "wrong"] += 1
    tell(found)


def under_eviction(package: str, versions: str, seed: str, seconds: str) -> None:
    """Load models in turn while the cache has room for one of them."""
    load = loaders(package)["model"]
    paths = sorted(Path(versions).iterdir())
    expected = {path: by_stock(lambda p=path: digest(load(p), may_run=True)) for path in paths}
    counts, until, turn = Counter[str](), time.monotonic() + float(seconds), int(seed)
    while time.monotonic() < until:
        turn += 1 + int(seed)
        path = paths[turn % len(paths)]
        try:
            is_right = digest(load(path), may_run=True) == expected[path]
            counts[outcome() if is_right else "wrong"] += 1
        except Exception as error:
            counts[f"raised {type(error).__name__}"] += 1
    tell(counts)


_ALL = (replace, save_over, load_on, few_descriptors, notebook, package_of, load_again)
_PROGRAMS = {each.__name__: each for each in (*_ALL, under_eviction)}

if __name__ == "__main__":
    _PROGRAMS[sys.argv[1]](*sys.argv[2:])
