"""Legacy Keras HDF5 to twin: the same groups, attributes and datasets, laid out to be mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from fastload.convert.conversion import Conversion, manifest_of, object_names
from fastload.errors import UnconvertibleModelError
from fastload.source.detect import Fingerprint, ModelSource
from fastload.source.hdf5 import read_hdf5

#: What is said of a file of weights.
NO_MODEL: Final = (
    "the HDF5 file holds no model, only weights or other data; "
    "fastload.load_weights reads weights into a model that a program builds"
)


@contextmanager
def converting_hdf5(
    source: ModelSource, fingerprint: Fingerprint, generation: str
) -> Iterator[Conversion]:
    """Read everything but the weights of the HDF5 file *source*.

    Raises:
        UnconvertibleModelError: it holds weights without a model.
        UnsafeSourceError: it holds a link, external storage or a bomb.
    """
    with read_hdf5(source.path) as file:
        root = file.groups[""]
        if "model_config" not in root:
            raise UnconvertibleModelError(NO_MODEL)
        yield Conversion(
            manifest=manifest_of(
                source,
                fingerprint,
                generation,
                groups=file.groups,
                links=file.links,
                object_names=object_names(
                    *(_decoded(root.get(each)) for each in ("model_config", "training_config"))
                ),
            ),
            specs=file.specs,
            stream=file.stream,
        )


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text) if text else None
    except (TypeError, ValueError) as error:
        raise UnconvertibleModelError(f"the model's configuration is not JSON: {error}") from error
