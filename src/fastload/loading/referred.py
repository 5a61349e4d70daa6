"""The model that a reference means, at its path: for who finds no twin of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastload.errors import BypassError, ModelChangedError, ModelNotHereError
from fastload.loading.plan import Plan, content_of
from fastload.loading.request import Request
from fastload.source.detect import Fingerprint, ModelSource, SourceKind, detect
from fastload.source.fingerprint import fingerprint

#: No folder, on no system, can be in a file.
_NO_FOLDER: Final = str(Path(__file__) / "another model is at the path of the reference")


def with_source(plan: Plan) -> Plan:
    """Return *plan* with the model at its path, which a conversion can read.

    Raises:
        ModelNotHereError: there is none.
        ModelChangedError: another one is there.
    """
    source, content = _found(plan.identity.source)
    return replace(plan, identity=replace(plan.identity, source=source, content=content))


def path_of(request: Request) -> str:
    """Return the path at which the model of a reference is, for a stock loader.

    Raises:
        ModelNotHereError: there is none.
        ModelChangedError: another one is there.
    """
    _found(request.source())
    path: str = os.fspath(request.filepath)
    return path


def place(plan: Plan, path: str) -> str:
    """Return the folder of a SavedModel's assets: *path*, or none if another model is there.

    Args:
        plan: of a load by reference.
        path: where the model was.
    """
    referred, folder = plan.identity.source, Path(path)
    if referred.kind is not SourceKind.SAVED_MODEL or not any(folder.glob("assets/*")):
        return path
    try:
        content = content_of(plan.identity.entry.cache, detect(path))
    except BypassError:
        return _NO_FOLDER
    return path if content.digest == referred.digest else _NO_FOLDER


def _found(referred: ModelSource) -> tuple[ModelSource, Fingerprint]:
    """Return the model that is at the path of *referred*, and its content: read, not remembered."""
    path, digest = str(referred.path), referred.digest or ""
    try:
        source = detect(path)
        content = fingerprint(source)
    except BypassError as error:
        raise ModelNotHereError(path, digest, error.explanation()) from error
    if content.digest != digest:
        raise ModelChangedError(path)
    return source, content
