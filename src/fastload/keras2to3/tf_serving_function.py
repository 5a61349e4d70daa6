"""The serving function of a SavedModel, run in a session, as TensorFlow's own servers run it.

`tf.saved_model.load` makes an object of every part of the model; it fails on optimizers of Keras 2
where no Keras 2 is installed. A session needs no objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import MIGRATION

_SERVING: Final = "serve"

#: Takes arrays in the order of the inputs; returns arrays in the order of the outputs.
Function = Callable[[Sequence[Any]], list[Any]]


@contextmanager
def serving_function(
    path: Path, signature: str, inputs: Sequence[str], outputs: Sequence[str]
) -> Iterator[Function]:
    """Give the function *signature* of the SavedModel at *path* while the context lasts.

    Args:
        path: the SavedModel.
        signature: the name of the function.
        inputs: the names of its inputs, in the order in which they will be given.
        outputs: the names of its outputs, in the order in which they are wanted.
    """
    v1 = tensorflow().compat.v1
    graph = tensorflow().Graph()
    session = v1.Session(graph=graph, config=v1.ConfigProto(device_count={"GPU": 0}))
    try:
        with graph.as_default():  # for this long only: what runs beside it is not for a graph
            meta_graph = _opened(session, path)
        definition = meta_graph.signature_def[signature]
        feeds = [definition.inputs[name].name for name in inputs]
        fetches = [definition.outputs[name].name for name in outputs]
        yield lambda values: list(session.run(fetches, dict(zip(feeds, values, strict=True))))
    finally:
        session.close()


def _opened(session: Any, path: Path) -> Any:
    """Load the SavedModel at *path* into *session*; return its `MetaGraphDef`.

    What `tf.compat.v1.saved_model.load` does, but for the warning that it is deprecated: the
    program that loads a model did not call it.
    """
    inner = getattr(MIGRATION.optional("loader_impl"), "SavedModelLoader", None)
    if inner is None:
        return tensorflow().compat.v1.saved_model.load(session, [_SERVING], str(path))
    return inner(str(path)).load(session, [_SERVING])
