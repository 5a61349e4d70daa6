"""Patches that shorten what Keras and TensorFlow do around each attribute, variable and nest.

They act in a rebuild only, and each leaves behind just what the stock code would.
`docs/decisions/0010-lighter-bookkeeping.md` has the figures.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from fastload.runtime.core.rebuild import Patch, current_rebuild
from fastload.runtime.requirements import KERNELS, NESTS

SetAttribute = Callable[[Any, str, Any], None]

# Both generations of Keras look at each value that is set on a layer: is it a variable, a layer, a
# metric, a container to be wrapped? A rebuild sets tens of thousands of attributes, nearly all of
# them numbers, strings or None. The short cuts decide by the exact type of the value, for Keras's
# own classes only; each is compared with the stock method on two layers before its first use.

#: Values of exactly these types are neither tracked nor wrapped.
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
#: TensorFlow sets and resets this around each method that must not track.
_TRACKING: Final = "_self_setattr_tracking"
#: Where Keras 2 counts the attributes that refer to each object. A layer of Keras 2.8 has it only
#: after its first assignment, and is left to Keras's own method.
_COUNTS: Final = "_obj_reference_counts_dict"
#: Where Keras 3 keeps what it tracks.
_TRACKER: Final = "_tracker"
#: The classes whose `__setattr__` the short cuts replace.
_KNOWN: Final = frozenset({"Layer", "Model", "KerasAutoTrackable", "AutoTrackable", "object"})


@functools.cache
def attribute_patch(layer_class: Any) -> Patch | None:
    """Return the patch of `Layer.__setattr__`, or None where the short cut would not do the same.

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

    return Patch(layer_class, "__setattr__", make) if _agrees(layer_class, short_cut) else None


def _is_known(layer_class: Any, kind: type[Any]) -> bool:
    """Say whether *kind* is Keras's own; a custom class may set attributes in its own way."""
    package = layer_class.__module__.partition(".")[0]
    setters = {base.__name__ for base in kind.__mro__ if "__setattr__" in vars(base)}
    return (
        kind.__module__.startswith(f"{package}.")
        and setters <= _KNOWN
        and not hasattr(kind, "__getattr__")
    )


def _keras2(layer: Any, name: str, value: Any) -> bool:
    """Set an attribute as Keras 2's `Layer` does, if it can be done in short; say whether it
    was.
    """
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
    """Count one reference more to *new* and, if there is one, one less to *old*.

    Where there was no attribute, *old* is None, and Keras decrements the count of None.
    """
    counts[new] = counts.get(new, 0) + 1
    references = counts.get(old, 0)
    if references > 1:
        counts[old] = references - 1
    elif references:
        del counts[old]


def _keras3(layer: Any, name: str, value: Any) -> bool:
    """Set an attribute as Keras 3's `Layer` does, if its value is plain; say whether it was."""
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
    """Set the same attributes by the stock method and by *short_cut*; compare the layers."""
    stock = layer_class.__setattr__
    by_stock, by_us = layer_class(name="fastload"), layer_class(name="fastload")
    for name, value in _SAMPLES:
        stock(by_stock, name, value)
        if not short_cut(by_us, name, value):
            return False
    return _plain_state(by_stock) == _plain_state(by_us)


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


def _plain_state(layer: Any) -> list[tuple[str, Any]]:
    """Return the plain attributes of *layer* in order, and Keras 2's counts of them."""
    plain = [(name, value) for name, value in vars(layer).items() if type(value) in _PLAIN]
    counts = vars(layer).get(_COUNTS, {})
    return [*plain, *((repr(key), counts[key]) for key in counts if type(key) in _PLAIN)]


def kernel_patches() -> list[Patch]:
    """Return the patches of the operations that make handles of variables and assign to them.

    TensorFlow makes and keeps a kernel for every distinct set of attributes of an operation: for
    handles, one for every name (a debugging aid) and shape, for assignments one for every shape.
    TensorFlow 2.12 and later wrap each such kernel in a function of its own, which takes 0.5 ms; a
    network has hundreds. In a rebuild, handles are made under one name, and both kernels without
    the wrapping, which leaves 0.05 ms. The variable keeps its own name in Python, where messages
    and savers read it.

    Whether kernels are wrapped is a switch of the whole process. It is off for single operations
    only, and only while no other Python thread could notice.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks a name.
    """
    operations = KERNELS.part("operations")
    KERNELS.part("context")
    return [
        Patch(operations, name, _patched_operation)
        for name in ("var_handle_op", "assign_variable_op")
    ]


def _patched_operation(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def operation(*args: Any, **kwargs: Any) -> Any:
        rebuild = current_rebuild()
        if rebuild is None:
            return stock(*args, **kwargs)
        if "debug_name" in kwargs:
            kwargs["debug_name"] = "fastload"
        if rebuild.wrapping is None:
            rebuild.wrapping = _wrapping_switch() or _no_switch
        switch = rebuild.wrapping
        if switch is _no_switch or _others_run():
            return stock(*args, **kwargs)
        try:
            switch(False)  # an interrupt may come right after it
            return stock(*args, **kwargs)
        finally:
            switch(True)

    return operation


def _others_run() -> bool:
    """Say whether another thread could run an operation."""
    # fastload's own threads run no operation that the wrapping concerns.
    return sum(not each.name.startswith("fastload ") for each in threading.enumerate()) > 1


def _no_switch(position: bool) -> None:  # noqa: FBT001
    """Do nothing: there is no switch."""


def _wrapping_switch() -> Callable[[bool], None] | None:
    """Return the function that switches the wrapping of kernels, or None where it is off."""
    module = KERNELS.part("context")
    context = module.context()
    context.ensure_initialized()  # as the operation that is about to run would
    switch = getattr(KERNELS.optional("pywrap_tfe"), "TFE_ContextSetRunEagerOpAsFunction", None)
    is_on = getattr(module, "run_eager_op_as_function_enabled", lambda: False)
    if switch is None or not is_on():
        return None
    return functools.partial(switch, context._context_handle)


def nest_patches() -> list[Patch]:
    """Return the patch of the packing of sequences; none where TensorFlow packs them elsewhere.

    TensorFlow asks of each sequence that it packs whether it is one of a dozen special kinds; the
    last question is a `typing` protocol, which in Python 3.11 takes longer than everything else
    together. For an exact `list` or `tuple` all answers are known. Keras 2 packs thousands while it
    rebuilds a model.
    """
    module = NESTS.optional("nest_util")
    stock = getattr(module, "sequence_like", None)
    # Other threads call the replacement too, so its parameters must be the same.
    if stock is None or list(inspect.signature(stock).parameters) != ["instance", "args"]:
        return []
    return [Patch(module, "sequence_like", _patched_sequence_like)]


def _patched_sequence_like(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def sequence_like(instance: Any, args: Any) -> Any:
        kind = type(instance)
        if (kind is list or kind is tuple) and current_rebuild() is not None:
            return kind(args)
        return stock(instance, args)

    return sequence_like
