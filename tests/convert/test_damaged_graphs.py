"""Damage in parts of a `saved_model.pb` that a twin does without: stock reads all of it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.conftest import SavedOnce
from tests.installed import is_before
from tests.small_models import SAVED_MODEL, copy_model

tf = pytest.importorskip("tensorflow")


def error_of(load: Callable[[], Any]) -> str | None:
    try:
        load()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:60]}"
    return None


def check(path: Path) -> str | None:
    """Check that each loader raises what stock raises, twice; return stock's error."""
    keras = SAVED_MODEL.package
    stock = error_of(lambda: SAVED_MODEL.stock.models.load_model(path))
    objects = error_of(lambda: tf.saved_model.load(str(path)))
    for _ in range(2):
        assert error_of(lambda: fastload.load_model(path, keras=keras)) == stock
        assert error_of(lambda: fastload.load_saved_model(str(path))) == objects
    return stock


@pytest.fixture
def damaged(saved_once: SavedOnce, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Return what copies a SavedModel and edits its message."""

    def make(edit: Callable[[Any], None]) -> Path:
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as Message

        path = copy_model(saved_once(SAVED_MODEL), tmp_path / "m")
        message = Message.FromString((path / "saved_model.pb").read_bytes())
        edit(message.meta_graphs[0])
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        return path

    return make


def _with_nodes(graph: Any) -> Any:
    functions = graph.graph_def.library.function
    return next(each for each in functions if any(node.input for node in each.node_def))


def rename_operation(graph: Any) -> None:
    _with_nodes(graph).node_def[-1].op = "NoSuchOperation"


def rename_input(graph: Any) -> None:
    node = next(each for each in _with_nodes(graph).node_def if each.input)
    node.input[0] = "nothing:z:0"


def rename_result(graph: Any) -> None:
    function = _with_nodes(graph)
    function.ret[next(iter(function.ret))] = "nothing:z:0"


def drop_attribute(graph: Any) -> None:
    nodes = (node for function in graph.graph_def.library.function for node in function.node_def)
    del next(node for node in nodes if "dtype" in node.attr).attr["dtype"]


def drop_function(graph: Any) -> None:
    """Not any: those that save and restore are called by no object of the model's."""
    functions = graph.graph_def.library.function
    called = graph.object_graph_def.concrete_functions
    functions.remove(next(each for each in functions if each.signature.name in called))


def two_of_one_name(graph: Any) -> None:
    library = graph.graph_def.library
    library.function.add().CopyFrom(library.function[0])


def two_nodes_of_one_name(graph: Any) -> None:
    function = _with_nodes(graph)
    function.node_def.add().CopyFrom(function.node_def[0])


def _captures(graph: Any) -> Any:
    functions = graph.object_graph_def.concrete_functions
    return next(functions[each] for each in sorted(functions) if functions[each].bound_inputs)


def capture_the_root(graph: Any) -> None:
    _captures(graph).bound_inputs[0] = 0


def capture_nothing_there(graph: Any) -> None:
    _captures(graph).bound_inputs[0] = 2**31 - 1


def drop_captures(graph: Any) -> None:
    functions = graph.object_graph_def.concrete_functions
    called = [
        name for node in graph.object_graph_def.nodes for name in node.function.concrete_functions
    ]
    del functions[called[0]]


def drop_arguments(graph: Any) -> None:
    _captures(graph).ClearField("canonicalized_input_signature")


def drop_results(graph: Any) -> None:
    _captures(graph).output_signature.Clear()
    _captures(graph).output_signature.tuple_value.values.add()


def refer_to_nothing_there(graph: Any) -> None:
    graph.object_graph_def.nodes[0].children[0].node_id = 2**31 - 1


def of_no_kind(graph: Any) -> None:
    node = next(each for each in graph.object_graph_def.nodes if each.HasField("variable"))
    node.ClearField(node.WhichOneof("kind"))


def rename_the_kind_of_a_signature(graph: Any) -> None:
    nodes = graph.object_graph_def.nodes
    signature = next(each for each in nodes if each.HasField("bare_concrete_function"))
    spec = signature.bare_concrete_function.function_spec
    spec.fullargspec.named_tuple_value.name = "no identifier"


def rename_a_weight(graph: Any) -> None:
    nodes = graph.object_graph_def.nodes
    child = next(each for node in nodes for each in node.children if each.local_name == "bias")
    child.local_name = "bia"


def argument_of_no_type(graph: Any) -> None:
    _with_nodes(graph).signature.input_arg[0].type = 0


def _of_keras(graph: Any, name: str) -> Any:
    """Return the node that the model's node for Keras has under a name."""
    nodes = graph.object_graph_def.nodes
    owner = next(each.node_id for each in nodes[0].children if each.local_name == "keras_api")
    found = next(each.node_id for each in nodes[owner].children if each.local_name == name)
    return nodes[found]


def metrics_of_no_kind(graph: Any) -> None:
    _of_keras(graph, "layer_metrics").user_object.identifier = "trackable_dict_wrappe"


def losses_of_no_kind(graph: Any) -> None:
    _of_keras(graph, "layer_regularization_losses").user_object.identifier = "trackable_lis"


def argument_of_no_shape(graph: Any) -> None:
    functions = graph.graph_def.library.function
    told = (each for function in functions for each in function.arg_attr.values())
    shapes = next(each.attr["_output_shapes"] for each in told if "_output_shapes" in each.attr)
    shapes.list.ClearField("shape")


@pytest.mark.parametrize(
    "edit",
    [
        *(argument_of_no_shape, metrics_of_no_kind, losses_of_no_kind),
        *(rename_a_weight, argument_of_no_type, rename_the_kind_of_a_signature),
        *(rename_operation, rename_input, rename_result, drop_attribute, drop_function),
        *(two_of_one_name, two_nodes_of_one_name, capture_the_root, capture_nothing_there),
        *(drop_captures, drop_arguments, drop_results, refer_to_nothing_there),
    ],
)
def test_a_function_that_stock_cannot_make(
    damaged: Callable[..., Path], cache_root: Path, edit: Callable[[Any], None]
) -> None:
    """The twin's model would not call it."""
    # TensorFlow 2.8 makes one of two that have one name.
    assert check(damaged(edit)) is not None or (edit is two_of_one_name and is_before("2.12"))


def test_an_object_of_no_kind(damaged: Callable[..., Path], cache_root: Path) -> None:
    """Keras knows some objects without it, TensorFlow none."""
    path = damaged(of_no_kind)

    check(path)

    assert error_of(lambda: tf.saved_model.load(str(path))) is not None


def test_bytes_that_are_no_message(saved_once: SavedOnce, tmp_path: Path, cache_root: Path) -> None:
    """A bit of a tag in the middle of the functions."""
    path = copy_model(saved_once(SAVED_MODEL), tmp_path / "m")
    file = path / "saved_model.pb"
    content = bytearray(file.read_bytes())
    where = random.Random(1)
    for _ in range(50):
        content[where.randrange(len(content) // 4, len(content) // 2)] ^= 0x80
    file.write_bytes(content)

    assert "Cannot parse file" in str(check(path))


def test_a_slot_of_an_optimizer_that_is_no_variable(
    damaged: Callable[[Callable[[Any], None]], Path],
) -> None:
    """Stock opens it, with all variables of the model; ours failed when they were looked at."""

    def make_a_list_of_it(graph: Any) -> None:
        nodes = graph.object_graph_def.nodes
        node = next(node for node in nodes if re.search("Adam/.*kernel", node.variable.name))
        node.ClearField("variable")
        node.user_object.identifier = "trackable_list_wrapper"
        node.user_object.version.producer = node.user_object.version.min_consumer = 1

    path = str(damaged(make_a_list_of_it))
    expected = [variable.numpy().tobytes() for variable in tf.saved_model.load(path).variables]

    for _ in range(2):
        found = fastload.load_saved_model(path).variables
        assert [variable.numpy().tobytes() for variable in found] == expected
