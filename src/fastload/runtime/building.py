"""Models that a program builds in code: their variables are blank until they are assigned or read.

In: nothing but the Kerases of this process. Out: a block in which they make such variables. What is
blank when the block is left stays so.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, get_args

from fastload.cache.entry import KERAS3
from fastload.errors import FastloadError
from fastload.imports.collector import rare_full_collections
from fastload.runtime.core.keras import Keras, KerasChoice, keras_of
from fastload.runtime.core.rebuild import Patch, Rebuild, rebuilding

_logger: Final = logging.getLogger("fastload")


@contextmanager
def building() -> Iterator[None]:
    """Have variables that Keras makes in the block, in this thread or task, start blank.

    Where that is impossible, the block runs as in stock, and the log says why.
    """
    patches = [patch for keras in _kerases() for patch in _patches(keras)]
    if not patches:
        yield
        return
    with rare_full_collections(), rebuilding(Rebuild(lingers=True), patches):
        yield


def _kerases() -> Iterator[Keras]:
    """Yield the Keras that a program gets by default, and others that it has imported."""
    seen: set[str] = set()
    for choice in get_args(KerasChoice):
        if choice == "auto" or (choice in sys.modules and choice not in seen):
            try:
                keras = keras_of(choice)
            except FastloadError as error:  # there is none
                _explain(error)
            else:
                seen.add(keras.package)
                yield keras


def _patches(keras: Keras) -> list[Patch]:
    try:
        if keras.generation == KERAS3:
            from fastload.runtime.keras3 import keras3_loaders

            return keras3_loaders.patches_to_build()
        from fastload.runtime.keras2 import keras2_loaders, keras2_parts

        return keras2_loaders.patches_to_build(keras2_parts.keras2(keras.package))
    except FastloadError as error:
        _explain(error)
        return []


def _explain(error: FastloadError) -> None:
    _logger.info("blank() changes nothing: %s", error)
