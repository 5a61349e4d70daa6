"""Setting attributes of layers in a rebuild, without asking of plain values what they cannot be.

Both generations of Keras look at each value that a layer is given: is it a variable, a layer, a
metric, a container to be wrapped? A rebuild sets tens of thousands of attributes, nearly all of
them numbers, strings, None, or such as Keras does not track. The short cuts here answer by the
exact type of the value, for Keras's own classes only, and leave behind just what Keras would: each
is held against the stock method on two layers before it is first used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from fastload.runtime.core.rebuild import Tap, current_rebuild

SetAttribute = Callable[[Any, str, Any], None]

#: Values of just these types are neither tracked nor wrapped.
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
#: TensorFlow sets and resets this around each method that is not to track.
_TRACKING: Final = "_self_setattr_tracking"
#: Keras 2 counts here by how many attributes each object is referred to. In 2.8 a layer has it from
#: its first assignment on, and is left to Keras's own method.
_COUNTS: Final = "_obj_reference_counts_dict"
#: Where Keras 3 keeps what it tracks.
_TRACKER: Final = "_tracker"
#: The classes whose `__setattr__` the short cuts know.
_KNOWN: Final = frozenset({"Layer", "Model", "KerasAutoTrackable", "AutoTrackable", "object"})


@functools.cache
def tap_attributes(layer_class: Any) -> Tap | None:
    """Return the tap on `Layer.__setattr__`, or None where a short cut would not do the same.

    Args:
        layer_class: Keras's `Layer`, of either generation.
    """
    if hasattr(layer_class, "__getattr__"):  # PyTorch's modules keep attributes elsewhere
        return None
    short_cut = _keras3 if hasattr(layer_class, "_initialize_tracker") else _keras2

    def make(stock: SetAttribute) -> SetAttribute:
        is_known = functools.cache(functools.partial(_is_known, layer_class))

        @functools.wraps(stock)
        def set_attribute(self: Any, name: str, value: Any) -> None:
            kind: Any = type(self)
            is_taken = current_rebuild() is not None and is_known(kind)
            if not (is_taken and short_cut(self, name, value)):
                stock(self, name, value)

        return set_attribute

    return Tap(layer_class, "__setattr__", make) if _agrees(layer_class, short_cut) else None


def _is_known(layer_class: Any, kind: type[Any]) -> bool:
    """Say whether *kind* is Keras's own; a user's class may mean something by its attributes."""
    package = layer_class.__module__.partition(".")[0]
    setters = {base.__name__ for base in kind.__mro__ if "__setattr__" in vars(base)}
    return (
        kind.__module__.startswith(f"{package}.")
        and setters <= _KNOWN
        and not hasattr(kind, "__getattr__")
    )


def _keras2(layer: Any, name: str, value: Any) -> bool:
    """Set an attribute as Keras 2's `Layer` does, where it is a short one; say whether it was."""
    attributes = vars(layer)
    if name == _TRACKING or not attributes.get(_TRACKING, True) or hasattr(type(layer), name):
        object.__setattr__(layer, name, value)
        return True
    old = attributes.get(name)
    if type(value) not in _PLAIN or type(old) not in _PLAIN or _COUNTS not in attributes:
        return False
    _count(attributes[_COUNTS], old, value)
    # Keras deletes what it replaces, so that the name moves to the end.
    attributes.pop(name, None)
    attributes[name] = value
    return True


def _count(counts: MutableMapping[Any, int], old: Any, new: Any) -> None:
    """Count one reference more to *new* and, if there is any, one less to *old*.

    Where there was no attribute, *old* is None, and Keras takes one from the count of None.
    """
    counts[new] = counts.get(new, 0) + 1
    references = counts.get(old, 0)
    if references > 1:
        counts[old] = references - 1
    elif references:
        del counts[old]


def _keras3(layer: Any, name: str, value: Any) -> bool:
    """Set an attribute as Keras 3's `Layer` does, where it is plain; say whether it was."""
    if type(value) not in _PLAIN or _TRACKER not in vars(layer):
        return False
    try:
        is_set = getattr(layer, name) is value
    except AttributeError:
        is_set = False
    if not is_set:
        object.__setattr__(layer, name, value)
    return True


def _agrees(layer_class: Any, short_cut: Callable[[Any, str, Any], bool]) -> bool:
    """Set the same attributes by the stock method and by *short_cut*, and compare the layers."""
    stock = layer_class.__setattr__
    by_stock, by_us = layer_class(name="fastload"), layer_class(name="fastload")
    for name, value in _SAMPLES:
        stock(by_stock, name, value)
        if not short_cut(by_us, name, value):
            return False
    return _traces(by_stock) == _traces(by_us)


#: A new attribute, replaced ones, a shared value, a property, an attribute of the class.
_SAMPLES: Final = (
    ("fastload_a", "a"),
    ("fastload_b", None),
    ("fastload_a", 2.5),
    ("fastload_c", 2.5),
    ("fastload_b", True),
    ("trainable", False),
    ("_auto_track_sub_layers", True),
    (_TRACKING, False),
    ("fastload_d", 7),
    ("fastload_a", 8),
    (_TRACKING, True),
)


def _traces(layer: Any) -> list[tuple[str, Any]]:
    """Return the plain attributes of *layer* in their order, and Keras 2's counts of them."""
    plain = [(name, value) for name, value in vars(layer).items() if type(value) in _PLAIN]
    counts = vars(layer).get(_COUNTS, {})
    return [*plain, *((repr(key), counts[key]) for key in counts if type(key) in _PLAIN)]
