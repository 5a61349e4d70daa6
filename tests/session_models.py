"""SavedModels as TensorFlow 1 writes them: one graph for a session, no objects."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

X: Final = np.array([[1.0, 2.0], [-3.0, 0.5]], dtype="float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionModel:
    """A graph to save.

    Attributes:
        build: makes inputs and outputs by name in the default graph, given `tf.compat.v1`.
        inputs: what to call it with.
        resources: variables are resources, as in the last versions of TensorFlow 1.
        modern_loops: loops are functions, as in TensorFlow 2.
        reason: a word of the reason why it cannot be made flat; None where it can.
    """

    build: Callable[[Any], tuple[Mapping[str, Any], Mapping[str, Any]]]
    inputs: tuple[Mapping[str, Any], ...] = ({"x": X}, {"x": X[:0]})
    resources: bool = False
    modern_loops: bool = False
    reason: str | None = None


def _input(v1: Any, name: str = "x", dtype: Any = None, shape: Any = (None, 2)) -> Any:
    return v1.placeholder(dtype or v1.float32, shape, name=name)


def _dense(v1: Any) -> Any:
    x = _input(v1)
    kernel = v1.get_variable("dense/kernel", initializer=np.array([[0.5, 1], [2, -1]], "float32"))
    step = v1.get_variable("global_step", initializer=np.int64(7), trainable=False)
    hidden = v1.nn.relu(v1.matmul(x, kernel))
    outputs = {"y": v1.identity(hidden, "y"), "step": step + 0, "same": x}
    return {"x": x}, outputs


def _examples(v1: Any) -> Any:
    """What an Estimator exports: it takes serialized `tf.Example`s."""
    serialized = _input(v1, "examples", v1.string, [None])
    features = v1.io.parse_example(serialized, {"age": v1.FixedLenFeature([1], v1.float32)})
    weight = v1.get_variable("weight", initializer=np.array([[2.0]], "float32"))
    classes = v1.constant([["no", "yes"]])
    return {"inputs": serialized}, {
        "scores": v1.matmul(features["age"], weight),
        "classes": v1.tile(classes, [v1.shape(serialized)[0], 1]),
    }


def _loop(v1: Any) -> Any:
    x = _input(v1)
    kernel = v1.get_variable("kernel", initializer=np.array([[0.5, 1], [2, -1]], "float32"))
    _, y = v1.while_loop(
        lambda i, _: i < 3, lambda i, value: (i + 1, v1.tanh(v1.matmul(value, kernel))), [0, x]
    )
    y = v1.cond(v1.reduce_sum(x) > 0, lambda: y, lambda: -y)
    return {"x": x}, {"y": y}


def _embedding(v1: Any) -> Any:
    ids = _input(v1, "ids", v1.int64, [None])
    table = v1.get_variable("table", initializer=np.arange(12, dtype="float32").reshape(4, 3))
    return {"ids": ids}, {"rows": v1.nn.embedding_lookup(table, ids)}


def _table(v1: Any) -> Any:
    words = _input(v1, "words", v1.string, [None])
    keys = v1.lookup.KeyValueTensorInitializer(["cat", "dog"], [5, 6])
    offset = v1.get_variable("offset", initializer=np.int32(1))
    return {"words": words}, {"ids": v1.lookup.StaticHashTable(keys, -1).lookup(words) + offset}


def _sparse(v1: Any) -> Any:
    sparse = v1.sparse_placeholder(v1.float32, [None, 3], name="sparse")
    weight = v1.get_variable("weight", initializer=np.ones([3, 2], "float32"))
    return {"sparse": sparse}, {"y": v1.sparse_tensor_dense_matmul(sparse, weight)}


def _partitioned(v1: Any) -> Any:
    x = _input(v1)
    parts = v1.fixed_size_partitioner(2)
    kernel = v1.get_variable("kernel", [2, 4], initializer=v1.ones_initializer(), partitioner=parts)
    return {"x": x}, {"y": v1.matmul(x, v1.convert_to_tensor(kernel))}


def _fed_inside(v1: Any) -> Any:
    """Fed at a tensor that the graph would compute itself."""
    x = _input(v1)
    weight = v1.get_variable("weight", initializer=np.float32(3.0))
    inner = v1.multiply(x, weight, name="inner")
    return {"x": inner}, {"y": inner + 1.0}


def _vocabulary(v1: Any) -> Any:
    """Its table is filled from a file, which is an asset."""
    words = _input(v1, "words", v1.string, [None])
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:
        file.write("cat\ndog\n")
    name = v1.constant(file.name, name="asset_path")
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, name)
    initial = v1.lookup.TextFileInitializer(
        name,
        v1.string,
        v1.lookup.TextFileIndex.WHOLE_LINE,
        v1.int64,
        v1.lookup.TextFileIndex.LINE_NUMBER,
    )
    return {"words": words}, {"ids": v1.lookup.StaticHashTable(initial, -1).lookup(words)}


def _two_signatures(v1: Any) -> Any:
    x = _input(v1)
    first = v1.get_variable("first/kernel", initializer=np.float32(2.0))
    second = v1.get_variable("second/kernel", initializer=np.float32(3.0))
    y, z = (v1.multiply(x, each, name=f"{each.op.name[:-6]}y") for each in (first, second))
    return {"x": x}, {"y": y, "z": z}


def _trained(v1: Any) -> Any:
    """What is exported in the middle of a training, with the optimizer's variables."""
    x = _input(v1)
    kernel = v1.get_variable("kernel", initializer=np.array([[0.5, 1], [2, -1]], "float32"))
    y = v1.matmul(x, kernel)
    v1.train.AdamOptimizer().minimize(v1.reduce_sum(y * y), v1.train.get_or_create_global_step())
    return {"x": x}, {"y": y}


def _frozen(v1: Any) -> Any:
    """All weights are constants, as in detection models."""
    x = _input(v1)
    hidden = v1.matmul(x, v1.constant(np.array([[0.5, 1], [2, -1]], "float32")))
    with v1.device("/cpu:0"):
        best = v1.argmax(hidden, axis=1, name="best")
    return {"x": x}, {"y": hidden, "best": best}


_EXAMPLES: Final = np.array([b"\n\x13\n\x11\n\x03age\x12\n\x12\x08\n\x06\n\x04\x00\x00\x20A"] * 2)
_SPARSE: Final = {
    "sparse_indices": np.array([[0, 1], [1, 2]], "int64"),
    "sparse_values": np.array([2.0, 3.0], "float32"),
    "sparse_dense_shape": np.array([2, 3], "int64"),
}
SESSION_MODELS: Final[Mapping[str, SessionModel]] = {
    "dense": SessionModel(build=_dense),
    "dense with resources": SessionModel(build=_dense, resources=True),
    "examples": SessionModel(build=_examples, inputs=({"inputs": _EXAMPLES},)),
    "loop": SessionModel(build=_loop),
    "loop with resources": SessionModel(build=_loop, resources=True, modern_loops=True),
    "embedding": SessionModel(build=_embedding, inputs=({"ids": np.array([3, 0])},)),
    "embedding with resources": SessionModel(
        build=_embedding, inputs=({"ids": np.array([3, 0])},), resources=True
    ),
    "sparse": SessionModel(build=_sparse, inputs=(_SPARSE,)),
    "fed inside": SessionModel(build=_fed_inside),
    "table": SessionModel(
        build=_table, inputs=({"words": np.array(["dog", "cow"])},), reason="HashTable"
    ),
    "partitioned": SessionModel(build=_partitioned),
    "partitioned with resources": SessionModel(build=_partitioned, resources=True),
    "vocabulary": SessionModel(
        build=_vocabulary, inputs=({"words": np.array(["dog", "cow"])},), reason="HashTable"
    ),
    "two signatures": SessionModel(build=_two_signatures, resources=True),
    "trained": SessionModel(build=_trained),
    "trained with resources": SessionModel(build=_trained, resources=True),
    "frozen": SessionModel(build=_frozen),
}
#: The signatures that users call.
SIGNATURES: Final[Mapping[str, Sequence[str]]] = {
    name: ("serving_default", "second") if name == "two signatures" else ("serving_default",)
    for name in SESSION_MODELS
}


def save_session_model(
    name: str, path: Path, *, tags: tuple[tuple[str, ...], ...] = (("serve",),)
) -> str:
    """Save the model called *name* at *path*, once for each of *tags*."""
    import tensorflow as tf

    model, v1 = SESSION_MODELS[name], tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    for index, each in enumerate(tags):
        with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
            _save(model, v1, session, builder, each, is_first=not index)
    builder.save()
    return str(path)


def _save(
    model: SessionModel, v1: Any, session: Any, builder: Any, tags: Any, *, is_first: bool
) -> None:
    with v1.variable_scope("", use_resource=model.resources):
        switched = v1.control_flow_v2_enabled()
        (v1.enable_control_flow_v2 if model.modern_loops else v1.disable_control_flow_v2)()
        try:
            inputs, outputs = model.build(v1)
        finally:
            (v1.enable_control_flow_v2 if switched else v1.disable_control_flow_v2)()
    session.run([v1.global_variables_initializer(), v1.tables_initializer()])
    define = v1.saved_model.predict_signature_def
    signatures = {"serving_default": define(inputs, outputs)}
    if "z" in outputs:
        signatures["second"] = define(inputs, {"z": outputs["z"]})
    if is_first:
        builder.add_meta_graph_and_variables(
            session, list(tags), signatures, main_op=v1.tables_initializer()
        )
    else:
        builder.add_meta_graph(list(tags), signatures)
