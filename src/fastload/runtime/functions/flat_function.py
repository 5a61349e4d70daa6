"""A flat function: one `FunctionDef` whose weights are plain tensor arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

#: A weight's name in the twin or, for what the twin has not, its values.
Value: TypeAlias = "str | np.ndarray[Any, Any]"


class NotFlatError(Exception):
    """A function needs real variables or other state, or cannot be kept as it was optimized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatFunction:
    """A flat function, ready to be registered with TensorFlow.

    Attributes:
        name: its name, which no other function of the process has.
        arguments: as in `Capturing`.
        results: as in `Capturing`.
        captures: where the values of the arguments after those come from.
        definitions: the functions that it calls and, last, its own: serialized `FunctionDef`s.
        varies: whether what it computes depends on the device that it runs on.
        is_optimized: TensorFlow's graph optimizers went over it already; see `optimizing`.
    """

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    captures: tuple[Value, ...]
    definitions: tuple[bytes, ...]
    varies: bool
    is_optimized: bool = False

    @classmethod
    def of_definition(cls, definition: Any) -> FlatFunction:
        """Return a function that captures nothing, of its `FunctionDef`."""
        signature = definition.signature
        return cls(
            name=signature.name,
            arguments=tuple(each.name for each in signature.input_arg),
            results=tuple(each.name for each in signature.output_arg),
            captures=(),
            definitions=(definition.SerializeToString(),),
            varies=False,
        )
