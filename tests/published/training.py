"""Two steps of training, the same in either Keras: what their losses say of a migrated model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

#: Small, since nothing is known of the scale of the inputs.
_RATE: Final = 1e-3
#: What losses of one model may differ by on two runs.
_NOISE: Final = 1e-6


def losses(keras: Any, model: Any, values: Sequence[np.ndarray], *, seed: int = 0) -> list[float]:
    """Return the loss of a step of training, and that of the next one.

    The first one says what the model computes in training, with all that is added to its loss; the
    second one, what gradients did to its weights.

    Args:
        keras: the Keras of the model.
        model: the model, whose weights are changed.
        values: its inputs.
        seed: of what the model draws.
    """
    keras.utils.set_random_seed(seed)
    given = tuple(values) if len(values) > 1 else values[0]
    outputs = model.predict(given, verbose=0)
    # Of the outputs' own scale, and different ones.
    targets = _mapped(lambda each: np.roll(each, 1, axis=0) * 0.5, outputs)
    model.compile(optimizer=keras.optimizers.SGD(_RATE), loss="mse")
    rows = len(values[0])
    history = model.fit(given, targets, batch_size=rows, epochs=2, shuffle=False, verbose=0)
    return [float(each) for each in history.history["loss"]]


def steady_losses(keras: Any, load: Callable[[], Any], values: Sequence[np.ndarray]) -> list[float]:
    """Return the losses of the model that *load* returns; none if they depend on chance."""
    first, second = (losses(keras, load(), values, seed=seed) for seed in (0, 1))
    return first if np.isfinite(first).all() and apart(first, second) <= _NOISE else []


def apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how far two series of losses are apart at most, relative to the numbers.

    Example:
        >>> round(apart([2.0, 1.0], [2.0, 1.1]), 3)
        0.091
    """
    tiny = np.finfo("float32").tiny
    return max(abs(a - b) / max(abs(b), tiny) for a, b in zip(ours, theirs, strict=True))


def _mapped(change: Callable[[Any], Any], nest: Any) -> Any:
    if isinstance(nest, dict):
        return {name: _mapped(change, each) for name, each in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(_mapped(change, each) for each in nest)
    return change(nest)
