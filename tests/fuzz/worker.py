"""Load what one is told to, and say what came of it: `python -m tests.fuzz.worker WHOSE`.

WHOSE is `stock` or `fastload`. Each line read is a `Job` as JSON, each line written its outcome.
A process that dies in between is an outcome too, which the one who asked sees.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: What a load may take besides what an idle process has.
MOST_BYTES = 3 * 2**30
#: What two loads of one file may say differently: addresses, and names of temporary folders.
_CHANCE = re.compile(r"0x[0-9a-f]+|(?<=/tmp)[\w./-]*|(?<=at )\d{9,}|\bid=\d+")
#: What Keras names in the order of a set.
_SET = re.compile(r"(?<=unmatched objects: \[).*(?=\])", re.DOTALL)
#: A mutated size asks for more than there is; who notices first is chance.
OF_MEMORY = ("MemoryError", "ResourceExhaustedError")

Job = dict[str, str]
Load = Callable[[], Any]


def _loads(whose: str, job: Job) -> list[Load]:
    """Return what is called: stock once, fastload twice, the second time with a twin or refusal."""
    path, package = job["path"], job["package"]
    if package == "tensorflow":
        tensorflow = importlib.import_module("tensorflow")
        if whose == "stock":
            return [lambda: tensorflow.saved_model.load(path)]
        fastload = importlib.import_module("fastload")
        return [lambda: fastload.load_saved_model(path)] * 2
    if whose == "stock":
        return [lambda: importlib.import_module(package).models.load_model(path)]
    fastload = importlib.import_module("fastload")
    return [lambda: fastload.load_model(path, keras=package)] * 2


def outcome(whose: str, load: Load, package: str) -> dict[str, Any]:
    """Load, and describe the error or the model."""
    if package != "tensorflow":
        importlib.import_module(package).backend.clear_session()
    start = time.perf_counter()
    try:
        loaded = load()
        seconds = time.perf_counter() - start
        said: dict[str, Any] = {"made": list(_described(loaded, package))}
    except (Exception, KeyboardInterrupt) as error:
        seconds = time.perf_counter() - start
        said = {"raised": [type(error).__name__, words_of(error)]}
    said["seconds"] = seconds
    if whose == "fastload":
        said["report"] = _report()
    return said


def words_of(error: BaseException) -> str:
    """Return what an error says, without what chance has a part in."""
    text = _CHANCE.sub("~", str(error))
    return _SET.sub(lambda found: str(sorted(found[0].lstrip("<").split(", <"))), text)


def _report() -> list[str | None]:
    fastload = importlib.import_module("fastload")
    report = fastload.last_load()
    migrated = (
        report.twin is not None and b"fastload/documents/migration" in report.twin.read_bytes()
    )
    return [report.outcome.value, report.code, report.reason, "migrated" if migrated else None]


def _described(loaded: Any, package: str) -> Iterator[Any]:
    """Yield what a program could tell two models apart by."""
    yield type(loaded).__name__
    if package == "tensorflow":
        variables = getattr(loaded, "variables", [])
        yield from (_array(each) for each in variables)
        signatures = getattr(loaded, "signatures", {})
        yield from ([name, _called(signatures[name])] for name in sorted(signatures))
        return
    yield json.dumps(loaded.get_config(), default=str, sort_keys=True)
    yield from map(_weight, loaded.weights)
    optimizer = getattr(loaded, "optimizer", None)
    yield type(optimizer).__name__
    variables = getattr(optimizer, "variables", ())
    variables = variables() if callable(variables) else variables
    yield from (_array(each) for each in variables)
    yield _called(loaded)


def _weight(weight: Any) -> list[Any]:
    """Describe a weight; in tf-keras, the words of a lookup layer are one, with a table alone."""
    if not hasattr(weight, "name"):
        return [type(weight).__name__, sorted(map(repr, weight.get_tensors()))]
    return [weight.name, bool(weight.trainable), _array(weight)]


def _called(function: Any) -> Any:
    """Return digests of what *function* makes of two rows, or what it raises."""
    import tensorflow as tf

    try:
        if hasattr(function, "structured_input_signature"):
            specs = function.structured_input_signature[1]
            given = {name: _two(each.shape, each.dtype.name) for name, each in specs.items()}
            found = function(**given)
        else:
            inputs = [_two(each.shape, _name_of(each.dtype)) for each in function.inputs]
            found = function(inputs[0] if len(inputs) == 1 else inputs)
        return [_array(each) for each in tf.nest.flatten(found)]
    except Exception as error:
        return [type(error).__name__, words_of(error)[:300]]


def _name_of(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))


def _two(shape: Any, dtype: str) -> Any:
    """Return two rows for an input."""
    import tensorflow as tf

    sizes = [2 if size is None else size for size in shape]
    return tf.fill(sizes, "a") if dtype == "string" else tf.ones(sizes, dtype)


def _array(value: Any) -> list[Any]:
    import numpy as np

    array = np.asarray(value)
    content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return [str(array.dtype), list(array.shape), hashlib.sha256(content).hexdigest()[:16]]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _limit() -> None:
    """Have what asks for too much memory fail, for the sake of the machine."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES, taken + MOST_BYTES))


def main(whose: str) -> None:
    """Serve until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    warnings.simplefilter("ignore")
    for name in ("tensorflow", "keras", "tf_keras"):
        importlib.import_module(name)
    logger = importlib.import_module("absl.logging")
    logger.set_verbosity(logger.FATAL)
    importlib.import_module("tensorflow").get_logger().setLevel("FATAL")
    _limit()
    for line in sys.stdin:
        job: Job = json.loads(line)
        found = []
        if "save" in job:
            targets = importlib.import_module("tests.fuzz.targets")
            targets.save_models(targets.TARGETS[job["save"]], Path(job["folder"]))
        else:
            os.environ["FASTLOAD_CACHE_DIR"] = job["cache"]
            found = [outcome(whose, load, job["package"]) for load in _loads(whose, job)]
        out.write(json.dumps({"outcomes": found, "resident": _resident()}) + "\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
