"""Which arguments of Keras's `load_model` mean the same over a twin: those that stock takes.

What stock refuses, it refuses itself: in its own words.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any, Final

from fastload.cache.entry import KERAS2, KERAS3
from fastload.errors import UnsupportedRequestError, UnsupportedSourceError
from fastload.loading.request import OPTIONS, PredictorRequest, Request
from fastload.runtime.core.keras import Keras, require_parameter
from fastload.source.detect import ModelSource, SourceKind

#: The first Keras 2 that opens archives by an address and was compared.
_ARCHIVES_BY_ADDRESS: Final = (2, 15)


def require_arguments(request: Request, keras: Keras, source: ModelSource) -> None:
    """Check that *keras* takes the arguments of *request* for such a source.

    Raises:
        UnsupportedRequestError: it has no such argument.
        UnsupportedSourceError: it opens no path of this kind.
    """
    if not (request.source_is_told or isinstance(request, PredictorRequest)):
        _require_spelling(request, keras, source)
    if source.kind is SourceKind.KERAS_FOLDER:
        # Imported here: few models are unpacked.
        from fastload.runtime.keras3.keras3_files import opens_folders

        if keras.generation == KERAS3 and not opens_folders():
            raise UnsupportedSourceError(f"Keras {keras.version} opens no unpacked archive")
    if not request.safe_mode:
        require_parameter(keras, "safe_mode")
    if OPTIONS in request.stock_only and not _takes_options(keras, source):
        raise UnsupportedRequestError("options= was given")


def _require_spelling(request: Request, keras: Keras, source: ModelSource) -> None:
    """Check that *keras* takes what stands for the path.

    Raises:
        UnsupportedSourceError: it does not.
    """
    is_open = request.held is not None and not source.is_url
    if is_open:
        _require_taker(request, keras, source)
    else:
        _require_path(request.filepath)
    if source.is_url:
        _require_address(keras, source)


def _require_taker(request: Request, keras: Keras, source: ModelSource) -> None:
    """Check that stock takes what the caller holds.

    Raises:
        UnsupportedSourceError: it does not.
    """
    is_public = getattr(request.stock, "__name__", "") == "load_model"
    is_archive = source.kind is SourceKind.KERAS_ARCHIVE
    if keras.generation == KERAS3 and is_public and not is_archive:
        raise UnsupportedSourceError("load_model of Keras 3 takes no open HDF5 file")
    if keras.generation == KERAS2 and request.stock is None and is_archive:
        raise UnsupportedSourceError("load_model of Keras 2 takes no open archive")


def _require_path(path: Any) -> None:
    """Check that Keras can make a text of *path*: it asks that text for the suffix.

    Raises:
        UnsupportedSourceError: it would take it for another path, or for none.
    """
    if str(path) != os.fspath(path):
        raise UnsupportedSourceError(f"Keras does not take a {type(path).__name__} for this path")


def _require_address(keras: Keras, source: ModelSource) -> None:
    """Check that *keras* opens a source of this kind by a `file://` address.

    Raises:
        UnsupportedSourceError: it does not.
    """
    is_archive = source.kind is SourceKind.KERAS_ARCHIVE
    if keras.generation == KERAS2:
        version = tuple(map(int, keras.version.split(".")[:2]))
        is_opened = not is_archive or version >= _ARCHIVES_BY_ADDRESS
    else:  # it has TensorFlow copy the file
        is_opened = is_archive and find_spec("tensorflow") is not None
    if not is_opened:
        raise UnsupportedSourceError(f"Keras {keras.version} opens no such address")


def _takes_options(keras: Keras, source: ModelSource) -> bool:
    """Say whether the stock loader of *source* takes `options=`; of HDF5 it makes nothing of it."""
    return keras.generation == KERAS2 and source.kind is not SourceKind.KERAS_ARCHIVE
