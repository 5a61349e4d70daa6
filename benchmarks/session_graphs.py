"""`python -m benchmarks.session_graphs --page docs/performance.md`: SavedModels of TensorFlow 1.

Graphs of the size of a detection network, made by `tf.compat.v1`. Stock and fastload load in turn,
each load in a process of its own, with TensorFlow imported before; then one signature is called.
Outputs must be the same bytes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import machine
from benchmarks.measure import WORK, BenchmarkError, check_byte_code
from benchmarks.own_process import told_by
from benchmarks.page import Markers, table
from benchmarks.revived import digest

MARKERS: Final = Markers("session-graphs", "benchmarks.session_graphs")
HEADINGS: Final = (
    "graph",
    "n",
    "nodes",
    "variables",
    "stock s",
    "hit s",
    "times",
    "with the first call",
    "times",
    "miss s",
)
WAYS: Final = ("stock", "miss", "hit")
KINDS: Final = {
    "variables that are resources": "resources",
    "variables that are references": "references",
    "weights that are constants": "constants",
}
#: How many blocks have about 5,000 nodes.
BLOCKS: Final = {"resources": 95, "references": 130, "constants": 280}
SIDE: Final = 32
STEPS: Final = 5


def make(folder: Path, kind: str) -> None:
    """Save a graph of some 5,000 nodes in *folder*."""
    tf = importlib.import_module("tensorflow")
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.variable_scope("", use_resource=kind == "resources"):
        images = v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], name="images")
        outputs = _heads(v1, _body(v1, images, kind))
        signature = v1.saved_model.predict_signature_def({"images": images}, outputs)
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            builder = v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
            builder.save()


def _body(v1: Any, images: Any, kind: str) -> Any:
    features = images
    for block in range(BLOCKS[kind]):
        with v1.variable_scope(f"block{block}"):
            features = _block(v1, features, is_constant=kind == "constants")
    return v1.reduce_mean(features, [1, 2])


def _block(v1: Any, features: Any, *, is_constant: bool) -> Any:
    """Convolve, normalize, activate, and add to what was there."""
    import numpy as np

    randomness = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> Any:
        value = randomness.normal(0, 0.1, shape).astype("float32")
        return v1.constant(value) if is_constant else v1.get_variable(name, initializer=value)

    before = features.shape[-1]
    new = v1.nn.conv2d(features, weight("kernel", 3, 3, before, 16), padding="SAME")
    new = (new - weight("mean", 16)) * v1.rsqrt(v1.square(weight("spread", 16)) + 1e-3)
    new = v1.nn.relu(new * weight("gamma", 16) + weight("beta", 16))
    return new if before != new.shape[-1] else features + 0.1 * new


def _heads(v1: Any, features: Any) -> dict[str, Any]:
    """Return outputs of which one comes out of a loop, as boxes do."""
    _, boxes = v1.while_loop(
        lambda step, _: step < STEPS, lambda step, found: (step + 1, found * 0.5), [0, features]
    )
    return {"boxes": v1.identity(boxes, "boxes"), "scores": v1.nn.softmax(features)}


def load(path: Path, way: str) -> dict[str, Any]:
    """Load *path* in this process, and call it; return seconds and a digest of the outputs."""
    import fastload

    tf = importlib.import_module("tensorflow")
    images = tf.random.stateless_uniform([1, SIDE, SIDE, 3], (1, 2))
    started = time.perf_counter()
    if way == "stock":
        loaded = tf.saved_model.load(str(path))
    else:
        loaded = fastload.load_saved_model(path, strict=True)
    seconds = time.perf_counter() - started
    outputs = loaded.signatures["serving_default"](images=images)
    called = time.perf_counter() - started
    report = fastload.last_load()
    if way != "stock" and (report is None or report.outcome.value != way):
        raise BenchmarkError(f"{path}: {report}, not a {way}")
    return {
        "s": seconds,
        "called": called,
        "digest": digest([outputs[name].numpy() for name in sorted(outputs)]),
    }


def row(name: str, path: Path, rounds: int, cache: Path) -> tuple[str, ...]:
    """Measure the graph at *path* and return its row."""
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        shutil.rmtree(cache, ignore_errors=True)
        for way, found in told.items():
            found.append(told_by("benchmarks.session_graphs", ["--one", way, str(path)], cache))
    if len({one["digest"] for found in told.values() for one in found}) > 1:
        raise BenchmarkError(f"{name}: the loaders' outputs differ")

    def of(what: str) -> list[float]:
        return [median(one[what] for one in told[way]) for way in WAYS]

    (stock, miss, hit), (stock_called, _, hit_called) = of("s"), of("called")
    return (
        name,
        str(rounds),
        *_sizes(path),
        f"{stock:.3f}",
        f"{hit:.3f}",
        f"{stock / hit:.1f}",
        f"{stock_called:.3f} → {hit_called:.3f}",
        f"{stock_called / hit_called:.1f}",
        f"{miss:.3f}",
    )


def _sizes(path: Path) -> tuple[str, str]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
    variables = graph.collection_def["variables"].bytes_list.value
    return f"{len(graph.graph_def.node):,}", str(len(variables))


def main() -> None:
    """Measure every graph, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    parser.add_argument("--one", choices=WAYS, help="measure one load in this process")
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(json.dumps(load(asked.path, asked.one)) + "\n")
        return
    check_byte_code()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind in KINDS.items():
            folder = Path(scratch) / kind
            make(folder, kind)
            rows.append(row(name, folder, asked.rounds, Path(scratch) / "cache"))
    MARKERS.tell(machine.describe(WORK), table(HEADINGS, rows), asked.page)


if __name__ == "__main__":
    main()
