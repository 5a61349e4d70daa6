"""Nothing of fastload touches a private name of TensorFlow or Keras that has no row.

The rows are in `fastload.runtime.requirements`. This test reads code, and compares names alone:
whether the name is on the object that its row says is what tests/runtime/test_requirements.py sees.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastload.runtime import requirements
from fastload.runtime.importing import Feature
from fastload.runtime.requirements import FEATURES

ROOT = Path(__file__).resolve().parents[2] / "src" / "fastload"
#: They must not import `runtime`; what they list is looked for by `doctor`.
OWN_TABLES = {"hooks/patch_points.py", "imports/light_import.py", "imports/linking.py"}
TABLE = "runtime/requirements.py"
#: Where names of TensorFlow and Keras are at home: the same files may use private attributes.
ADAPTERS = ("runtime/", "keras2to3/", "traces/", "tf_")
PRIVATE = re.compile(r"_[A-Za-z]\w*")
#: With `{}` for what a formatted string puts in.
MODULE = re.compile(r"(tensorflow\.python|tensorflow\.core|jax\._src|(\w+|\{\})\.src)\.[\w{]")
#: Private names that are no attributes: of nodes and their attributes in graphs, of what a file
#: holds, and our own.
NO_ATTRIBUTES = {
    *("_Arg", "_Retval", "_class", "_output_shapes", "_input_shapes", "_handle_dtypes"),
    *("_handle_shapes", "_lower_using_switch_merge", "_user_specified_name"),
    *("_tpu_replicate", "_xla_inferred_shapes", "_XlaHasReferenceVars"),
    *("_CHECKPOINTABLE_OBJECT_GRAPH", "_CONSTANT_VALUE", "_layer_checkpoint_dependencies"),
    *("_distutils_hack", "_frozen_importlib", "_frozen_importlib_external"),
    *("_lookup_layer", "_table", "_initialize", "_metrics", "_compile_metrics", "_iterations"),
    *("_gradient_op_type", "_generic_user_object", "_default_save_signature"),
    *("_tf_keras_network", "_tf_keras_sequential", "_tf_keras_model"),
}
#: Of Python itself.
OF_PYTHON = {"_exit", "_getframe", "_showwarnmsg"}
KNOWN = {
    word
    for feature in FEATURES
    for part in feature.parts.values()
    for name in part.names
    for word in name.path.replace("()", "").split(".")
}


def findings(code: str, path: str) -> Iterator[str]:
    """Yield each private name in *code* that has no row."""
    tree = ast.parse(code)
    own = set(_defined(tree))
    for node in ast.walk(tree):
        for name in _touched(node, own):
            if name not in KNOWN | OF_PYTHON:
                yield f"{path}:{node.lineno}: {name}"
    for line, text, is_whole in _texts(tree):
        if path not in OWN_TABLES and MODULE.match(text):
            yield f"{path}:{line}: {text}"
        is_ours = text.startswith("_fastload") or text in own | NO_ATTRIBUTES
        if (
            is_whole
            and _is_adapter(path)
            and PRIVATE.fullmatch(text)
            and not is_ours | (text in KNOWN | OF_PYTHON)
        ):
            yield f"{path}:{line}: {text!r}"


def _texts(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Yield line and text of each string, and whether it is whole: nothing is formatted into it."""
    pieces = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces.update(map(id, node.values))
            values = (
                each.value if isinstance(each, ast.Constant) else "{}" for each in node.values
            )
            yield node.lineno, "".join(values), False
        elif isinstance(node, ast.Constant) and id(node) not in pieces:
            yield node.lineno, node.value if isinstance(node.value, str) else "", True


def _defined(tree: ast.AST) -> Iterator[str]:
    """Yield the private names that the module itself gives to what is its own."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node):
            yield node.attr


def _touched(node: ast.AST, own: set[str]) -> Iterator[str]:
    """Yield the private attribute that *node* looks up on something that is not ours."""
    if not isinstance(node, ast.Attribute) or not PRIVATE.fullmatch(node.attr):
        return
    of_super = isinstance(node.value, ast.Call) and ast.unparse(node.value) == "super()"
    if of_super or not (_is_own(node) or node.attr in own):
        yield node.attr


def _is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _is_adapter(path: str) -> bool:
    is_tf = Path(path).name.startswith(ADAPTERS)
    return path != TABLE and (path.startswith(ADAPTERS) or is_tf)


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_each_private_name_has_a_row() -> None:
    """Add it to `runtime/requirements.py`, and ask for the part that it is in."""
    # The others are about Python: its import system, and its locks after a fork.
    others = {TABLE, "imports/lazy_module.py", "unfinished.py"}
    found = [
        each for path, code in modules() if path not in others for each in findings(code, path)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("layer._no_such_name()", "_no_such_name"),
        ("super()._no_such_name()", "_no_such_name"),
        ("self.layer._no_such_name = 1", "_no_such_name"),
        ("getattr(layer, '_no_such_name', None)", "'_no_such_name'"),
        ("vars(layer)['_no_such_name']", "'_no_such_name'"),
        ("import_module('tensorflow.python.no_such')", "tensorflow.python.no_such"),
        ("import_module('keras.src.no_such')", "keras.src.no_such"),
        ("import_module(f'{keras}.src.{name}')", "{}.src.{}"),
    ],
)
def test_a_private_name_without_a_row_is_seen(code: str, what: str) -> None:
    assert list(findings(code, "runtime/some.py")) == [f"runtime/some.py:1: {what}"]


@pytest.mark.parametrize(
    "code",
    [
        "layer._flatten_layers()",
        "self._own = 1; other._own",
        "class _Own: pass\nmodule._Own",
        "'_class'",
        "f'{name}_input'; f'{keras}.src.'",
        "'a sentence about _names and tensorflow.python.eager'",
    ],
)
def test_what_has_a_row_or_is_ours_is_let_be(code: str) -> None:
    assert list(findings(code, "runtime/some.py")) == []


def asked() -> Iterator[tuple[str, str, str]]:
    """Yield each `FEATURE.part("name")` of the code: where, the feature, the name."""
    for path, code in modules():
        for node in ast.walk(ast.parse(code)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"part", "optional", "loaded"}
                and isinstance(node.func.value, ast.Name)
                and isinstance(getattr(requirements, node.func.value.id, None), Feature)
                and isinstance(node.args[0], ast.Constant)
            ):
                yield f"{path}:{node.lineno}", node.func.value.id, str(node.args[0].value)


def test_each_part_that_is_asked_for_is_in_the_table() -> None:
    found = list(asked())
    unknown = [each for each in found if each[2] not in getattr(requirements, each[1]).parts]

    assert len(found) > 50
    assert unknown == []


def test_each_feature_is_used() -> None:
    """One that nobody needs any more goes."""
    names = {name for name, each in vars(requirements).items() if isinstance(each, Feature)}
    code = "\n".join(code for path, code in modules() if path != TABLE)

    assert {name for name in names if name not in code} == set()
