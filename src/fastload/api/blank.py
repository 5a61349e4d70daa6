"""`blank`: build models without initial values that loaded weights replace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fastload import switch
from fastload.flags import DISABLE, flag
from fastload.unfinished import undone_if_interrupted


@contextmanager
def blank() -> Iterator[None]:
    """Build models in the block without initial values: those that are read are made then.

    For models that get their weights right after they are built. Variables that Keras's layers
    make in the block, in this thread or async task, take neither time nor memory until they are
    assigned. One that is read first, in the block or at any time after it, has just the value that
    it would have had: seeds are drawn when they always are, and initializers whose values depend
    on when they are called (a program's own, those seeded by a generator) are called then.

    Keras is imported, if it was not. The block changes nothing where Keras runs on JAX or PyTorch,
    in a graph, in the scope of a distribution strategy, or with `FASTLOAD_DISABLE=1` or in
    `disabled()`.

    Raises:
        ValueError: the value of `FASTLOAD_DISABLE` is not understood.

    Example:
        >>> import fastload
        >>> import keras
        >>> import numpy as np
        >>> with fastload.blank():
        ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.set_weights([np.ones((4, 3)), np.zeros(3)])  # or model.load_weights(path)
        >>> model.predict(np.ones((1, 4)), verbose=0).tolist()
        [[4.0, 4.0, 4.0]]
    """
    if flag(os.environ, DISABLE) or switch.choice() is False:
        yield
        return
    from fastload.runtime.building import building

    with undone_if_interrupted(), building():
        yield
