"""In which order the reads of a graph are run, so that none waits for one that waits for it.

A read that is run too early holds room until its layer's inputs are there; if those need a weight
that has no room, both wait for ever. So a read comes after everything that its layer can need:

- after the read that was traced before it, in the same graph. A weight is then lent only after
  those of all earlier layers, whose kernels need no later one.
- after the loops, branches and calls traced in between, which may have reads of their own.
- the first read within a loop, branch or called function, after a value that was computed there
  before it: TensorFlow starts what needs no input at once, and loops run ahead of their data.

None of these is an edge that the optimizer of graphs looks at when it joins kernels: it joins none
that has control edges, so no kernel gets one. A value that is waited for has one reader more.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Final

_CALLS: Final = ("While", "If", "Case", "PartitionedCall")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a read waits for.

    Attributes:
        after: operations.
        data: tensors.
    """

    after: tuple[Any, ...] = ()
    data: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    operation: Any
    count: int


#: The last read in each graph, and how many operations the graph had then.
_last: Final[weakref.WeakKeyDictionary[Any, _Last]] = weakref.WeakKeyDictionary()


def turn_in(graph: Any) -> Turn:
    """Return what the next read in *graph*, a `FuncGraph`, waits for."""
    operations = graph.get_operations()
    last = _last.get(graph)
    if last is not None:
        calls = [each for each in operations[last.count :] if each.type.endswith(_CALLS)]
        return Turn(after=(last.operation, *calls))
    if not hasattr(graph.outer_graph, "capture"):  # nobody calls this one but Python
        calls = [each for each in operations if each.type.endswith(_CALLS)]
        return Turn(after=tuple(calls))
    return Turn(data=_latest_value(operations))


def took_turn(graph: Any, operation: Any) -> None:
    """Take down that *operation* is the latest read in *graph*."""
    _last[graph] = _Last(operation=operation, count=len(graph.get_operations()))


def _latest_value(operations: list[Any]) -> tuple[Any, ...]:
    """Return the last tensor with plain values that one of *operations* gives."""
    for operation in reversed(operations):
        for tensor in operation.outputs:
            if not tensor.dtype.name.startswith(("resource", "variant")):
                return (tensor,)
    return ()
