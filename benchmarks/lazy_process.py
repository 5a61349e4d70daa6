"""A process that loads networks and calls them as it is told, a JSON line at a time.

`python -m benchmarks.lazy_process SIZE GENERATION PATH` first imports what loads and calls import,
and answers with one line. `Measured` is the other end.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import Generation
from benchmarks.lazy_networks import SIZES, Size
from benchmarks.measure import ROOT
from benchmarks.networks import stock_keras
from fastload.bench.outputs import digest

STOCK: Final = "stock"
CALL: Final = "model(x)"
PREDICT: Final = "model.predict(x)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured.

    Attributes:
        size: of the network, by name.
        generation: the Keras that saved it and loads it.
        path: where it is.
    """

    size: str
    generation: Generation
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load that is asked for.

    Attributes:
        weights: `stock`, or fastload's word for it.
        budget: bytes; None for no `memory_budget=`.
        name: what calls name it by.
    """

    weights: str
    budget: int | None = None
    name: str = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that is asked for.

    Attributes:
        how: `model(x)` or `model.predict(x)`.
        batch: inputs at once.
        name: of a load.
    """

    how: str = CALL
    batch: int = 1
    name: str = "model"


class Measured:
    """A running process.

    Attributes:
        process: it.
        subject: what it loads.
    """

    def __init__(self, process: subprocess.Popen[str], subject: Subject) -> None:
        self.process, self.subject = process, subject

    def wait(self) -> None:
        """Wait until it has imported all.

        Raises:
            EOFError: it has ended.
        """
        self._answer()

    def load(self, asked: Load) -> Path:
        """Load, and return the twin; no file for a stock load.

        Raises:
            EOFError: it has ended.
        """
        return Path(self._ask("load", asdict(asked))["twin"])

    def call(self, asked: Call) -> tuple[float, str]:
        """Call; return the seconds and a digest of the outputs.

        Raises:
            EOFError: it has ended.
        """
        answer = self._ask("call", asdict(asked))
        return answer["seconds"], answer["digest"]

    def _ask(self, verb: str, arguments: dict[str, Any]) -> Any:
        assert self.process.stdin is not None  # noqa: S101 - it was started with one
        try:
            self.process.stdin.write(json.dumps([verb, arguments]) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EOFError from None
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None  # noqa: S101 - it was started with one
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise EOFError
        return json.loads(line)


@contextmanager
def measured(subject: Subject, cache: Path) -> Iterator[Measured]:
    """Give a process that can load *subject*, and end it.

    Args:
        subject: what it is to load.
        cache: fastload's folder.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOAD")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    ours = {
        "FASTLOAD_CACHE_DIR": str(cache),
        "FASTLOAD_STRICT": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT))),
    }
    module = [sys.executable, "-m", __name__, subject.size, subject.generation.value]
    process = subprocess.Popen(
        [*module, str(subject.path)],
        env=kept | quiet | ours,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield Measured(process, subject)
        finally:
            process.kill()


class _Server:
    """What the process does."""

    def __init__(self, size: Size, generation: Generation, path: str) -> None:
        self._size, self._path = size, path
        self._keras = stock_keras(generation)
        self._fastload = importlib.import_module("fastload")
        self._models: dict[str, Any] = {}
        importlib.import_module("fastload.api.load_model")

    def load(self, *, weights: str, budget: int | None, name: str) -> dict[str, Any]:
        """Load; XLA stays away, as it does from lazy models."""
        if weights == STOCK:
            model, twin = self._keras.models.load_model(self._path), ""
        else:
            options = {"memory_budget": budget} if budget else {}
            model = self._fastload.load_model(self._path, weights=weights, **options)
            twin = str(self._fastload.last_load().twin)
        if hasattr(model, "supports_jit"):
            model.supports_jit = False
        model.jit_compile = False
        self._models[name] = model
        return {"twin": twin}

    def call(self, *, how: str, batch: int, name: str) -> dict[str, Any]:
        """Call, and say how long it took."""
        model, inputs = self._models[name], self._size.inputs(batch)
        start = time.perf_counter()
        if how == CALL:
            outputs = model(inputs, training=False).numpy()
        else:
            outputs = model.predict(inputs, batch_size=batch, verbose=0)
        return {"seconds": time.perf_counter() - start, "digest": digest(outputs)}


def main(arguments: list[str]) -> None:
    """Do what each line of standard input asks for; one line of standard output answers it."""
    size, generation, path = arguments
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        server = _Server(SIZES[size], Generation(generation), path)
        answers.write("{}\n")
        answers.flush()
        for line in sys.stdin:
            verb, asked = json.loads(line)
            answers.write(json.dumps(getattr(server, verb)(**asked)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
