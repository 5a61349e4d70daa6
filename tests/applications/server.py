"""A web application that loads a model before its workers are forked, and one in each worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import keras

import fastload

MODEL = os.environ["SERVED_MODEL"]
at_start = keras.models.load_model(MODEL)
of_start = str(fastload.last_load())


def application(_environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with what the loads of the master and of this worker did."""
    keras.models.load_model(MODEL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{of_start}\n{fastload.last_load()}".encode()]
