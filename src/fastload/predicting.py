"""The name that pickles of predictors had in version 0.1: they open as ever."""

from __future__ import annotations

from typing import Any

from fastload.predictor.predictor import Predictor, Reference, reopened


def _reopen(  # noqa: PLR0913, PLR0917 - the arguments of a pickle have no names
    path: str,
    signature: str | None,
    device: str | None,
    keras: Any,
    weights: Any,
    strict: bool,  # noqa: FBT001 - the same
    memory_budget: int | None,
    digest: str | None,
) -> Predictor:
    return reopened(
        Reference(
            path=path,
            signature=signature,
            device=device,
            keras=keras,
            weights=weights,
            memory_budget=memory_budget,
            strict=strict,
            digest=digest,
        )
    )
