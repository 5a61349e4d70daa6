"""Where TensorFlow traces a Keras model's predict function, and what may come in place of that.

`predict` makes its function by `tf.function` and calls it. Everything around the trace stays as it
is: which shapes share a trace, when another one is made, how the function is called. For models
that are watched, the one step in which TensorFlow runs the model's Python code may be passed over.
`docs/decisions/0017-stored-predict-function.md` says why this place.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final, Protocol

from fastload import unfinished
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import FIRST_PREDICT

#: What a stored trace becomes a concrete function with.
_NEEDED: Final = ("atomic_function", "concrete_function", "context")
_CREATE: Final = "_create_concrete_function"
_MAKER: Final = "make_predict_function"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """A trace that TensorFlow is about to make.

    Attributes:
        function_type: of the arguments.
        options: TensorFlow's `TracingOptions`.
        make: makes it, and returns the concrete function.
    """

    function_type: Any
    options: Any
    make: Callable[[], Any]

    def make_later(self) -> Any:
        """Make it as if it were then: outside of any graph, with the autograph of the function."""
        control, options = FIRST_PREDICT.part("tracing_compilation").ag_ctx, self.options
        status = control.Status.ENABLED if options.autograph else control.Status.DISABLED
        scope = control.ControlStatusCtx(status=status, options=options.autograph_options)
        with tensorflow().init_scope(), scope:
            made = self.make()
        made._garbage_collector.release()
        return made


class Watcher(Protocol):
    """Who is asked when a model's predict function is about to be traced."""

    def concrete(self, model: Any, tracing: Tracing) -> Any:
        """Return the concrete function, of *tracing* or in its place."""


_watchers: Final[weakref.WeakKeyDictionary[Any, Watcher]] = weakref.WeakKeyDictionary()
_lock: Final = unfinished.lock()


def watch(model: Any, watcher: Watcher) -> None:
    """Have *watcher* asked whenever the predict function of *model* is to be traced.

    Raises:
        UnsupportedRuntimeError: TensorFlow or Keras is not as expected.
    """
    for name in _NEEDED:
        FIRST_PREDICT.part(name)
    _patch()
    _watchers[model] = watcher


def _patch() -> None:
    """Put our step in the place of TensorFlow's, once."""
    module = FIRST_PREDICT.part("tracing_compilation")
    with _lock:
        stock = getattr(module, _CREATE)
        if getattr(stock, "__code__", None) not in _codes_in(_asking.__code__):
            setattr(module, _CREATE, _asking(stock))


def _asking(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)  # so that it stands for stock's where code is compared
    def create(function_type: Any, type_context: Any, func_graph: Any, tracing_options: Any) -> Any:
        make = functools.partial(stock, function_type, type_context, func_graph, tracing_options)
        model = _model_of(tracing_options)
        watcher = None if model is None else _watchers.get(model)
        if watcher is None:
            return make()
        tracing = Tracing(function_type=function_type, options=tracing_options, make=make)
        return watcher.concrete(model, tracing)

    return create


def _model_of(options: Any) -> Any:
    """Return the model whose own predict function is to be traced, if it is that of a model."""
    function = _innermost(options.python_function)
    code = getattr(function, "__code__", None)
    if code is None or "self" not in code.co_freevars:
        return None
    model = function.__closure__[code.co_freevars.index("self")].cell_contents
    maker = _innermost(getattr(type(model), _MAKER, None))
    if code not in _codes_in(getattr(maker, "__code__", None)):
        return None
    # Keras 2 makes another function where a step is several batches.
    return None if "_steps_per_execution" in code.co_names else model


def _codes_in(code: CodeType | None) -> tuple[CodeType, ...]:
    return tuple(each for each in getattr(code, "co_consts", ()) if isinstance(each, CodeType))


def _innermost(function: Any) -> Any:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function
