"""Where TensorFlow's graph optimizers make of equal graphs what does not compute the same bits.

A flat function is the graph of stock with other names and weights as arguments, which no optimizer
should mind. The remapper of TensorFlow 2.12 merges Keras's layer normalization into one operation
of oneDNN's; in an equal graph it fails half-way ("remapper failed", on stderr), and the layer stays
as it is. The results differ by a rounding. Seen on 2.12.1. On 2.15.1 stock's own function of a
SavedModel of the zoo fails so (InvalidArgumentError), and its equal does not. 2.8 and 2.21 were not
seen to do either.
"""

from __future__ import annotations

from typing import Any, Final

from fastload.runtime.core import eager
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.inlining import nodes_of

#: From the first TensorFlow with oneDNN switched on to the last that was not seen to be right.
_FIRST: Final = (2, 9)
_LAST: Final = (2, 20)


def require_no_fragile_fusion(graph: Any) -> None:
    """Check that the optimizers treat *graph* as they treat stock's.

    Raises:
        NotFlatError: it has a layer normalization, and this TensorFlow may merge it or not.
    """
    if _FIRST <= _release(eager.version()) <= _LAST and any(map(_normalizes, nodes_of(graph))):
        raise NotFlatError(
            f"TensorFlow {eager.version()} merges a layer normalization in one graph, "
            "and fails to in its equal"
        )


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _normalizes(node: Any) -> bool:
    """Say whether it is what Keras makes a layer normalization of: a batch's, while it trains."""
    return node.op == "FusedBatchNormV3" and bool(node.attr["is_training"].b)
