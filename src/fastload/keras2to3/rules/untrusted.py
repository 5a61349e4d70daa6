"""What a Keras 2 file may ask to have called, found before any loader opens it.

tf-keras opens whatever a file names: bytecode, a function of any module, an operation of
TensorFlow's, a file with words; in SavedModels and HDF5 files `safe_mode` does not keep it from
that. Keras 3 opens none of it, so a migration must not have it opened either. Sources: `Lambda`,
`tf_op_layer`, `serialization_lib` in tf-keras 2.21; CVE-2024-3660, -2025-1550, -2025-12058.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.operation_kinds import KINDS
from fastload.keras2to3.rules.operations import operation_of
from fastload.keras2to3.rules.rule import Item, owner

_BYTECODE: Final = "__lambda__"
#: Where a `Lambda` says of what kind its functions are.
_KINDS_OF_LAMBDA: Final = ("function_type", "output_shape_type", "mask_type")
#: Classes of tf-keras that call a method which a file names, or read a file.
_CALLERS: Final = frozenset(
    {
        *("Lambda", "ClassMethod", "InstanceMethod", "InstanceProperty"),
        *("DenseFeatures", "SequenceFeatures", "LinearModel", "WideDeepModel"),
    }
)
_FUNCTION_LAYERS: Final = frozenset({"TFOpLambda", "SlicingOpLambda"})
_OPERATION_LAYER: Final = "TensorFlowOpLayer"
#: Where tf-keras looks for Keras's own objects only; other modules it imports.
_PACKAGES: Final = frozenset({"keras", "tf_keras"})
_BUILT_IN: Final = "builtins"


def require_no_bytecode(document: Any) -> None:
    """Check that a configuration holds no Python bytecode.

    Raises:
        MigrationError: it does; the message names the layer.

    Example:
        >>> require_no_bytecode({"class_name": "Lambda", "config": {"function_type": "function"}})
    """
    for item in _objects(document):
        if item["class_name"] == _BYTECODE or (_bare(item) == "Lambda" and _is_code(item)):
            raise MigrationError(owner(item), "it holds Python bytecode, which is not run")


def bytecode_in(document: Any) -> MigrationError | None:
    """Return what `require_no_bytecode` raises; None if nothing."""
    try:
        require_no_bytecode(document)
    except MigrationError as error:
        return error
    return None


def called_by_name(document: Any) -> str | None:
    """Return what tf-keras would call or read because a configuration names it; None if nothing.

    Example:
        >>> called_by_name({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}})
        'the function tf.io.write_file'
    """
    return next(filter(None, map(_called, _objects(document))), None)


def _called(item: Item) -> str | None:
    name, config, module = _bare(item), item["config"], item.get("module")
    if name in _CALLERS:
        return f"a layer of class {name}"
    if name == "function" and module not in (None, _BUILT_IN):
        return f"the function {config!r} of the module {module}"
    if isinstance(module, str) and module.partition(".")[0] not in {*_PACKAGES, _BUILT_IN}:
        return f"the module {module}"
    return _named_in(name, config) if isinstance(config, Mapping) else None


def _named_in(name: str, config: Mapping[str, Any]) -> str | None:
    function = config.get("function", "__operators__.getitem")
    if name in _FUNCTION_LAYERS and operation_of(str(function)) is None:
        return f"the function tf.{function}"
    if name == _OPERATION_LAYER and _operation(config) not in KINDS:
        return f"the operation {_operation(config)}"
    words = config.get("vocabulary")
    return f"the file {words}" if isinstance(words, str) else None


def _operation(config: Mapping[str, Any]) -> str:
    node = config.get("node_def")
    return str(node.get("op")) if isinstance(node, Mapping) else str(node)


def _is_code(item: Item) -> bool:
    config = item["config"] if isinstance(item["config"], Mapping) else {}
    return any(config.get(kind) == "lambda" for kind in _KINDS_OF_LAMBDA)


def _bare(item: Item) -> str:
    return str(item["class_name"]).rpartition(">")[2]


def _objects(document: Any) -> Iterator[Item]:
    """Yield everything in a configuration that has a class, from the outside in."""
    waiting = [document]
    for each in waiting:  # grows while it is walked
        if isinstance(each, Mapping):
            if "class_name" in each:
                yield {"config": None, **each}
            waiting.extend(each.values())
        elif isinstance(each, (list, tuple)):
            waiting.extend(each)
