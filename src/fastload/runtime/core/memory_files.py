"""Files in TensorFlow's own memory (`ram://`): a few bytes at hand, and no stats."""

from __future__ import annotations

from fastload.errors import UnsupportedSourceError
from fastload.runtime.core.tensorflow import tensorflow


def files_in_memory(address: str) -> dict[str, bytes]:
    """Return the files below *address* by name; the name of a file itself is empty.

    Raises:
        UnsupportedSourceError: there is none.
    """
    tf = tensorflow()
    gfile, found = tf.io.gfile, {}
    try:
        if not gfile.isdir(address):
            return {"": _read(gfile, address)}
        for folder, _, names in gfile.walk(address):
            for name in names:
                path = gfile.join(folder, name)
                found[path[len(address) :].strip("/")] = _read(gfile, path)
    except (tf.errors.OpError, UnicodeError) as error:
        raise UnsupportedSourceError(f"{address!r} cannot be read: {error}") from error
    return found


def _read(gfile: object, path: str) -> bytes:
    with gfile.GFile(path, "rb") as file:  # type: ignore[attr-defined]
        content: bytes = file.read()
    return content
