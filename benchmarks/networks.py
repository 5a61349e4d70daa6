"""Makes the models to load: `python -m benchmarks.networks CASE WORK`, once for each network."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import Case, Generation, select
from benchmarks.fetch import PUBLISHED, fetch

SEED: Final = 2026


def model_path(case: Case, loader: str, work: Path) -> Path:
    """Return where the model that *loader* opens in *case* is, or will be."""
    if case.network in PUBLISHED:
        return work / "published" / case.network
    return work / "models" / case.folder / case.format_of(loader).file_name


def write_models(case: Case, work: Path) -> None:
    """Save the network of *case* in every format of its generation, all of them or none."""
    folder = work / "models" / case.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        model = build(case.network, case.generation)
        for kind in case.generation.formats:
            model.save(made / kind.file_name)
        made.replace(folder)


def build(network: str, generation: Generation) -> Any:
    """Build *network* with seeded random weights in the Keras of *generation*."""
    keras = stock_keras(generation)
    keras.utils.set_random_seed(SEED)
    return _BUILDERS[network](keras)


def stock_keras(generation: Generation) -> Any:
    """Import TensorFlow and return its `tf.keras`, the Keras of *generation*.

    Raises:
        RuntimeError: the environment has another Keras.
    """
    # TensorFlow reads it while it is imported; 2.15 would miss tf-keras where it is not installed.
    is_beside = generation is Generation.KERAS2 and find_spec("tf_keras") is not None
    os.environ["TF_USE_LEGACY_KERAS"] = "1" if is_beside else "0"
    import tensorflow as tf

    # tf_keras hides its version under this name; `ops` came with Keras 3.
    found = Generation.KERAS3 if hasattr(tf.keras, "ops") else Generation.KERAS2
    if found is not generation:
        raise RuntimeError(f"{generation.value} is to be measured, but tf.keras is {found.value}")
    return tf.keras


def _application(name: str) -> Callable[[Any], Any]:
    return lambda keras: getattr(keras.applications, name)(weights=None)


def _wide(width: int) -> Callable[[Any], Any]:
    """Four square layers: few objects, many bytes."""

    def make(keras: Any) -> Any:
        layers = [keras.layers.Dense(width, activation="tanh") for _ in range(4)]
        return keras.Sequential([keras.Input((width,)), *layers])

    return make


def _layers500(keras: Any) -> Any:
    """250 pairs of a small dense layer and its normalisation: many objects, few bytes."""
    inputs = outputs = keras.Input((32,))
    for _ in range(250):
        outputs = keras.layers.Dense(32, activation="tanh")(outputs)
        outputs = keras.layers.BatchNormalization()(outputs)
    return keras.Model(inputs, outputs)


def _recurrent(keras: Any) -> Any:
    """Layers whose functions have loops: few bytes, and slow to trace."""
    layers = keras.layers
    wrapped = [layers.Bidirectional(layers.LSTM(64, return_sequences=True)) for _ in range(3)]
    last = [layers.GRU(32), layers.Dense(2, activation="softmax")]
    return keras.Sequential([keras.Input((64, 36)), *wrapped, *last])


_BUILDERS: Final[dict[str, Callable[[Any], Any]]] = {
    "resnet50": _application("ResNet50"),
    "efficientnetb0": _application("EfficientNetB0"),
    "efficientnetb7": _application("EfficientNetB7"),
    "layers500": _layers500,
    "recurrent": _recurrent,
    "weights50mb": _wide(1768),
    "weights500mb": _wide(5590),
    "weights2gb": _wide(11180),
    "tiny": _wide(8),
}

#: What is not built here, and what makes it; somebody must put it into the work folder.
GIVEN: Final = {
    "panopticnet": (
        "deepcell-cpu==0.12.10 with TensorFlow 2.8: PanopticNet('resnet50', "
        "input_shape=(256, 256, 2), norm_method=None, num_semantic_heads=4, "
        "num_semantic_classes=[1, 3, 1, 3], location=True, include_top=True, use_imagenet=False)"
    ),
}


def main(name: str, work: str) -> None:
    """Fetch or write what the case *name* loads into *work*."""
    (case,) = select(name)
    if case.network in PUBLISHED:
        fetch(case.network, Path(work))
    elif case.network in GIVEN:
        path = model_path(case, case.loaders[0], Path(work))
        sys.exit(f"{path} is missing; save it there with {GIVEN[case.network]}")
    else:
        write_models(case, Path(work))


if __name__ == "__main__":
    main(*sys.argv[1:])
