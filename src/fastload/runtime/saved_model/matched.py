"""What stock checks when it has restored a checkpoint: that each variable had a value in it.

A class that has changed since may have more variables than the file has values. Stock refuses such
a model, unless `allow_partial_checkpoint` was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastload.runtime.core.blank_variables import is_blank
from fastload.runtime.core.rebuild import current_rebuild, is_within
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import MATCHED


class UnmatchedVariableError(Exception):
    """A variable of the model has no value in the checkpoint."""


def may_lack(layers: Iterable[Any], base: type) -> bool:
    """Say whether there may be variables without a value: most models need no look at all of them.

    Args:
        layers: what Keras made, after it got its weights.
        base: Keras's base class of layers.
    """
    rebuild = current_rebuild()
    if rebuild is not None and any(map(is_blank, rebuild.blanks)):
        return True
    return any(not is_within(type(each).__module__, base) for each in layers)


def require_matched(layers: Iterable[Any], restored: Iterable[Any]) -> None:
    """Check that every variable of *layers* is among those that were *restored*.

    Args:
        layers: what Keras made. Networks have none of their own yet; stock lends them some.
        restored: variables that have got their values.

    Raises:
        UnmatchedVariableError: one is not.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    known = {id(each) for each in restored}
    for each in _below(layers):
        if isinstance(each, tensorflow().Variable) and id(each) not in known:
            raise UnmatchedVariableError(f"{each.name!r} has no value in the checkpoint")


def _below(layers: Iterable[Any]) -> Iterable[Any]:
    root = tensorflow().train.Checkpoint(**{f"node_{n}": each for n, each in enumerate(layers)})
    view = MATCHED.part("graph_view").ObjectGraphView(root)
    listed = getattr(view, "list_objects", None)  # before TensorFlow 2.10
    found: Iterable[Any] = listed() if listed else MATCHED.part("util").list_objects(view)
    return found
