"""Inputs and outputs of a model's function: names, dtypes, shapes, and the structure Keras returns.

These are plain values that a twin stores as JSON, so TensorFlow is not needed to read them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastload.lean_dataclass import dataclass

#: TensorFlow's name for the signature that a predictor runs by default.
DEFAULT_SIGNATURE: Final = "serving_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """An input or output of a function.

    Attributes:
        name: its name in the signature.
        dtype: the name of its dtype, such as `float32`.
        shape: its shape, with None for each size that is not fixed; None if the rank is not fixed.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        """Return dtype and shape for people.

        Example:
            >>> str(TensorSpec(name="x", dtype="float32", shape=(None, 3)))
            'float32 of shape (?, 3)'
        """
        return f"{self.dtype} of {shown_shape(self.shape)}"


def shown_shape(shape: tuple[int | None, ...] | None) -> str:
    """Return *shape* for people: `shape (?, 3)`."""
    if shape is None:
        return "any shape"
    sizes = ["?" if size is None else str(size) for size in shape]
    return f"shape ({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The inputs and outputs of one function.

    Attributes:
        name: its name.
        inputs: by name.
        outputs: by name.
        order: the names of the inputs in the order in which a Keras model takes them in a list;
            None if that is not known.
        structure: the outputs in the structure that a Keras model returns: lists, tuples and dicts
            with the names as leaves; None if that is not known.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    order: tuple[str, ...] | None = None
    structure: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the signature as JSON values, which `of_json` reads."""
        document: dict[str, Any] = {
            "inputs": {name: _row(spec) for name, spec in self.inputs.items()},
            "outputs": {name: _row(spec) for name, spec in self.outputs.items()},
        }
        if self.order is not None:
            document["order"] = list(self.order)
        if self.structure is not None:
            document["structure"] = _tagged(self.structure)
        return document

    @classmethod
    def of_json(cls, name: str, document: Mapping[str, Any]) -> Signature:
        """Return the signature called *name* from what `to_json` returned."""
        order, structure = document.get("order"), document.get("structure")
        return cls(
            name=name,
            inputs={each: _spec(each, row) for each, row in document["inputs"].items()},
            outputs={each: _spec(each, row) for each, row in document["outputs"].items()},
            order=None if order is None else tuple(order),
            structure=None if structure is None else _untagged(structure),
        )


def map_structure(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return *structure*, nested lists, tuples and dicts, with *function* applied to each leaf.

    Example:
        >>> map_structure(str.upper, ["a", {"k": "b"}])
        ['A', {'k': 'B'}]
    """
    if isinstance(structure, dict):
        return {key: map_structure(function, value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(map_structure(function, value) for value in structure)
    return function(structure)


def _row(spec: TensorSpec) -> list[Any]:
    return [spec.dtype, None if spec.shape is None else list(spec.shape)]


def _spec(name: str, row: list[Any]) -> TensorSpec:
    dtype, shape = row
    return TensorSpec(name=name, dtype=dtype, shape=None if shape is None else tuple(shape))


def _tagged(structure: Any) -> Any:
    """Return *structure* with lists, tuples and dicts marked as such: JSON has no tuples."""
    if isinstance(structure, str):
        return structure
    if isinstance(structure, dict):
        return {"dict": {key: _tagged(value) for key, value in structure.items()}}
    return {type(structure).__name__: [_tagged(value) for value in structure]}


def _untagged(value: Any) -> Any:
    if isinstance(value, str):
        return value
    ((kind, inner),) = value.items()
    if kind == "dict":
        return {key: _untagged(each) for key, each in inner.items()}
    items = [_untagged(each) for each in inner]
    return tuple(items) if kind == "tuple" else items
