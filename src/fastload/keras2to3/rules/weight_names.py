"""Weights that have another name or another form in Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

#: The name of a weight in Keras 3, by class and name in Keras 2; None if it has none.
NAMES: Final[Mapping[tuple[str, str], str | None]] = {
    ("DepthwiseConv1D", "depthwise_kernel"): "kernel",
    ("DepthwiseConv2D", "depthwise_kernel"): "kernel",
    ("Normalization", "mean"): "adapt_mean",
    ("Normalization", "variance"): "adapt_variance",
    ("Discretization", "summary"): None,
    ("StringLookup", "idf_weights"): None,
}

#: Keras 2: `clip(0.2 x + 0.5)`; Keras 3: `clip(x / 6 + 0.5)`, which is equal for 1.2 times the
#: input.
HARD_SIGMOID: Final = "hard_sigmoid"
_SCALE: Final = 1.2
#: Layers whose activation is applied to one weighted sum, so that weights can be scaled.
_LINEAR: Final = frozenset(
    {"Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose"}
)
#: The number of parts of a recurrent layer's weights, and those that its recurrent activation uses.
_GATES: Final = {
    "LSTM": (4, (0, 1, 3)),
    "ConvLSTM1D": (4, (0, 1, 3)),
    "ConvLSTM2D": (4, (0, 1, 3)),
    "ConvLSTM3D": (4, (0, 1, 3)),
    "GRU": (3, (0, 1)),
    "SimpleRNN": (1, ()),
}


def can_scale_weights(class_name: str) -> bool:
    """Say whether scaled weights give such a layer the hard sigmoids of Keras 2."""
    return class_name in _LINEAR or class_name in _GATES


def form(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the part of a layer's configuration that decides the form of its weights."""
    name = str(config.get("class_name", ""))
    activations = (config.get("activation"), config.get("recurrent_activation"))
    is_cudnn = name.startswith("CuDNN")
    return (
        name if is_cudnn or HARD_SIGMOID in activations else None,
        *(each == HARD_SIGMOID for each in activations),
    )


def scale_factors(class_name: str, config: Mapping[str, Any], width: int) -> Any:
    """Return the factors for the weights of a layer, along their last axis.

    Args:
        class_name: the layer's class.
        config: its configuration, with the activations of Keras 2.
        width: the length of that axis.

    Returns:
        A number for each position of the axis, or None if all weights stay as they are.
    """
    if class_name in _LINEAR:
        is_hard = config.get("activation") == HARD_SIGMOID
        return np.full(width, _SCALE) if is_hard else None
    if class_name not in _GATES:
        return None
    parts, gates = _GATES[class_name]
    factors = np.ones((parts, width // parts))
    if config.get("recurrent_activation") == HARD_SIGMOID:
        factors[list(gates)] = _SCALE
    if config.get("activation") == HARD_SIGMOID:
        factors[[part for part in range(parts) if part not in gates]] = _SCALE
    return None if (factors == 1).all() else factors.reshape(-1)


def from_cudnn(class_name: str, value: Any, *, is_recurrent: bool) -> Any:
    """Return a weight of `CuDNNLSTM` or `CuDNNGRU` in the form of the plain layer.

    cuDNN keeps the matrix of each gate transposed, and a bias for each of the two products.

    Args:
        class_name: the layer's class in Keras 2.
        value: the weight.
        is_recurrent: whether it is the recurrent kernel.
    """
    if value.ndim == 1:
        halves = value.reshape(2, -1)
        return halves.sum(axis=0) if class_name == "CuDNNLSTM" else halves
    gates = np.hsplit(value, 4 if class_name == "CuDNNLSTM" else 3)
    if is_recurrent:
        return np.hstack([gate.T for gate in gates])
    return np.hstack([gate.T.reshape(gate.shape, order="F") for gate in gates])
