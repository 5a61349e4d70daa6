"""TensorFlow itself: the package, its protocol buffers, its checkpoint reader."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastload.errors import UnconvertibleModelError, UnsupportedSourceError
from fastload.runtime.importing import import_module
from fastload.runtime.requirements import MESSAGES
from fastload.switch import as_stock


@functools.cache
def tensorflow() -> Any:
    """Import TensorFlow and return it.

    Raises:
        MissingTensorFlowError: it is not installed; the message names the extra to install.
    """
    return import_module("tensorflow")


def load_saved_model(export_dir: Any, tags: Any = None, options: Any = None) -> Any:
    """Call TensorFlow's own `saved_model.load`, also where an import hook stands in for it."""
    return as_stock(tensorflow().saved_model.load)(export_dir, tags, options)


def saved_model_message() -> Any:
    """Return an empty `SavedModel` message."""
    return MESSAGES.part("saved_model").SavedModel()


def parse_saved_model(content: bytes) -> Any:
    """Parse the bytes of a `saved_model.pb` into a `SavedModel` message.

    Raises:
        UnconvertibleModelError: the bytes are not such a message.
    """
    return _parsed(saved_model_message(), content, "saved_model.pb")


def saved_model_of_text(content: bytes) -> bytes:
    """Return the bytes of the `saved_model.pb` that a `saved_model.pbtxt` stands for.

    Raises:
        UnconvertibleModelError: the text is not such a message.
    """
    from google.protobuf import text_format

    message = saved_model_message()
    try:
        text_format.Parse(content.decode(), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UnconvertibleModelError(f"saved_model.pbtxt cannot be parsed: {error}") from error
    found: bytes = message.SerializeToString()
    return found


def parse_object_graph(content: bytes) -> Any:
    """Parse the bytes of a `SavedObjectGraph` message.

    Raises:
        UnconvertibleModelError: the bytes are not such a message.
    """
    message = MESSAGES.part("object_graph").SavedObjectGraph()
    return _parsed(message, content, "saved_model.pb")


def keras_metadata(content: bytes) -> Any:
    """Parse the bytes of a `keras_metadata.pb` into a `SavedMetadata` message.

    Raises:
        UnconvertibleModelError: the bytes are not such a message.
    """
    message = MESSAGES.part("keras_metadata").SavedMetadata()
    return _parsed(message, content, "keras_metadata.pb")


def _parsed(message: Any, content: bytes, name: str) -> Any:
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise UnconvertibleModelError(f"{name} cannot be parsed: {error}") from error
    return message


class Checkpoint:
    """A TensorFlow checkpoint, read tensor by tensor.

    TensorFlow checks the crc32c of each tensor as it reads it.

    Args:
        prefix: the checkpoint's path without `.index` (`.../variables/variables`).

    Raises:
        UnconvertibleModelError: there is no readable checkpoint.
    """

    def __init__(self, prefix: Path) -> None:
        with _translated("the checkpoint"):
            self._reader = tensorflow().train.load_checkpoint(str(prefix))
        self._dtypes: Mapping[str, Any] = self._reader.get_variable_to_dtype_map()
        self._shapes: Mapping[str, Any] = self._reader.get_variable_to_shape_map()

    def object_graph(self) -> Any:
        """Return the checkpoint's `TrackableObjectGraph`.

        Raises:
            UnconvertibleModelError: it was written without one (TensorFlow 1), or cannot be read.
        """
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        key = "_CHECKPOINTABLE_OBJECT_GRAPH"
        if key not in self._dtypes:
            raise UnconvertibleModelError(
                "the checkpoint holds no object graph (it was written by TensorFlow 1)"
            )
        message = trackable_object_graph_pb2.TrackableObjectGraph()
        return _parsed(message, self._get(key), "the checkpoint's object graph")

    def __contains__(self, key: str) -> bool:
        return key in self._dtypes

    def dtype(self, key: str) -> str:
        """Return the name of the dtype of the tensor at *key*."""
        name: str = self._dtypes[key].name
        return name

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of the tensor at *key*."""
        return tuple(self._reader.get_variable_to_shape_map()[key])

    def read(self, key: str) -> Any:
        """Return the tensor at *key* as a numpy array.

        Raises:
            UnconvertibleModelError: it is damaged.
        """
        value = self._get(key)
        # The reader returns a scalar string as bare bytes.
        return np.array(value, dtype=object) if isinstance(value, bytes) else value

    def _get(self, key: str) -> Any:
        with _translated(f"tensor {key!r}"):
            return self._reader.get_tensor(key)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Translate what the checkpoint reader raises; of cut files, that is Python's `IndexError`.

    Raises:
        UnsupportedSourceError: the system failed to read the file.
        UnconvertibleModelError: the file is damaged.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = f"{what} cannot be read: {error}"
        # TensorFlow has no number for what the system said, only its words at the end.
        if str(error).rpartition("; ")[2] in map(os.strerror, errno.errorcode):
            raise UnsupportedSourceError(reason) from error
        raise UnconvertibleModelError(reason) from error
