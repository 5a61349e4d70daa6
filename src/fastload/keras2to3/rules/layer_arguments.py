"""Rules for arguments of layers: initializers, dtype policies, functions."""

from __future__ import annotations

from typing import Any, Final

from fastload.keras2to3.rules.rule import ANY, Item, Rule, class_renamed, with_config, without

_INITIALIZERS: Final = frozenset(
    {"Constant", "Identity", "Ones", "Orthogonal", "Zeros", "TruncatedNormal", "VarianceScaling"}
    | {"RandomNormal", "RandomUniform", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"}
    | {"LecunNormal", "LecunUniform"}
)

#: Names of functions that TensorFlow and Keras 2 had besides Keras 3's.
_FUNCTIONS: Final = {
    "log_softmax_v2": "log_softmax",
    "softmax_v2": "softmax",
    "swish": "silu",
    "swish_v2": "silu",
    "swish_v1": "silu",
    "silu_v2": "silu",
    "leaky_relu_v2": "leaky_relu",
    "gelu_v2": "gelu",
}


def _plain_function(item: Item) -> Any:
    """Return the name of a function: `relu6` for what was `tf.nn.relu6`."""
    name = item["config"]
    if not isinstance(name, str):
        return item
    return _FUNCTIONS.get(name, name)


def function_name(name: str) -> str:
    """Return Keras 3's name of the function *name*."""
    return _FUNCTIONS.get(name, name)


def _policy(item: Item) -> Item:
    name = item["config"]["name"]
    plain = {"name": name}
    return {"module": "keras", "class_name": "DTypePolicy", "config": plain}


def _new_seed(item: Item) -> Item:
    seed = item["config"].get("seed")
    return with_config(item, {"seed": int(seed)}) if isinstance(seed, float) else item


#: In the order in which they are applied.
RULES: Final = (
    Rule(
        name="function-objects",
        mends="files of Keras 2.13 to 2.15 with activations that were functions (tf.nn.relu6)",
        classes=frozenset({"function"}),
        change=_plain_function,
    ),
    Rule(
        name="dtype-policies",
        mends="files of Keras 2.1 to 2.15 with a mixed precision policy",
        classes=frozenset({"Policy", "PolicyV1"}),
        change=_policy,
    ),
    Rule(
        name="initialiser-dtypes",
        mends="files of tf.keras in TensorFlow 1, whose initializers had dtypes",
        classes=_INITIALIZERS,
        change=without(dtype=ANY),
    ),
    Rule(
        name="initialiser-seeds",
        mends="files of Keras 2 with seeds that JSON turned into floats",
        classes=_INITIALIZERS,
        change=_new_seed,
    ),
    Rule(
        name="zeros-and-ones",
        mends="files of Keras 2.0 with initialisers in lower case",
        classes=frozenset({"Zero"}),
        change=class_renamed("Zeros"),
    ),
    Rule(
        name="ones",
        mends="files of Keras 2.0 with initialisers in the singular",
        classes=frozenset({"One"}),
        change=class_renamed("Ones"),
    ),
)
