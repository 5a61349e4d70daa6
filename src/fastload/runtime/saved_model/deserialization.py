"""What TensorFlow's loader does to a function once it is made, in each version of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastload.runtime.core.transplant import entry_over
from fastload.runtime.requirements import OBJECTS

#: Sets the signature of a concrete function, where that has no method of its own for it: not yet
#: in TensorFlow 2.12.
_SIGN: Final = "set_preinitialized_function_spec"


class Deserialization:
    """TensorFlow's own ways with functions that were made from their definitions.

    Args:
        stock: the module of the stock loader.

    Raises:
        UnsupportedRuntimeError: it is not as expected.
    """

    def __init__(self, stock: Any) -> None:
        module = OBJECTS.part("functions")
        self._stock, self._module = stock, module
        self._signs_by_module = hasattr(module, _SIGN)
        if not self._signs_by_module:
            OBJECTS.part("load_of_2_12")
        OBJECTS.part("variables")
        self._restore_captures = _restorer_of_captures()

    @property
    def function_class(self) -> Any:
        """The class of functions with several signatures."""
        return self._module.RestoredFunction

    @property
    def recreate(self) -> Callable[[Any, Any], Any]:
        """Makes a function with several signatures, given its message and the library.

        Concrete functions get their signatures when they are made, from whatever names them.
        """
        unsigned = {_SIGN: lambda function, spec: None} if self._signs_by_module else {}
        return entry_over(self._module, "recreate_function", unsigned)

    def sign(self, proto: Any, function: Any) -> None:
        """Give *function* the signature of the `SavedFunction` *proto*."""
        spec = self._module._deserialize_function_spec_as_nonmethod(proto.function_spec)
        if self._signs_by_module:
            self._module.set_preinitialized_function_spec(function, spec)
        else:
            function._set_function_spec(spec)

    def set_up_bare(self, proto: Any, function: Any) -> None:
        """Make *function* callable as the `SavedBareConcreteFunction` *proto* says."""
        self._module.setup_bare_concrete_function(proto, {proto.concrete_function_name: function})

    def capture(self, graph: Any, name: str, captured: Mapping[int, Any], function: Any) -> None:
        """Give *function* what it captures.

        Args:
            graph: the `SavedObjectGraph` of the model that the function is of.
            name: the function's name in the file.
            captured: variables, tensors and other objects by node id.
            function: the function itself.
        """
        if self._restore_captures is not None:
            order = graph.concrete_functions[name].bound_inputs
            self._restore_captures(function, [captured[node] for node in order])
        else:
            loader = self._stock.Loader
            view = _OneFunction(graph, name, function, loader._get_tensor_from_node)
            loader._setup_function_captures(view, name, captured)


def _restorer_of_captures() -> Callable[[Any, Any], None] | None:
    """Return what gives a function its captures; None where the loader does, as in 2.8."""
    module = OBJECTS.optional("restore_captures")
    if module is None:
        OBJECTS.part("load_of_2_8")
        return None
    restore: Callable[[Any, Any], None] = module.restore_captures
    return restore


class _OneFunction:
    """The loader of TensorFlow 2.8 as its own method sees it, with one function that is made."""

    def __init__(self, graph: Any, name: str, function: Any, tensor_from_node: Any) -> None:
        self._proto = graph
        self._concrete_functions = {name: function}
        self._restored_concrete_functions: set[str] = set()
        self._tensor_from_node = tensor_from_node

    def _get_tensor_from_node(self, *arguments: Any) -> Any:
        return self._tensor_from_node(self, *arguments)
