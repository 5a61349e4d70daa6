"""The model that a reference means, at its path: for who finds no twin of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastload.errors import BypassError, ModelChangedError, ModelNotHereError
from fastload.loading.plan import Plan, content_of
from fastload.loading.request import Request
from fastload.source.detect import Fingerprint, ModelSource, SourceKind, detect
from fastload.source.fingerprint import fingerprint

if TYPE_CHECKING:
    from fastload.loading.at_address import ModelAtAddress

#: No folder, on no system, can be in a file.
_NO_FOLDER: Final = str(Path(__file__) / "the model is elsewhere")


def with_source(plan: Plan) -> Plan:
    """Return *plan* with the model at its path, which a conversion can read.

    Raises:
        ModelNotHereError: there is none.
        ModelChangedError: another one is there.
    """
    at_address = plan.request.at_address
    found = _found(plan.identity.source) if at_address is None else at_address.on_disk()
    source, content = found
    return replace(plan, identity=replace(plan.identity, source=source, content=content))


def path_of(request: Request) -> str:
    """Return the path at which the model of a reference is, for a stock loader.

    A model at an address is copied; where that fails, stock has the address itself.

    Raises:
        ModelNotHereError: there is none.
        ModelChangedError: another one is there.
    """
    if (at_address := request.at_address) is not None:
        return _path_at_address(request, at_address)
    _found(request.source())
    path: str = os.fspath(request.filepath)
    return path


def no_place(name: str) -> str:
    """Return a path called *name* where nothing is: Keras goes by the suffix, and opens nothing."""
    return os.path.join(_NO_FOLDER, name)  # noqa: PTH118 - Keras takes a text


def _path_at_address(request: Request, at_address: ModelAtAddress) -> str:
    """Return the path of a copy for a stock loader; or the address, where it cannot be copied."""
    is_for_stock = request.settings.disabled and not at_address.is_referred
    try:
        path = at_address.url if is_for_stock else str(at_address.copied())
    except BypassError:
        return at_address.url
    at_address.keep_copy()
    return path


def place(plan: Plan, path: str) -> str:
    """Return the folder of a SavedModel's assets: *path*, or none if another model is there.

    Of a model at an address, it is a copy that stays, or none.

    Args:
        plan: of a load by reference, or of a model at an address.
        path: where the model was.
    """
    if (at_address := plan.request.at_address) is not None:
        try:
            return at_address.folder_of_assets() or no_place(at_address.name)
        except (BypassError, ModelChangedError):
            return _NO_FOLDER
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
