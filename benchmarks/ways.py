"""Ways from the start of a process to a first prediction: programs that anybody could write."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cases import CASES, TINY, Case, Format, Generation
from benchmarks.converted import LITE, ONNX, converted_path
from benchmarks.networks import model_path

_START: Final = """
import os, sys
import numpy as np
x = np.linspace(0, 1, {size}, dtype="float32").reshape({shape})
path = sys.argv[1]
"""
#: First the peak in KiB: what the system tells the parent is never less than the parent's own.
#: Nothing is taken down, as that is no part of the prediction.
_END: Final = """
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
sys.stdout.buffer.write(peak.encode() + b"\\n")
sys.stdout.buffer.write(np.ascontiguousarray(y, "float32").tobytes())
sys.stdout.flush()
os._exit(0)
"""
_KERAS: Final = """
import tensorflow as tf
y = tf.keras.models.load_model(path, compile={compile}).predict(x, verbose=0)
"""
_KERAS_GRAPH: Final = """
import tensorflow as tf
model = tf.keras.models.load_model(path, compile={compile})
y = tf.function(lambda x: model(x, training=False))(tf.constant(x))
"""
_OBJECT: Final = """
import tensorflow as tf
loaded = tf.saved_model.load(path)
serve = loaded.signatures["serving_default"]
(name,) = serve.structured_input_signature[1]
(y,) = serve(**{{name: tf.constant(x)}}).values()
"""
_FASTLOAD: Final = """
import fastload
y = fastload.load_model(path, compile={compile}).predict(x, verbose=0)
"""
_PREDICTOR: Final = """
import fastload
y = fastload.load_predictor(path).predict(x)
while isinstance(y, dict):
    (y,) = y.values()
"""
_ONNX: Final = """
import onnxruntime
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
(y,) = session.run(None, {{session.get_inputs()[0].name: x}})
"""
_LITE: Final = """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(path)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
interpreter.invoke()
y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network, by the cases that open it.

    Attributes:
        name: what the page calls it.
        keras2: opens its SavedModel; None where there is none.
        keras3: opens its `.keras` archive, which has other weights; None where there is none.
    """

    name: str
    keras2: Case | None
    keras3: Case | None

    @property
    def cases(self) -> tuple[Case, ...]:
        """Both, or the one."""
        return tuple(case for case in (self.keras2, self.keras3) if case is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to a prediction.

    Attributes:
        name: what the table calls it.
        generation: the Keras of the process and of the network.
        kind: the suffix of the file that is opened, or `Format.SAVED_MODEL`.
        program: what the process runs, with places for `compile`.
        computes: which function is run; ways that run the same one must give the same bytes.
        counts: it is a row of the table; else it is only there to be compared with.
        is_ours: it is fastload's.
    """

    name: str
    generation: Generation
    kind: str
    program: str
    computes: str
    counts: bool = True
    is_ours: bool = False

    @property
    def is_predictor(self) -> bool:
        """It is `fastload.load_predictor`."""
        return self.program is _PREDICTOR

    @property
    def is_converted(self) -> bool:
        """It runs without TensorFlow."""
        return self.kind in {ONNX, LITE}

    def text(self, case: Case) -> str:
        """Return the source text of the program."""
        size, shape = math.prod(case.input_shape), case.input_shape
        whole = _START + self.program + _END
        return whole.format(size=size, shape=shape, compile=case.compile)

    def file(self, case: Case, work: Path) -> Path:
        """Return what the program opens."""
        if self.is_converted:
            return converted_path(case, self.kind, work)
        return model_path(case, f"stock_{self.kind}", work)


def _way(name: str, generation: Generation, kind: str, program: str, computes: str) -> Way:
    return Way(
        name=name,
        generation=generation,
        kind=kind,
        program=program,
        computes=computes,
        is_ours="import fastload" in program,
    )


_OLD, _NEW = Generation.KERAS2, Generation.KERAS3
_FOLDER, _HDF5, _ARCHIVE = (kind.value for kind in (Format.SAVED_MODEL, Format.HDF5, Format.KERAS))
#: The first is what all others are compared with.
WAYS: Final = (
    _way("`tf_keras` `load_model`, SavedModel", _OLD, _FOLDER, _KERAS, "tf_keras"),
    _way("`tf_keras` `load_model`, HDF5", _OLD, _HDF5, _KERAS, "tf_keras"),
    _way("`tf.saved_model.load`", _OLD, _FOLDER, _OBJECT, "signature"),
    _way("Keras 3 `load_model`, `.keras`", _NEW, _ARCHIVE, _KERAS, "keras"),
    _way("`fastload.load_model`, SavedModel", _OLD, _FOLDER, _FASTLOAD, "tf_keras"),
    _way("`fastload.load_model`, `.keras`", _NEW, _ARCHIVE, _FASTLOAD, "keras"),
    _way("`fastload.load_predictor`, SavedModel", _OLD, _FOLDER, _PREDICTOR, "signature"),
    _way("`fastload.load_predictor`, `.keras`", _NEW, _ARCHIVE, _PREDICTOR, "graph"),
    _way("ONNX Runtime", _OLD, ONNX, _ONNX, ONNX),
    _way("LiteRT", _OLD, LITE, _LITE, LITE),
)
#: `predict` of Keras 3 may compile with XLA; a predictor computes what a graph of a call does.
_REFERENCE: Final = Way(
    name="a graph of the model of Keras 3",
    generation=_NEW,
    kind=_ARCHIVE,
    program=_KERAS_GRAPH,
    computes="graph",
    counts=False,
)


def ways_of(network: Network) -> Iterator[tuple[Way, Case]]:
    """Yield the ways to predictions of *network*, each with the case that it is of."""
    cases = {case.generation: case for case in network.cases}
    for way in (*WAYS, _REFERENCE):
        case = cases.get(way.generation)
        if case is not None and (way.is_converted or way.kind in _kinds(case)):
            yield way, case


def _kinds(case: Case) -> set[str]:
    return {rival.value for rival in case.rivals}


def _network(name: str) -> Network:
    cases = {case.name: case for case in CASES}
    return Network(name=name, keras2=cases[name], keras3=cases.get(f"{name}-keras3"))


NETWORKS: Final = {
    **{name: _network(name) for name in ("resnet50", "efficientnetb0", "sleepecg")},
    "efficientnetb7": _network("efficientnetb7"),
    # For the tests of the benchmarks themselves.
    TINY.name: Network(name=TINY.name, keras2=None, keras3=TINY),
}


def networks(names: Iterable[str]) -> list[Network]:
    """Return the networks of these *names*.

    Raises:
        ValueError: there is none of that name; the message lists the names.
    """
    unknown = [name for name in names if name not in NETWORKS]
    if unknown:
        raise ValueError(f"no network is called {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    return [NETWORKS[name] for name in names]
