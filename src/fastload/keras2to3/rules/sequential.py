"""Rules for sequential models, whose first layer had the shape of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastload.keras2to3.rules.rule import Item, Rule, with_config

_SEQUENTIAL: Final = frozenset({"Sequential"})


def _with_layers(item: Item) -> Item:
    config = item["config"]
    return {**item, "config": {"layers": config}} if isinstance(config, list) else item


def _with_input(item: Item) -> Item:
    layers = item["config"].get("layers", [])
    if not layers or layers[0]["class_name"] == "InputLayer":
        return item
    shape = _input_shape(layers[0]) or item["config"].get("build_input_shape")
    if shape is None:
        return item
    name = f"{_name(layers[0])}_input"
    config = {"batch_input_shape": shape, "dtype": _input_dtype(layers[0]), "name": name}
    entry = {"class_name": "InputLayer", "config": config, "name": name}
    return with_config(item, {"layers": [entry, *layers]})


def _without_build_shape(item: Item) -> Item:
    given = {"build_input_shape"} & item["config"].keys()
    return with_config(item, {}, less=given) if given else item


def _input_shape(item: Item) -> Any:
    """Return the input shape of the layer *item*, or of the first layer in it."""
    config = item["config"]
    inner = config if isinstance(config, list) else config.get("layers")
    if inner:
        return _input_shape(inner[0])
    wrapped = config.get("layer")
    within = _input_shape(wrapped) if isinstance(wrapped, Mapping) and "config" in wrapped else None
    return config.get("batch_input_shape") or config.get("batch_shape") or within


def _input_dtype(item: Item) -> str:
    config = item["config"]
    dtype = config.get("input_dtype", config.get("dtype")) if isinstance(config, dict) else None
    is_text = item["class_name"] in {"TextVectorization", "StringLookup"}
    return "string" if is_text else dtype if isinstance(dtype, str) else "float32"


def _name(item: Item) -> str:
    config = item["config"]
    return str(config.get("name", "first")) if isinstance(config, Mapping) else "first"


#: In the order in which they are applied.
RULES: Final = (
    Rule(
        name="sequential-lists",
        mends="sequential models of Keras 2.0 and 2.1, which were bare lists of layers",
        classes=_SEQUENTIAL,
        change=_with_layers,
    ),
    Rule(
        name="sequential-inputs",
        mends="sequential models of Keras 2.0 to 2.15 without an InputLayer",
        classes=_SEQUENTIAL,
        change=_with_input,
    ),
    Rule(
        name="sequential-build-shapes",
        mends="sequential models of Keras 2.3 to 2.15, which kept the shape they were built for",
        classes=_SEQUENTIAL,
        change=_without_build_shape,
    ),
)
