"""What a function of a model takes and gives: names, dtypes, shapes, and Keras's structure of it.

Plain values: a twin keeps them as JSON, and nobody needs TensorFlow to read them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: What a predictor calls where it is asked for none: TensorFlow's own name for it.
DEFAULT_SIGNATURE: Final = "serving_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A tensor that a function takes or gives.

    Attributes:
        name: its name in the signature.
        dtype: the name of its dtype, as in `float32`.
        shape: its shape, None for each size that is not fixed; None where even the rank is not.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        """Describe it for people.

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
    """What one function takes and gives.

    Attributes:
        name: its name.
        inputs: by name.
        outputs: by name.
        order: the names of the inputs as a Keras model takes them in a list; None if that is not
            known.
        structure: the outputs as a Keras model gives them: a nest of lists, tuples and dicts with
            their names for leaves; None if that is not known.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    order: tuple[str, ...] | None = None
    structure: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold; `of_json` reads them."""
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
        """Read what `to_json` wrote of the signature called *name*."""
        order, structure = document.get("order"), document.get("structure")
        return cls(
            name=name,
            inputs={each: _spec(each, row) for each, row in document["inputs"].items()},
            outputs={each: _spec(each, row) for each, row in document["outputs"].items()},
            order=None if order is None else tuple(order),
            structure=None if structure is None else _untagged(structure),
        )


def map_structure(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return *structure*, a nest of lists, tuples and dicts, with *function* done to its leaves.

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
    """Return *structure* with its kinds spelt out: JSON knows no tuple, and a leaf is a name."""
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
