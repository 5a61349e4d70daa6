"""Where the weights of Keras 2 files go in the Keras 3 model: HDF5 by name, archives by place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.graph import is_network, is_sequential
from fastload.keras2to3.rules.weight_names import NAMES

#: A Keras 3 variable, and the layer that holds it.
Held = tuple[Any, Any]


#: Top-level folders of an archive with weights that belong to no layer.
_OF_TRAINING: Final = frozenset(
    {"optimizer", "metrics", "_metrics", "compiled_metrics", "compiled_loss", "_compile_metrics"}
)


def targets_of_groups(model: Any, groups: Mapping[str, Sequence[str]]) -> dict[str, Held]:
    """Return the variable for each weight of a legacy HDF5 file.

    Args:
        model: the Keras 3 model.
        groups: the names of each layer's weights, in the order of the file, by the layer's name.

    Returns:
        The variable and its layer, by `layer/weight`.

    Raises:
        MigrationError: the model lacks a variable for a weight, or the file a weight.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, weights in groups.items():
        if weights and name not in layers:
            raise MigrationError(f"weight {weights[0]!r}", "the Keras 3 model has no such layer")
    targets: dict[str, Held] = {}
    for name, layer in layers.items():
        saved = list(groups.get(name, ()))
        held = _matched(saved, _held(layer), name)
        targets |= {f"{name}/{weight}": held[weight] for weight in saved}
    return targets


def targets_of_tree(model: Any, item: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Held]:
    """Return the variable for each weight of a `.keras` archive.

    Args:
        model: the Keras 3 model.
        item: the configuration in Keras 2.
        paths: the paths of the weights in the archive, as in `layers/dense/vars/0`.

    Raises:
        MigrationError: the model lacks a variable for a weight, or the file a weight.
    """
    own = [path for path in paths if path.split("/")[0] not in _OF_TRAINING]
    targets = {path: _variable_at(model, item, path, own) for path in own}
    given = {id(variable) for variable, _ in targets.values()}
    for weight in model.weights:
        if id(weight) not in given and "seed_generator" not in weight.path:
            raise MigrationError(f"weight {weight.path!r}", "the file has no value for it")
    return targets


def _held(layer: Any) -> list[Held]:
    """Return the variables of *layer* in the order of legacy files, each with its holder."""
    holders = {id(v): part for part in layer._flatten_layers() for v in _own_variables(part)}
    found = (*layer.trainable_weights, *layer.non_trainable_weights)
    return [(v, holders.get(id(v), layer)) for v in found if "seed_generator" not in v.path]


def _own_variables(layer: Any) -> list[Any]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _matched(saved: Sequence[str], held: Sequence[Held], layer: str) -> dict[str, Held]:
    """Match saved names with variables: by name where names are unique, else by order."""
    if len(saved) != len(held):
        reason = f"the file has {len(saved)} weights of it, Keras 3 {len(held)}"
        raise MigrationError(f"layer {layer!r}", reason)
    in_order = dict(zip(saved, held, strict=True))
    agree = all(_bare(name, found[1]) == found[0].name for name, found in in_order.items())
    if agree and len({id(holder) for _, holder in held}) == 1:
        return in_order
    by_name = {name: _named(name, held) for name in saved}
    places = [place for place in by_name.values() if place is not None]
    if len(places) == len(set(places)) == len(held):
        return {name: held[place] for name, place in by_name.items() if place is not None}
    return in_order


def _bare(name: str, holder: Any) -> str:
    """Return the last part of a saved name, as Keras 3 calls it."""
    bare = re.sub(r":\d+$", "", name).rpartition("/")[2]
    return NAMES.get((type(holder).__name__, bare), bare) or bare


def _named(name: str, held: Sequence[Held]) -> int | None:
    """Return the index in *held* of the only variable that *name* can be, or None."""
    folders = name.split("/")[:-1]
    found = [
        place
        for place, (variable, holder) in enumerate(held)
        if variable.name == _bare(name, holder) and _is_within(variable, holder, folders)
    ]
    return found[0] if len(found) == 1 else None


def _is_within(variable: Any, holder: Any, folders: Sequence[str]) -> bool:
    own = variable.path.split("/")[:-1]
    return holder.name in folders or (bool(own) and own[-1] in folders)


def _variable_at(model: Any, item: Mapping[str, Any], path: str, paths: Sequence[str]) -> Held:
    *parts, _, number = path.split("/")
    thing, config = model, item
    waiting = list(parts)
    while waiting:
        folder = "/".join(parts[: len(parts) - len(waiting)])
        part = waiting.pop(0)
        if part in {"layers", "_layer_checkpoint_dependencies"} and _is_model(config):
            config = _child(config, waiting.pop(0), path)
            thing = _layer_called(thing, config["config"]["name"], path)
            continue
        found, config = _part(thing, config, part, path)
        if isinstance(found, (list, tuple)) and waiting and not waiting[0].isdigit():
            apart = _saved_apart(thing, folder, paths)
            found, config = _counted(found, waiting.pop(0), apart, path), {}
        thing = found
    own = _own_variables(thing) if hasattr(thing, "_trainable_variables") else []
    own = [variable for variable in own if "seed_generator" not in variable.path]
    if not number.isdigit() or int(number) >= len(own):
        raise MigrationError(f"weight {path!r}", "the Keras 3 model has no such weight")
    return own[int(number)], thing


def _saved_apart(owner: Any, folder: str, paths: Sequence[str]) -> list[Any]:
    """Return the parts of *owner* with folders of their own; they are not counted in its lists."""
    prefix = f"{folder}/" if folder else ""
    within = (path.removeprefix(prefix) for path in paths if path.startswith(prefix))
    return [getattr(owner, path.split("/")[0], None) for path in within]


def _counted(items: Sequence[Any], folder: str, apart: Sequence[Any], path: str) -> Any:
    """Return the one of *items* whose folder is *folder*: its class, with a number."""
    listed = [item for item in items if not any(item is other for other in apart)]
    classes = (type(item).__name__ for item in listed)
    for name, item in zip(_folders(classes), listed, strict=True):
        if name == folder:
            return item
    raise MigrationError(f"weight {path!r}", f"the Keras 3 model has no {folder!r} there")


def _is_model(config: Any) -> bool:
    return "class_name" in config and (is_network(config) or is_sequential(config))


def _layer_called(model: Any, name: str, path: str) -> Any:
    for layer in model.layers:
        if layer.name == name:
            return layer
    raise MigrationError(f"weight {path!r}", "the Keras 3 model has no such layer")


def _part(thing: Any, config: Any, name: str, path: str) -> tuple[Any, Any]:
    inner = config.get("config", {}) if isinstance(config, Mapping) else {}
    if isinstance(thing, (list, tuple)):
        found = thing[int(name)] if name.isdigit() and int(name) < len(thing) else None
    else:
        found = getattr(thing, name, None)
    if found is None:
        raise MigrationError(f"weight {path!r}", f"the Keras 3 model has no {name!r} there")
    within = inner.get(name) if isinstance(inner, Mapping) else None
    return found, within if isinstance(within, Mapping) else {}


def _child(config: Mapping[str, Any], folder: str, path: str) -> Mapping[str, Any]:
    for name, item in named_layers(config):
        if name == folder:
            return item
    raise MigrationError(f"weight {path!r}", "the configuration has no such layer")


def named_layers(item: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the layers of a model with the names of their folders in archives.

    Example:
        >>> dense = {"class_name": "Dense"}
        >>> [name for name, _ in named_layers({"config": {"layers": [dense, dense]}})]
        ['dense', 'dense_1']
    """
    layers = item["config"]["layers"]
    names = _folders(layer["class_name"].rpartition(">")[2] for layer in layers)
    yield from zip(names, layers, strict=True)


def _folders(classes: Iterable[str]) -> Iterator[str]:
    """Yield the folders of objects of these *classes*, in order."""
    taken: Counter[str] = Counter()
    for name in map(_snake_case, classes):
        yield f"{name}_{taken[name]}" if taken[name] else name
        taken[name] += 1


_WORD: Final = re.compile(r"(.)([A-Z][a-z]+)")
_CAPITAL: Final = re.compile(r"([a-z])([A-Z])")


def _snake_case(name: str) -> str:
    return _CAPITAL.sub(r"\1_\2", _WORD.sub(r"\1_\2", re.sub(r"\W+", "", name))).lower()
