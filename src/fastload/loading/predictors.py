"""Predictors over functions, wherever these come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fastload.loading.request import PredictorRequest
from fastload.predictor.predictor import Predictor, Reference, Run, Signatures, chosen_signature
from fastload.signature import Signature


def predictor_over(
    request: PredictorRequest,
    signatures: Mapping[str, Signature],
    get_ready: Callable[[str], Run],
    digest: str | None,
) -> Predictor:
    """Return the predictor that *request* asks for; its function is ready to be called.

    Args:
        request: what the caller asked.
        signatures: what each function takes and gives, by name.
        get_ready: returns what runs the function of a name.
        digest: hex digest of the model's content; None where the stock loader loaded it.

    Raises:
        NoSuchSignatureError: the model lacks the signature that was asked for.
    """
    name = chosen_signature(signatures, request.signature, str(request.filepath))
    functions = Signatures(signatures, get_ready)
    functions.ready(name)
    reference = Reference(
        path=str(Path(request.filepath).absolute()),
        signature=request.signature,
        device=request.device,
        keras=request.keras,
        weights=request.weights,
        strict=request.strict,
        memory_budget=request.memory_budget,
        digest=digest,
    )
    return Predictor(functions, name, reference)
