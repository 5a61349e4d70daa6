"""Networks for runtimes that are not TensorFlow: the files, and an environment that has only these.

`python -m benchmarks.converted CASE WORK` converts the SavedModel of a case, with the batch fixed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.cases import Case, Generation, select
from benchmarks.measure import ROOT, BenchmarkError, run_module
from benchmarks.networks import model_path, stock_keras

ONNX: Final = "onnx"
LITE: Final = "tflite"
#: What runs a converted network, by the suffix of its file.
RUNTIMES: Final = MappingProxyType({ONNX: "onnxruntime==1.32.0", LITE: "ai-edge-litert==2.3.0"})
_CONVERTERS: Final = ("tf2onnx==1.17.0", "onnx==1.23.2")
_OPSET: Final = 17


def converted_path(case: Case, suffix: str, work: Path) -> Path:
    """Return where the network of *case* is, or will be, in the format of *suffix*."""
    return work / "converted" / f"{case.network}.{suffix}"


def write_converted(case: Case, work: Path) -> None:
    """Convert the SavedModel of *case* where that was not done yet.

    Raises:
        BenchmarkError: it cannot be converted, or the converters cannot be had.
    """
    if all(converted_path(case, suffix, work).exists() for suffix in RUNTIMES):
        return
    folder = work / "converters"
    if not folder.exists():
        # Beside TensorFlow, which they use, and not among what TensorFlow's processes see.
        _pip(Path(sys.executable), "--no-deps", f"--target={folder}", *_CONVERTERS)
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(folder)])
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    run_module("benchmarks.converted", [case.name, str(work)], os.environ | quiet)


def runtimes_python(work: Path) -> Path:
    """Return the interpreter of an environment with numpy and the runtimes, made where missing.

    Raises:
        BenchmarkError: it cannot be made.
    """
    folder = work / "runtimes"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        _run([sys.executable, "-m", "venv", str(folder)])
        _pip(python, f"numpy=={version('numpy')}", *RUNTIMES.values())
        (folder / "made").touch()
    return python


def _pip(python: Path, *arguments: str) -> None:
    _run([str(python), "-m", "pip", "install", "--quiet", *arguments])


def _run(command: list[str]) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} failed: {done.stderr.strip()[-1000:]}")


def _to_onnx(function: Any, spec: Any, path: Path) -> None:
    import tf2onnx

    concrete = function.get_concrete_function()
    tf2onnx.convert.from_graph_def(
        _frozen(concrete),
        input_names=[concrete.inputs[0].name],
        output_names=[each.name for each in concrete.outputs],
        shape_override={concrete.inputs[0].name: list(spec.shape)},
        opset=_OPSET,
        output_path=str(path),
    )


def _frozen(concrete: Any) -> Any:
    """Return the graph of a concrete function that takes its arguments and nothing else.

    Keras keeps some constants of a SavedModel outside of its functions; a converter would take
    them for arguments.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    held = {inner.op.name: outer for outer, inner in concrete.graph.captures}
    for node in graph.node:
        if node.op == "Placeholder" and node.name in held:
            value = tf.make_tensor_proto(held[node.name].numpy())
            node.op = "Const"
            node.attr["value"].tensor.CopyFrom(value)
            for name in set(node.attr) - {"value", "dtype"}:
                del node.attr[name]
    return graph


def _to_lite(function: Any, spec: Any, path: Path) -> None:
    import tensorflow as tf

    del spec
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path.write_bytes(converter.convert())


_WRITERS: Final[Mapping[str, Callable[[Any, Any, Path], None]]] = MappingProxyType(
    {ONNX: _to_onnx, LITE: _to_lite}
)


def main(name: str, work: str) -> None:
    """Convert the SavedModel of the case *name*."""
    (case,) = select(name)
    keras = stock_keras(Generation.KERAS2)
    import tensorflow as tf

    path = model_path(case, case.loaders[0], Path(work))
    model = keras.models.load_model(str(path), compile=False)
    spec = tf.TensorSpec(case.input_shape, tf.float32)
    function = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    for suffix, write in _WRITERS.items():
        target = converted_path(case, suffix, Path(work))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        write(function, spec, partial)
        partial.replace(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
