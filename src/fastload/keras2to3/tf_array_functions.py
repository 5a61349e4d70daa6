"""A SavedModel's serving function, and a Keras 3 model, as functions from arrays to arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from fastload.keras2to3.memory_limits import TooLargeError
from fastload.keras2to3.tf_graph_memory import peak_bytes, written_out
from fastload.runtime.core.keras import TENSORFLOW, Keras
from fastload.runtime.core.sample_inputs import stated
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import MIGRATION

_SERVING: Final = "serve"

#: A run is ended after so many seconds: a file may hold a loop without an end.
LONGEST_RUN_S: Final = 120

#: Takes arrays in the order of the inputs; returns arrays in the order of the outputs.
Function = Callable[[Sequence[Any]], list[Any]]


class TooSlowError(Exception):
    """A function did not end in time."""


@contextmanager
def serving_function(
    path: Path, signature: str, inputs: Sequence[str], outputs: Sequence[str]
) -> Iterator[Function]:
    """Provide the function *signature* of the SavedModel at *path*, in a session.

    `tf.saved_model.load` creates an object for every part of the model, and fails on optimizers of
    Keras 2 where no Keras 2 is installed. A session, as TensorFlow's own servers use, needs none.

    Args:
        path: the SavedModel.
        signature: the name of the function.
        inputs: the names of its inputs, in the order of the arrays.
        outputs: the names of its outputs, in the order of the results.

    Raises:
        TooSlowError: a run of it did not end in time.
    """
    v1 = tensorflow().compat.v1
    graph = tensorflow().Graph()
    config = v1.ConfigProto(device_count={"GPU": 0}, operation_timeout_in_ms=LONGEST_RUN_S * 1000)
    session = v1.Session(graph=graph, config=config)
    try:
        with graph.as_default():  # no longer than this: other threads run eagerly
            meta_graph = _opened(session, path)
        definition = meta_graph.signature_def[signature]
        feeds = [definition.inputs[name].name for name in inputs]
        fetches = [definition.outputs[name].name for name in outputs]
        yield lambda values: list(session.run(fetches, dict(zip(feeds, values, strict=True))))
    except tensorflow().errors.DeadlineExceededError as error:
        raise TooSlowError(f"the original ran for more than {LONGEST_RUN_S} s") from error
    finally:
        session.close()


def _opened(session: Any, path: Path) -> Any:
    """Load the SavedModel at *path* into *session*; return its `MetaGraphDef`.

    This is `tf.compat.v1.saved_model.load` without its deprecation warning, which is not for the
    program that loads a model.
    """
    inner = getattr(MIGRATION.optional("loader_impl"), "SavedModelLoader", None)
    if inner is None:
        return tensorflow().compat.v1.saved_model.load(session, [_SERVING], str(path))
    return inner(str(path)).load(session, [_SERVING])


def array_call(
    model: Any, keras: Keras, most_bytes: int, called: Callable[..., Any] | None = None
) -> Function:
    """Return *model*, of Keras 3, as a function from its flat inputs to its flat outputs.

    On TensorFlow it raises `TooLargeError` where it would take more than *most_bytes*.

    Args:
        model: the model.
        keras: its Keras.
        most_bytes: how many bytes a run may take.
        called: what is called in the place of the model.
    """
    if keras.backend == TENSORFLOW:
        return graph_call(model, most_bytes, called)
    return _by_operations(model, keras, called or model)


def graph_call(model: Any, most_bytes: int, called: Callable[..., Any] | None = None) -> Function:
    """Return *model*, on TensorFlow, as a function that runs in a graph, as `predict` does.

    It raises `TooLargeError` instead of running where it would take more than *most_bytes*.

    Args:
        model: the model.
        most_bytes: how many bytes a run may take.
        called: what is called in the place of the model.
    """
    tf, structure = tensorflow(), _structure(model)
    asked = called or model

    @tf.function  # type: ignore[untyped-decorator]
    def run(values: Any) -> Any:
        inputs = tf.nest.pack_sequence_as(structure, values) if structure is not None else values[0]
        return tf.nest.flatten(asked(inputs, training=False))

    def call(values: Sequence[Any]) -> list[Any]:
        tensors = [tf.constant(value) for value in values]
        # Called by itself, it would have TensorFlow warn of functions that are traced again.
        concrete = run.get_concrete_function(tensors)
        if (needed := peak_bytes(written_out(concrete))) > most_bytes:
            raise TooLargeError(needed, most_bytes)
        return [np.asarray(each) for each in concrete(tensors)]

    return call


def _by_operations(model: Any, in_use: Keras, called: Callable[..., Any]) -> Function:
    keras, structure = in_use.module, _structure(model)

    def run(values: Sequence[Any]) -> list[Any]:
        if any(value.dtype == object for value in values):
            raise ValueError(f"Keras on {in_use.backend} takes no strings")
        tensors = [keras.ops.convert_to_tensor(value) for value in values]
        pack = MIGRATION.part("nest").pack_sequence_as
        inputs = pack(structure, tensors) if structure is not None else tensors[0]
        outputs = called(inputs, training=False)
        return [
            keras.ops.convert_to_numpy(each) for each in MIGRATION.part("tree").flatten(outputs)
        ]

    return run


def _structure(model: Any) -> Any:
    """Return the nest that *model* takes, in either Keras; None if that is one tensor."""
    structure = getattr(model, "_inputs_struct", None)
    return stated(model, "input") if structure is None else structure
