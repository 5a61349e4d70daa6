"""The functions of a SavedModel, each made by TensorFlow from its definition on first access.

TensorFlow's loader makes a Python graph of every function of the file, 695 in a ResNet50 of which a
caller needs two; that is what it spends its time on. Here its own loader of function libraries runs
over one function and those that it calls, when that function is first accessed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fastload.runtime.core.materialize import (
    materialized_on_access,
    materializing,
    taking_state,
)
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.transplant import Overlay, entry_over
from fastload.runtime.requirements import OBJECTS

#: What is done to a concrete function once it is made: its signature, its captures.
Finish = Callable[[Any], None]


class FunctionLibrary(Mapping[str, Any]):
    """Concrete functions by name, as the loader of objects expects them.

    Args:
        definition: returns a `FunctionDef` message of its own for a name.
        names: all names.
        gradients: a `FunctionDefLibrary` without functions: which of them are gradients.
        graph: the `SavedObjectGraph`.
    """

    def __init__(
        self, definition: Callable[[str], Any], names: Iterable[str], gradients: Any, graph: Any
    ) -> None:
        self._definition = definition
        self._names = frozenset(names)
        self._gradients = gradients
        self._graph = graph
        self._finishes: dict[str, list[Finish]] = {}
        self._finished: set[str] = set()
        self._functions: dict[str, Any] = {}
        self._batches = _Batches(self._names, self._finish)
        #: The class of the concrete functions that the loader of objects makes.
        self._final = OBJECTS.part("load")._WrapperFunction
        #: The device that the load runs under, if the caller chose one.
        self._device = OBJECTS.part("context").context().device_name or None

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._functions:
            materialize = taking_state(functools.partial(self._make, name))
            self._functions[name] = materialized_on_access(
                self._final, materialize, tracked_state()
            )
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def finish(self, name: str, action: Finish) -> None:
        """Have *action* done to the function called *name* as soon as it is made.

        Actions are done in the order of these calls, before anybody else sees the function; where
        it is made already, at once.
        """
        if name in self._finished:
            action(self._batches.made[name])
        else:
            self._finishes.setdefault(name, []).append(action)

    def _make(self, name: str) -> Any:
        with self._as_at_the_load():
            if name not in self._batches.made:
                definitions = self._unmade(name)
                self._batches.load(definitions, self._gradients, self._graph, self._final)
        self._finish(name)
        return self._batches.made[name]

    def _finish(self, name: str) -> None:
        """Do what waits for the function called *name*, which is made; nothing if it was done."""
        if name in self._finished:
            return
        with materializing, self._as_at_the_load():
            for action in self._finishes.get(name, []):
                action(self._batches.made[name])
            self._finishes.pop(name, None)  # only now: a failure is tried again
            self._finished.add(name)

    @contextmanager
    def _as_at_the_load(self) -> Iterator[None]:
        """Run the block outside of any graph: an access from inside of one must not build there."""
        tf = tensorflow()
        with tf.init_scope(), tf.device(self._device):
            yield

    def _unmade(self, name: str) -> list[Any]:
        """Return the definitions of *name* and of all that it calls, but for those made before."""
        found: dict[str, Any] = {}
        waiting = [name]
        while waiting:
            wanted = waiting.pop()
            if wanted not in found and wanted not in self._batches.made:
                found[wanted] = self._definition(wanted)
                waiting += self._batches.called_by(found[wanted], self._gradients)
        return list(found.values())


#: What gives a `FunctionDef` new names: since TensorFlow 2.9, and before.
_FIXES: Final = ("_fix_fdef_in_place", "_fix_fdef")


class _Batches:
    """TensorFlow's loader of one function library, run over parts of it one after the other.

    Args:
        names: the names of all functions of the library.
        finish: does what waits for a function, by its name.
    """

    def __init__(self, names: frozenset[str], finish: Callable[[str], None]) -> None:
        # Checked now: when a function is made, it is too late to leave the load to stock.
        stock, ops = OBJECTS.part("functions"), OBJECTS.part("ops")
        self.made: dict[str, Any] = {}
        self._all_names = names
        self._finish = finish
        self._stock = stock
        # One for all parts: tables that share a name within a file must share it here.
        self._suffix = f"_load_{ops.uid()}"
        self._fix = next((name for name in _FIXES if hasattr(stock, name)), _FIXES[0])
        graph = ops.Graph()
        self._renamed: dict[Any, Any] = {}
        self._loaded_gradients: dict[Any, Any] = {}
        self._gradient_types: list[str] = []
        self._load = entry_over(
            stock,
            "load_function_def_library",
            {
                "ops": Overlay(ops, {"Graph": lambda: graph}),
                "custom_gradient": Overlay(
                    stock.custom_gradient, {"generate_name": self._next_gradient_type}
                ),
                "_list_function_deps": self._dependencies,
                "_sort_function_defs": self._sorted,
                self._fix: self._fixed,
                "_restore_gradient_functions": self._restore_gradients,
                "_gen_gradient_func": self._gradient_of,
            },
        )
        self._gradient_turn = 0

    def load(self, definitions: list[Any], gradients: Any, graph: Any, wrapper: Any) -> None:
        """Make functions of *definitions*, which may call each other and those made before."""
        library = type(gradients)()
        library.CopyFrom(gradients)
        library.function.extend(definitions)
        self._gradient_turn = 0
        self.made |= self._load(
            library,
            saved_object_graph=graph,
            load_shared_name_suffix=self._suffix,
            wrapper_function=wrapper,
        )
        self._renamed |= {function.name: function for function in self.made.values()}

    def called_by(self, definition: Any, gradients: Any) -> Iterable[str]:
        """Return the names of what *definition* calls, and of gradients of its operations."""
        encoded = {
            gradient.registered_op_type.encode(): gradient.gradient_func
            for gradient in gradients.registered_gradients
        }
        names: set[str] = self._dependencies(definition, self._all_names, encoded)
        return names

    def _dependencies(self, definition: Any, _: Any, gradients: Any) -> set[str]:
        found: set[str] = self._stock._list_function_deps(definition, self._all_names, gradients)
        return found

    def _sorted(self, library: Any, dependencies: Mapping[str, set[str]]) -> Any:
        new = {definition.signature.name for definition in library.function}
        return self._stock._sort_function_defs(
            library, {name: called & new for name, called in dependencies.items()}
        )

    def _fixed(self, definition: Any, functions: dict[str, Any], *rest: Any) -> Any:
        for name, function in self.made.items():
            functions.setdefault(name, function)
        return getattr(self._stock, self._fix)(definition, functions, *rest)

    def _restore_gradients(self, graph: Any, renamed: Any, loaded: Any) -> Any:
        self._renamed.update(renamed)
        self._loaded_gradients.update(loaded)
        return self._stock._restore_gradient_functions(graph, self._renamed, self._loaded_gradients)

    def _gradient_of(self, function: Any) -> Callable[..., Any]:
        """Return what TensorFlow calls for the gradient that *function* computes.

        Nobody accesses such a function, so it is finished when it is first called: only then is the
        function made whose tensors it captures.
        """
        stock = self._stock._gen_gradient_func(function)

        def gradient(operation: Any, *gradients: Any) -> Any:
            self._finish(next(name for name, each in self.made.items() if each is function))
            return stock(operation, *gradients)

        return gradient

    def _next_gradient_type(self) -> str:
        """Return the new name of the next gradient: the same one in each part."""
        if self._gradient_turn == len(self._gradient_types):
            self._gradient_types.append(self._stock.custom_gradient.generate_name())
        self._gradient_turn += 1
        return self._gradient_types[self._gradient_turn - 1]


def tracked_state() -> dict[str, Any]:
    """Return what TensorFlow reads of any object that another one refers to, to give it at once."""
    trackable = trackable_class()()
    trackable._maybe_initialize_trackable()
    state: dict[str, Any] = vars(trackable)
    return state


def trackable_class() -> Any:
    """Return the base of all objects that TensorFlow loads and saves."""
    return OBJECTS.part("trackable").Trackable
