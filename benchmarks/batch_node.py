"""`python -m benchmarks.batch_node --page docs/fleet.md`: the tasks of a batch, node by node.

Each task finds what a fresh node has: an empty home, a model archive that was just unpacked into a
new folder, and no process before it. It imports TensorFlow, loads the model, predicts one image and
ends (`batch_task.py`). Kinds take turns, and outputs must be the same bytes. Further models:
`NAME=FOLDER` on the command line, SavedModels that take one image.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import bucket, machine
from benchmarks.cases import select
from benchmarks.measure import WORK, BenchmarkError, check_byte_code, write_missing
from benchmarks.networks import model_path
from benchmarks.own_process import told_by
from benchmarks.page import Markers, table

MARKERS: Final = Markers("batch-node", "benchmarks.batch_node")
HEADINGS: Final = (
    *("kind", "n", "outcome", "import s", "`prediction_model_load_time_s`"),
    *("`prediction_time_s`", "whole process s", "peak GB"),
    *("load: times faster", "whole: times faster", "load: of a local hit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A way of loading, and what of fastload's was on the node before.

    Attributes:
        name: what the table calls it.
        way: of `batch_task.WAYS`.
        outcome: what fastload has to report; `stock` for the stock loader.
        place: what the twin has to come from, if not from the cache: `layer`, which
            `FASTLOAD_CACHE_PATH` names, or `bucket`, which `FASTLOAD_REMOTE` does.
        has_cache: the cache is one that was warmed on this machine, and can be written.
        is_in_place: the model is where it was when the cache was warmed, not unpacked anew, so that
            times of files can stand for its content.
    """

    name: str
    way: str = "load_model"
    outcome: str = "hit"
    place: str = ""
    has_cache: bool = False
    is_in_place: bool = False


#: Bucket, and prefix in it.
_PREFIX: Final = "fastload-twins/of-the-fleet"
STOCK: Final = Kind(name="stock", way="stock", outcome="stock")
LOCAL_HIT: Final = Kind(name="fastload, local hit", has_cache=True)
KINDS: Final = (
    STOCK,
    Kind(name="fastload, nothing", outcome="miss"),
    Kind(name="fastload, image layer", place="layer"),
    Kind(name="fastload predictor, image layer", way="load_predictor", place="layer"),
    Kind(name="fastload, bucket", place="bucket"),
    Kind(name="fastload predictor, bucket", way="load_predictor", place="bucket"),
    LOCAL_HIT,
    Kind(name="fastload, local hit, model in place", has_cache=True, is_in_place=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one task took, or the medians of several.

    Attributes:
        unpack_s: seconds of unpacking, before the process.
        import_s: seconds of imports, those within the load included.
        prediction_model_load_time_s: seconds of the load without imports.
        prediction_time_s: seconds of the prediction.
        whole_s: seconds from the start of the process to its end.
        peak_gb: most memory at once, in 10^9 bytes; pages of mapped files count.
    """

    unpack_s: float
    import_s: float
    prediction_model_load_time_s: float
    prediction_time_s: float
    whole_s: float
    peak_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What nodes get of one model, and what a signature of it computes.

    Attributes:
        source: the model itself.
        folder: holds the archive, the image, the layer and the warm cache.
        digest: of the outputs of the signature, which are a predictor's.
        endpoint: the address of the server of its bucket, while it runs.
    """

    source: Path
    folder: Path
    digest: str
    endpoint: str = ""

    @property
    def archive(self) -> Path:
        """The model as one tar file."""
        return self.folder / "model.tar"

    @property
    def layer(self) -> Path:
        """The cache that comes with the image, read only."""
        return self.folder / "layer"

    @property
    def buckets(self) -> Path:
        """The folder of buckets, of which one has the twin."""
        return self.folder / "buckets"

    @property
    def layer_bytes(self) -> int:
        """What the layer adds to the image."""
        return sum(each.stat().st_size for each in self.layer.rglob("*") if each.is_file())


def prepare(model: Path, folder: Path) -> Prepared:
    """Make in *folder* all that nodes get of *model*.

    Raises:
        BenchmarkError: the model takes no image, or a process failed.
    """
    folder.mkdir()
    subprocess.run(["tar", "-C", str(model), "-cf", str(folder / "model.tar"), "."], check=True)  # noqa: S607
    told = _process("reference", model, str(folder / "image.npy"), folder)
    made = Prepared(source=model, folder=folder, digest=told["digest"])
    _process("warm", model, str(made.layer), folder)
    store = {"FASTLOAD_REMOTE": f"{made.buckets.absolute().as_uri()}/{_PREFIX}"}
    _process("warm", model, "", folder, _variables(made, LOCAL_HIT) | store)
    return made


def measure(prepared: Prepared, rounds: int) -> dict[Kind, list[Task]]:
    """Return *rounds* tasks of each kind, in turns, after one of each that is not counted.

    Raises:
        BenchmarkError: a task failed, was not served as it should be, or predicted other bytes.
    """
    tasks: dict[Kind, list[Task]] = {kind: [] for kind in KINDS}
    expected: dict[str, str] = {"load_predictor": prepared.digest}
    for number in range(-1, rounds):
        for kind, found in tasks.items():
            task, digest = run(prepared, kind)
            computes = kind.way if kind.way in expected else "predict"
            if expected.setdefault(computes, digest) != digest:
                raise BenchmarkError(f"{kind.name} predicted other bytes")
            if number >= 0:
                found.append(task)
    return tasks


def run(prepared: Prepared, kind: Kind) -> tuple[Task, str]:
    """Play one node: return what its task took, and a digest of the outputs.

    Raises:
        BenchmarkError: the task failed, or was not served as it should be.
    """
    with tempfile.TemporaryDirectory(dir=prepared.folder, prefix="node-") as node:
        model, home = Path(node) / "model", Path(node) / "home"
        model.mkdir()
        home.mkdir()
        started = time.perf_counter()
        subprocess.run(["tar", "-C", str(model), "-xf", str(prepared.archive)], check=True)  # noqa: S607
        unpacked = time.perf_counter()
        image = str(prepared.folder / "image.npy")
        opened = prepared.source if kind.is_in_place else model
        told = _process(kind.way, opened, image, home, _variables(prepared, kind))
        whole_s = time.perf_counter() - unpacked
    digest, outcome, place = (told.pop(name) for name in ("digest", "outcome", "place"))
    if (outcome, place) != (kind.outcome, kind.place):
        raise BenchmarkError(f"{kind.name} ended as a {outcome}, by {place or 'the cache'}")
    return Task(unpack_s=unpacked - started, whole_s=whole_s, **told), digest


def _variables(prepared: Prepared, kind: Kind) -> dict[str, str]:
    layer = {"FASTLOAD_CACHE_PATH": str(prepared.layer)} if kind.place == "layer" else {}
    cache = {"FASTLOAD_CACHE_DIR": str(prepared.folder / "cache")} if kind.has_cache else {}
    bucket = {
        "FASTLOAD_REMOTE": f"s3://{_PREFIX}",
        "AWS_ENDPOINT_URL": prepared.endpoint,
        "AWS_ACCESS_KEY_ID": "node",
        "AWS_SECRET_ACCESS_KEY": "node",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return layer | cache | (bucket if kind.place == "bucket" else {})


def _process(
    way: str, model: Path, other: str, home: Path, more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `batch_task` in a process whose home, and cache if *more* names none, is in *home*."""
    homes = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    # TensorFlow reads it while it is imported; 2.15 would miss tf-keras where it is not installed.
    keras = {"TF_USE_LEGACY_KERAS": "1"} if find_spec("tf_keras") else {}
    variables = {**homes, **keras, **(more or {})}
    return told_by("benchmarks.batch_task", [way, str(model), other], None, variables)


def medians(tasks: Sequence[Task]) -> Task:
    """Return the median of each figure."""
    columns = [asdict(task) for task in tasks]
    return Task(**{name: median(each[name] for each in columns) for name in columns[0]})


def rows(tasks: Mapping[Kind, Sequence[Task]]) -> list[tuple[str, ...]]:
    """Return a row of the table for each kind; ratios are of medians."""
    found = {kind: medians(of_kind) for kind, of_kind in tasks.items()}
    stock, local = found[STOCK], found[LOCAL_HIT]
    return [
        (
            *(kind.name, str(len(tasks[kind])), kind.outcome),
            f"{task.import_s:.2f}",
            f"{task.prediction_model_load_time_s:.3f}",
            f"{task.prediction_time_s:.3f}",
            f"{task.whole_s:.2f}",
            f"{task.peak_gb:.2f}",
            f"{stock.prediction_model_load_time_s / task.prediction_model_load_time_s:.1f}",
            f"{stock.whole_s / task.whole_s:.1f}",
            f"{task.prediction_model_load_time_s / local.prediction_model_load_time_s:.2f}",
        )
        for kind, task in found.items()
    ]


def section(name: str, prepared: Prepared, tasks: Mapping[Kind, Sequence[Task]]) -> str:
    """Return the part of the page that is about one model."""
    unpack_s = medians([task for of_kind in tasks.values() for task in of_kind]).unpack_s
    facts = (
        f"An archive of {prepared.archive.stat().st_size / 1e6:.1f} MB, unpacked in {unpack_s:.2f} "
        f"s; the layer has {prepared.layer_bytes / 1e6:.1f} MB."
    )
    return f"### {name}\n\n{facts}\n\n{table(HEADINGS, rows(tasks))}"


def figures(prepared: Prepared, tasks: Mapping[Kind, Sequence[Task]]) -> dict[str, Any]:
    """Return what `benchmarks.fleet` reads of one model."""
    return {
        "archive_bytes": prepared.archive.stat().st_size,
        "layer_bytes": prepared.layer_bytes,
        "kinds": {
            kind.name: {"has_layer": kind.place == "layer", **asdict(medians(of_kind))}
            for kind, of_kind in tasks.items()
            if not kind.has_cache  # no fresh node has one
        },
    }


def models(more: Sequence[str]) -> dict[str, Path]:
    """Return the models to measure, by name; *more* are `NAME=FOLDER`."""
    (case,) = select("resnet50")
    write_missing(case, WORK)
    given = dict(each.partition("=")[::2] for each in more)
    found = {"ResNet50": model_path(case, case.loaders[0], WORK)}
    return {**found, **{name: Path(path).resolve() for name, path in given.items()}}


def report(measured: Mapping[str, Path], rounds: int, scratch: Path) -> tuple[str, dict[str, Any]]:
    """Measure models in *scratch*; return the text for the page, and the figures as JSON has them.

    Raises:
        BenchmarkError: a figure cannot be taken, or must not be counted.
    """
    facts = machine.describe(scratch)
    parts, found = [], {}
    for number, (name, path) in enumerate(measured.items()):
        prepared = prepare(path, scratch / str(number))
        with bucket.served(prepared.buckets) as endpoint:
            tasks = measure(replace(prepared, endpoint=endpoint), rounds)
        parts.append(section(name, prepared, tasks))
        found[name] = figures(prepared, tasks)
    told = ", ".join(f"{name} {what}" for name, what in facts.items())
    written = "\n\n".join([f"Measured on: {told}.", *parts])
    return written, {"machine": facts, "rounds": rounds, "models": found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every model, print tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    parser.add_argument("--json", type=Path, help="a file for benchmarks.fleet")
    asked = parser.parse_args(arguments)
    check_byte_code()
    measured = models(asked.models)
    with tempfile.TemporaryDirectory() as scratch:
        written, found = report(measured, asked.rounds, Path(scratch))
    sys.stdout.write(f"{written}\n")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if asked.page:
        MARKERS.write(asked.page, written)


if __name__ == "__main__":
    main()
