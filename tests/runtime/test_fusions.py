"""Functions that one TensorFlow optimizes otherwise than their equals are not made flat there."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.runtime.core import eager
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.fusions import require_no_fragile_fusion

tf = pytest.importorskip("tensorflow")


def graph_of(*, is_training: bool) -> Any:
    """Return the graph of a batch normalization; Keras normalizes layers by one that trains."""

    @tf.function(input_signature=[tf.TensorSpec([1, 2, 3, 1])], autograph=False)
    def normalized(values: Any) -> Any:
        one, given = tf.ones([1]), tf.zeros([0 if is_training else 1])
        return tf.raw_ops.FusedBatchNormV3(
            x=values, scale=one, offset=one, mean=given, variance=given, is_training=is_training
        ).y

    return normalized.get_concrete_function().graph.as_graph_def()


@pytest.mark.parametrize("version", ["2.9.0", "2.12.1", "2.15.1", "2.20.0-rc0"])
def test_a_layer_normalization_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its remapper merges it in some graphs only, and the merged one rounds otherwise."""
    monkeypatch.setattr(eager, "version", lambda: version)
    message = f"TensorFlow {version} merges a layer normalization in one graph, and fails to in its"

    require_no_fragile_fusion(graph_of(is_training=False))
    with pytest.raises(NotFlatError, match=message):
        require_no_fragile_fusion(graph_of(is_training=True))


@pytest.mark.parametrize("version", ["2.8.4", "2.21.0"])
def test_other_versions_do_the_same_to_equal_graphs(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on the zoo."""
    monkeypatch.setattr(eager, "version", lambda: version)

    require_no_fragile_fusion(graph_of(is_training=True))
