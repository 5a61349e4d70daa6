"""The model that a reference means, at its path: for who finds no twin of it."""

from __future__ import annotations

import os
from dataclasses import replace

from fastload.errors import BypassError, ModelChangedError, ModelNotHereError
from fastload.loading.plan import Plan
from fastload.loading.request import Request
from fastload.source.detect import Fingerprint, ModelSource, detect
from fastload.source.fingerprint import fingerprint


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
