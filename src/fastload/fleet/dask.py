"""Dask: workers that have a model open before their first task.

A `Ref` or a predictor needs nothing else: both travel by pickle, a predictor as its reference, and
are named in graphs by the model's content.
"""

from __future__ import annotations

from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin

from fastload.fleet.ref import Ref


class WarmWorkers(WorkerPlugin):  # type: ignore[misc]
    """A plugin that opens a model's predictor in each worker, now and as workers come.

    Tasks get the same functions and weights by `ref.load_predictor()`. A worker that cannot open
    it fails to start: no task would do better.

    Args:
        ref: the model.

    Example:
        >>> from fastload.fleet.dask import WarmWorkers  # doctest: +SKIP
        >>> client.register_plugin(WarmWorkers(ref))  # doctest: +SKIP
        >>> found = images.map_blocks(lambda block: ref.load_predictor().predict(block))
        ... # doctest: +SKIP
    """

    #: A second one for the same model replaces the first.
    name: str

    def __init__(self, ref: Ref) -> None:
        self._ref = ref
        self.name = f"fastload-{ref.digest[:16]}"

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - of the protocol
        """Open the model in *worker*."""
        self._ref.load_predictor()
