"""SavedModels in text form: put into binary form for as long as a conversion takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fastload import system
from fastload.runtime.core.tensorflow import saved_model_of_text
from fastload.source.detect import SAVED_MODEL, SAVED_MODEL_TEXT, ModelSource


@contextmanager
def in_binary(source: ModelSource) -> Iterator[ModelSource]:
    """Give *source* as conversions read it: a SavedModel in text form as a folder beside.

    Raises:
        UnconvertibleModelError: the text is not a SavedModel.
        OSError: a file cannot be read, or the folder cannot be written.
    """
    if all(file.name != SAVED_MODEL_TEXT for file in source.files):
        yield source
        return
    with TemporaryDirectory(prefix="fastload-") as place:
        folder = Path(place)
        text = (source.path / SAVED_MODEL_TEXT).read_bytes()
        system.write_bytes(folder / SAVED_MODEL, saved_model_of_text(text))
        for each in source.path.iterdir():
            if each.name != SAVED_MODEL_TEXT:
                (folder / each.name).symlink_to(each)
        yield replace(source, path=folder)
