"""Files of weights to twin: every group and dataset, laid out to be mapped.

A file that holds a model as well has the same twin as for loading the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from fastload.convert.conversion import Conversion, manifest_of
from fastload.convert.from_hdf5 import converting_hdf5
from fastload.errors import UnconvertibleModelError
from fastload.source.detect import Fingerprint, ModelSource
from fastload.source.hdf5 import HDF5Source, holds_model, read_weights
from fastload.twin.format import (
    FUNCTION_SECTION,
    KERAS_SECTION,
    PREDICTION_SECTION,
    REFUSALS,
    REVIVED_SECTION,
)

#: A variable, wherever it is: Keras looks for a group of this name on the way to it.
_VARIABLE: Final = re.compile(r"(.+/)?vars/[^/]+")
_LEGACY: Final = ("layer_names", "layer_names0")
_NO_MODEL: Final = (
    UnconvertibleModelError.code,
    "the HDF5 file holds no model, only weights or other data",
)
_SECTIONS_OF_MODELS: Final = (KERAS_SECTION, FUNCTION_SECTION, REVIVED_SECTION, PREDICTION_SECTION)


@contextmanager
def converting_weights(
    source: ModelSource, fingerprint: Fingerprint, generation: str
) -> Iterator[Conversion]:
    """Read everything but the weights of an HDF5 file.

    Raises:
        UnconvertibleModelError: it is no file of Keras's.
        UnsafeSourceError: it holds a link, external storage or a bomb.
    """
    if holds_model(source.path):
        with converting_hdf5(source, fingerprint, generation) as found:
            yield found
        return
    with read_weights(source.path) as file:
        _require_weights(file)
        yield Conversion(
            manifest=manifest_of(
                source,
                fingerprint,
                generation,
                groups=file.groups,
                links=file.links,
                documents={REFUSALS: json.dumps(_refusals()).encode()},
            ),
            specs=file.specs,
            stream=file.stream,
        )


def _require_weights(file: HDF5Source) -> None:
    """Check that a file is a tree of variables, or lists its layers.

    Raises:
        UnconvertibleModelError: it is neither. Keras fails at a dataset in the place of a group.
    """
    if any(name in file.groups[""] for name in _LEGACY):
        return
    names = [*(spec.name for spec in file.specs), *file.links]
    elsewhere = [name for name in names if not _VARIABLE.fullmatch(name)]
    if elsewhere or not names:
        what = repr(elsewhere[0]) if elsewhere else "nothing"
        raise UnconvertibleModelError(
            f"the HDF5 file holds {what}, which is no variable of Keras's"
        )


def _refusals() -> dict[str, Any]:
    """Return why such a twin serves no load of a model."""
    return {section: list(_NO_MODEL) for section in _SECTIONS_OF_MODELS}
