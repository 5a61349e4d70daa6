"""Ray Data: predictions on batches of columns, by actors that open a model by reference.

Nothing of Ray's is imported here: it calls the class with dictionaries of arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastload.fleet.columns import Columns, names_in
from fastload.fleet.ref import Ref


class PredictBatches:
    """A callable class for `ray.data.Dataset.map_batches`, which each actor makes once.

    Args:
        ref: the model. Its weights are mapped, so actors of one host share them.
        inputs: the column of each input, by input; by default columns are named as inputs are, and
            the only input takes the only column that is not kept, if none has its name.
        outputs: the column of each output, by output; by default they are named as outputs are.
        keep: columns that are passed on.

    Raises:
        ModelNotHereError: neither a twin nor the model is at hand.
        TypeError: *keep* is one name.
        ValueError: *inputs* or *outputs* have names that the model does not have, or a column that
            is kept has the name of an output's.

    Example:
        >>> import fastload
        >>> from fastload.fleet.ray import PredictBatches
        >>> predicted = dataset.map_batches(  # doctest: +SKIP
        ...     PredictBatches,
        ...     fn_constructor_args=[fastload.ref("path/to/model")],
        ...     fn_constructor_kwargs={"inputs": {"images": "pixels"}, "keep": ["id"]},
        ...     batch_size=32,
        ...     concurrency=4,
        ... )
    """

    def __init__(
        self,
        ref: Ref,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        self._keep = names_in("keep", keep)
        self._columns = Columns(ref.load_predictor(), inputs, outputs)
        both = sorted({*self._keep} & {*self._columns.outputs.values()})
        if both:
            raise ValueError(
                f"the column {both[0]!r} would be kept, and an output: outputs= can rename that"
            )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Predict on one batch.

        Args:
            batch: a numpy array for each column; the first dimension is that of rows.

        Returns:
            An array for each output and for each column that is kept.

        Raises:
            KeyError: the batch lacks a column.
            TypeError, ValueError: a column is not what the model takes.
        """
        kept = {name: batch[name] for name in self._keep}
        others = {name: column for name, column in batch.items() if name not in kept}
        are_named = batch.keys() >= {*self._columns.inputs.values()}
        return {**kept, **self._columns.predict(batch if are_named else others)}
