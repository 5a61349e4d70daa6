"""What can be said of an object that came from a SavedModel, as values to compare."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

#: TensorFlow numbers functions as it makes them.
_NUMBER = re.compile(r"(__\w+?)_\d+\b")
#: TensorFlow 2.8 tells the lines of Python that made an operation, which are the loader's.
_LINES = re.compile(r"Detected at node .*?(?=Node: )", re.DOTALL)


def told(tf: Any, act: Callable[[], Any]) -> Any:
    """Return what *act* returns, with lists for tensors, or what it raises."""
    try:
        return tf.nest.map_structure(lambda value: _plain(tf, value), act())
    except Exception as error:
        return type(error).__name__, _NUMBER.sub(r"\1", _LINES.sub("", str(error)))


def _plain(tf: Any, value: Any) -> Any:
    if isinstance(value, tf.RaggedTensor):
        return value.to_list(), value.dtype.name
    if isinstance(value, (tf.Tensor, tf.Variable)):
        return np.asarray(value).tolist(), value.dtype.name, value.shape.as_list()
    return value


def signatures(tf: Any, loaded: Any) -> dict[str, Any]:
    """Return, by name, structure and variables of each signature, and what it computes."""
    return {name: _signature(tf, function) for name, function in loaded.signatures.items()}


def signature_results(tf: Any, functions: Any) -> dict[str, Any]:
    """Return what each of a SavedModel's signatures computes, by name."""
    found = {}
    for name, function in functions.items():
        _, specs = function.structured_input_signature
        arguments = arguments_of(tf, {each: (s.dtype.name, s.shape) for each, s in specs.items()})
        found[name] = told(tf, lambda f=function, a=arguments: f(**a))
    return found


def predictor_results(tf: Any, predictor: Any) -> dict[str, Any]:
    """Return what each of a predictor's signatures computes, by name, on the same arguments."""
    found = {}
    for name, function in predictor.signatures.items():
        arguments = predictor_arguments(tf, function)
        found[name] = told(tf, lambda f=function, a=arguments: f(**a))
    return found


def predictor_arguments(tf: Any, function: Any) -> dict[str, Any]:
    """Return samples for what *function*, or a predictor, takes."""
    specs = {n: (s.dtype, tf.TensorShape(s.shape)) for n, s in function.input_specs.items()}
    return arguments_of(tf, specs)


def arguments_of(tf: Any, specs: dict[str, Any]) -> dict[str, Any]:
    """Return a sample for each of *specs*: dtype and shape by name."""
    randomness = np.random.default_rng(1)
    tf.random.set_seed(1)
    return {
        name: _sample(tf, tf.TensorSpec(shape, dtype), randomness)
        for name, (dtype, shape) in sorted(specs.items())
    }


def _signature(tf: Any, function: Any) -> Any:
    _, specs = function.structured_input_signature
    randomness = np.random.default_rng(1)
    arguments = {name: _sample(tf, spec, randomness) for name, spec in sorted(specs.items())}
    tf.random.set_seed(1)
    return (
        type(function).__name__,
        repr([_sorted(part) for part in function.structured_input_signature]),
        repr(_sorted(function.structured_outputs)),
        [variable.name for variable in function.variables],
        _sorted(told(tf, lambda: function(**arguments))),
    )


def _sorted(named: Any) -> Any:
    """Return what is named in the order of the names: TensorFlow 2.8 has another on each load."""
    return dict(sorted(named.items())) if isinstance(named, dict) else named


def _sample(tf: Any, spec: Any, randomness: np.random.Generator) -> Any:
    shape = [2 if size is None else size for size in spec.shape] if spec.shape.rank else []
    if spec.dtype == tf.string:
        return tf.constant(randomness.choice(["a b", "dog", "1"], shape))
    if spec.dtype.is_floating:
        return tf.cast(randomness.random(shape), spec.dtype)
    return tf.cast(randomness.integers(0, 2, shape), spec.dtype)


def children_of(node: Any) -> dict[str, Any]:
    """Return what *node* tracks."""
    try:
        return dict(node._trackable_children())
    except TypeError:  # resources of TensorFlow 2.12 want to be told what for
        return dict(node._trackable_children("checkpoint"))


def anatomy(tf: Any, root: Any) -> list[Any]:
    """Return class, children and value of an object and of all below it."""
    seen: dict[int, int] = {}
    found = []
    waiting = [("root", root)]
    for path, node in waiting:  # grows while it is walked
        known = seen.get(id(node))
        seen.setdefault(id(node), len(seen))
        children = {} if known is not None else children_of(node)
        value = told(tf, lambda node=node: node) if isinstance(node, tf.Variable) else None
        found.append((path, type(node).__name__, known, sorted(children), value))
        waiting += [(f"{path}.{name}", children[name]) for name in sorted(children)]
    return found


def portrait(tf: Any, load: Callable[[], Any]) -> dict[str, str]:
    """Load an object and return all that is said of it here, or how loading it fails."""
    try:
        loaded = load()
    except Exception as error:
        return {"load": f"{type(error).__name__}: {error}"}
    return {
        "signatures": repr(signatures(tf, loaded)),
        "names": repr(dir(loaded)),
        "anatomy": repr(anatomy(tf, loaded)),
    }
