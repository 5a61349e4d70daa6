"""The calls of a functional Keras 2 model: which layer takes which tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.weight_names import form

#: Keras's marker in place of a layer's name, for an argument that is not a tensor.
CONSTANT: Final = "_CONSTANT_VALUE"


@dataclass(frozen=True, slots=True, order=True)
class TensorRef:
    """A tensor of a functional model.

    Attributes:
        layer: the layer that returned it.
        call: the number of the call of that layer, from 0.
        index: the index in the call's results.
    """

    layer: str
    call: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCall:
    """One call of a layer.

    Attributes:
        first: its first argument: a nest with `TensorRef`s.
        others: its other arguments, by name; tensors in them are `TensorRef`s too.
    """

    first: Any
    others: Mapping[str, Any]

    def refs(self) -> Iterator[TensorRef]:
        """Yield the tensors that the call needs."""
        yield from _refs(self.first)
        yield from _refs(self.others)


def is_network(item: Any) -> bool:
    """Say whether the object *item* is a functional model, of whatever class."""
    config = item.get("config")
    return isinstance(config, Mapping) and "layers" in config and "input_layers" in config


def is_sequential(item: Any) -> bool:
    """Say whether the object *item* is a sequential model."""
    return bool(item["class_name"] == "Sequential")


def first_calls(layers: list[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of each layer's first call in the model's configuration.

    Keras 2 counts the construction of a model with known inputs as its call 0.
    """
    return {layer_name(item): _first_call(item) for item in layers}


def layer_name(item: Mapping[str, Any]) -> str:
    """Return the name of the layer *item*; before Keras 2.2, sequential models had it in the
    configuration.
    """
    return str(item.get("name") or item["config"]["name"])


def _first_call(item: Mapping[str, Any]) -> int:
    if is_network(item):
        return 1
    if not is_sequential(item):
        return 0
    config = item["config"]
    inner = config["layers"] if isinstance(config, Mapping) else config
    first = inner[0] if inner else {}
    knows_inputs = first.get("class_name") == "InputLayer" or is_network(first)
    return int(knows_inputs or "batch_input_shape" in first.get("config", {}))


def calls(item: Mapping[str, Any], offsets: Mapping[str, int]) -> list[LayerCall]:
    """Return the calls of the layer *item* in order.

    Args:
        item: the layer, with its `inbound_nodes`.
        offsets: what `first_calls` returns.

    Raises:
        MigrationError: a call has a form that no Keras 2 wrote.
    """
    try:
        return [_call(node, offsets) for node in item.get("inbound_nodes", ())]
    except (LookupError, TypeError, ValueError) as error:
        reason = f"its calls have an unknown form ({error})"
        raise MigrationError(f"layer {layer_name(item)!r}", reason) from error


def ends(nest: Any, offsets: Mapping[str, int]) -> Any:
    """Return the inputs or outputs of a model as a nest of `TensorRef`s."""
    return _nest(nest, lambda entry: _ref(entry, offsets))


def _call(node: Any, offsets: Mapping[str, int]) -> LayerCall:
    found: dict[str, Any] = {}

    def tensor(entry: Any) -> Any:
        others = entry[3] if len(entry) > 3 else {}  # noqa: PLR2004 - layer, call, result, others
        found.update({key: _argument(value, offsets) for key, value in others.items()})
        return entry[2] if entry[0] == CONSTANT else _ref(entry, offsets)

    if _is_v3(node):
        raise ValueError("they are Keras 3's")
    first = _nest(node, tensor)
    # Most layers are written with a list of one tensor.
    if isinstance(first, list) and len(first) == 1 and not _is_entry(node):
        first = first[0]
    return LayerCall(first=first, others=found)


def _is_v3(node: Any) -> bool:
    return isinstance(node, Mapping) and node.keys() == {"args", "kwargs"}


def _nest(value: Any, leaf: Callable[[Any], Any]) -> Any:
    if _is_entry(value):
        return leaf(value)
    if isinstance(value, Mapping):
        return {key: _nest(each, leaf) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_nest(each, leaf) for each in value)
    raise TypeError(f"{value!r} is not a tensor")


def _is_entry(value: Any) -> bool:
    """Say whether *value* is `[layer, call, result]`, possibly with further arguments."""
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _ref(entry: Any, offsets: Mapping[str, int]) -> TensorRef:
    layer, call, index = entry[:3]
    return TensorRef(layer, max(call - offsets.get(layer, 0), 0), index)


def _argument(value: Any, offsets: Mapping[str, int]) -> Any:
    if _is_entry(value) and len(value) == 3 and value[0] in offsets:  # noqa: PLR2004 - a tensor
        return _ref(value, offsets)
    if isinstance(value, Mapping):
        return {key: _argument(each, offsets) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_argument(each, offsets) for each in value)
    return value


def _refs(value: Any) -> Iterator[TensorRef]:
    if isinstance(value, TensorRef):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _refs(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _refs(each)


def layer_configs(value: Any) -> dict[str, Mapping[str, Any]]:
    """Return the configuration of each layer in a configuration of Keras 2, by its name.

    Raises:
        MigrationError: two layers of one name have weights in different forms.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, config in _named_configs(value):
        if form(found.setdefault(name, config)) != form(config):
            reason = "another layer has its name, but weights in another form"
            raise MigrationError(f"layer {name!r}", reason)
    return found


def _named_configs(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        config = value.get("config")
        if isinstance(config, Mapping) and "class_name" in value and "name" in config:
            yield config["name"], {**config, "class_name": value["class_name"]}
        if value.get("class_name") == "Bidirectional":
            yield from _both_directions(value["config"])
        for each in value.values():
            yield from _named_configs(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _named_configs(each)


def _both_directions(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the two layers that a `Bidirectional` creates from its argument."""
    forward = config["layer"]
    for direction, item in (
        ("forward", forward),
        ("backward", config.get("backward_layer") or forward),
    ):
        inner = {**item["config"], "class_name": item["class_name"]}
        yield f"{direction}_{inner.get('name')}", inner
