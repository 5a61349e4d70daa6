"""One model, one temporary folder, and the processes that load the model with caches in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastload.bench.job import Job, Told
from fastload.bench.processes import environment, run_module
from fastload.errors import MissingTensorFlowError, UnsupportedSourceError
from fastload.loading.request import Request, current_settings
from fastload.runtime.core.keras import needs_no_tensorflow
from fastload.source.detect import ModelSource, SourceKind
from fastload.twin.index import read_index

if TYPE_CHECKING:
    from fastload.api.explain import Function
    from fastload.runtime.core.keras import KerasChoice


class State(str, Enum):
    """Who loads, and what is in the cache."""

    STOCK = "stock"  #: the stock loader
    FIRST = "first"  #: fastload, with an empty cache
    LATER = "later"  #: fastload, with the twin


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a measurement is.

    Attributes:
        done: processes that have ended.
        total: how many there will be, as far as that is known.
        what: what the next one does.
    """

    done: int
    total: int
    what: str


class Steps:
    """Counts the processes of a measurement, and tells each before it starts.

    Args:
        tell: is told each step.
    """

    def __init__(self, tell: Callable[[Step], None] | None = None) -> None:
        self._tell, self._done = tell, 0
        self.total = 0

    def expect(self, more: int) -> None:
        """Say how many processes there will be from now on."""
        self.total = self._done + more

    def next(self, what: str) -> None:
        """Say what the next process does."""
        self.total = max(self.total, self._done + 1)
        if self._tell is not None:
            self._tell(Step(done=self._done, total=self.total, what=what))
        self._done += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a model is measured.

    Attributes:
        source: the model.
        path: of the model, absolute.
        keras: which Keras loads it.
        signature: the function of a SavedModel that predicts; None for the default.
        work: a temporary folder.
        steps: counts the processes.
    """

    source: ModelSource
    path: str
    keras: KerasChoice = "auto"
    signature: str | None = None
    work: Path = Path()
    steps: Steps = field(default_factory=Steps)

    @property
    def is_folder(self) -> bool:
        """It is a SavedModel."""
        return self.source.kind is SourceKind.SAVED_MODEL

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions of fastload's that load such a model."""
        if self.is_folder:
            return ("load_model", "load_saved_model", "load_predictor")
        return ("load_model", "load_predictor")

    def chosen(self, asked: Collection[Function] = ()) -> list[Function]:
        """Return the functions that are measured: those *asked* for, or all that bring anything.

        Raises:
            UnsupportedSourceError: none of those *asked* for loads such a model.
        """
        if asked:
            chosen = [each for each in self.functions if each in asked]
        elif self.keras != "tf_keras" and needs_no_tensorflow(os.environ):
            # A predictor is a function of TensorFlow.
            chosen = [each for each in self.functions if each != "load_predictor"]
        else:
            chosen = list(self.functions)
        if not chosen:
            others = " or ".join(self.functions)
            raise UnsupportedSourceError(f"{self.path!r} is not a SavedModel; measure {others}")
        return chosen

    def cache(self, function: Function) -> Path:
        """Return the cache folder of later loads by *function*."""
        return self.work / function

    def job(self, function: Function, *, is_stock: bool) -> Job:
        """Return a load by *function*, or by the stock loader in its place."""
        if is_stock and function == "load_predictor":
            function = "load_saved_model" if self.is_folder else "load_model"
        return Job(
            path=self.path,
            is_folder=self.is_folder,
            function=function,
            is_stock=is_stock,
            keras=self.keras,
            signature=self.signature,
        )

    def run(self, job: Job, state: State, cache: Path | None = None, **variables: str) -> Told:
        """Run *job* in a process of its own.

        Args:
            job: what it does.
            state: says which cache it gets: a first load gets an empty one.
            cache: the folder that it gets instead.
            **variables: of its environment, besides.

        Raises:
            MeasurementError: the process failed.
        """
        self.steps.next(f"{job.function}, {_NAMES[state]}")
        if state is State.LATER or cache is not None:
            return _run(job, environment(cache or self.cache(job.function)) | variables)
        with tempfile.TemporaryDirectory(dir=self.work) as empty:
            return _run(job, environment(Path(empty) / "cache") | variables)


_NAMES: Final = {
    State.STOCK: "stock",
    State.FIRST: "fastload, first load",
    State.LATER: "fastload, later load",
}
#: A stock process imports TensorFlow as stock does.
_STOCK_IMPORT: Final = {"FASTLOAD_LAZY_IMPORT": "0"}


def _run(job: Job, variables: Mapping[str, str]) -> Told:
    stock = _STOCK_IMPORT if job.is_stock else {}
    ended = run_module("fastload.bench.child", [job.to_json()], {**variables, **stock})
    return Told.of_json(ended.output.splitlines()[-1], ended.wall_s)


def ground_of(
    path: str | os.PathLike[str], keras: KerasChoice, signature: str | None = None
) -> Ground:
    """Return where the model at *path* is measured; its folder is yet to be made.

    Raises:
        BypassError: there is no model that fastload reads.
    """
    spelled = os.fspath(path)
    request = Request(filepath=spelled, keras=keras, settings=current_settings())
    is_address = "://" in spelled
    return Ground(
        source=request.source(),
        path=spelled if is_address else str(Path(spelled).absolute()),
        keras=keras,
        signature=signature,
    )


def object_names(cache: Path, told: Told) -> tuple[str, ...]:
    """Return the names of classes and functions in the twin that a load left in *cache*."""
    return tuple(read_index(cache / f"{told.entry}.h5").manifest.object_names)


def is_ours(error: Mapping[str, str]) -> bool:
    """Say whether what a load raised is an error of fastload's own."""
    return error["code"].startswith("FL")


def require_installed(keras: KerasChoice) -> None:
    """Check for what every process would miss.

    Raises:
        MissingTensorFlowError: it is not installed.
    """
    package = "tensorflow" if keras == "auto" else keras
    if keras == "auto" and needs_no_tensorflow(os.environ):
        package = "keras"
    if find_spec(package) is None:
        raise MissingTensorFlowError(package)


@contextmanager
def measured_ground(ground: Ground) -> Iterator[Ground]:
    """Give *ground* a temporary folder for the block."""
    with tempfile.TemporaryDirectory(prefix="fastload-bench-") as work:
        yield replace(ground, work=Path(work))
