"""Spark: a user-defined function with the types of the signature, in several Python workers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastload
from tests.engines.conftest import BATCH, WORKERS, assert_shared, misses, weights_bytes

pyspark = pytest.importorskip("pyspark", reason="see `nox -s engines`")
#: Engines warn of much, and Keras 3 of files of Keras 2; as errors, these would refuse the file.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def spark(reference: fastload.Ref, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A session of which the workers are processes of this machine."""
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{WORKERS}]").config("spark.ui.enabled", "false")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def table(spark: Any, rows: Any) -> Any:
    """Return a table of the rows, in partitions of whole batches, the workers' first ones equal."""
    flat = [(n, row.ravel().tolist()) for n, row in enumerate(rows)]
    per = len(rows) // (2 * WORKERS) // BATCH * BATCH
    pairs = spark.sparkContext.parallelize(flat, 1).keyBy(lambda row: row[0] // per)
    parts = -(-len(rows) // per)
    there = pairs.partitionBy(parts, lambda key: key).values()
    return spark.createDataFrame(there, "id int, signal array<float>")


def watched(make: Callable[[], Callable[..., Any]]) -> Callable[[], Callable[..., Any]]:
    """Return what makes the same function, with columns that tell of the process."""

    def make_watched() -> Callable[..., Any]:
        from tests.engines.watched import with_process

        predict = make()

        def told(signal: Any) -> dict[str, Any]:
            return with_process({"found": predict(signal)}, len(signal))

        return told

    return make_watched


def test_a_thousand_rows(spark: Any, reference: fastload.Ref, rows: Any, expected: Any) -> None:
    """Outputs are those of one process; one conversion and one copy of the weights."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import StructType

    from fastload.fleet.spark import make_predict_fn

    function = predict_batch_udf(
        watched(make_predict_fn(reference)),
        return_type=StructType.fromDDL("found array<float>, pid long, mapped long, own long"),
        batch_size=BATCH,
        input_tensor_shapes=[[1250, 1]],
    )
    for _ in range(2):
        told = table(spark, rows).select("id", function("signal").alias("told"))
        found = told.select("id", "told.*").toPandas().sort_values("id")

        assert misses() == 1
        assert np.stack(found["found"]).astype("float32").tobytes() == expected.tobytes()
        assert_shared(found, weights_bytes())


def test_types_are_those_of_the_signature(
    spark: Any, reference: fastload.Ref, rows: Any, expected: Any
) -> None:
    from pyspark.sql.types import ArrayType, FloatType

    from fastload.fleet.spark import predict_udf, return_type

    some = table(spark, rows[: 6 * BATCH])
    found = some.select("id", predict_udf(reference, batch_size=BATCH)("signal").alias("found"))

    assert return_type(reference) == ArrayType(FloatType())
    assert found.schema["found"].dataType == ArrayType(FloatType())
    values = np.stack(found.toPandas().sort_values("id")["found"]).astype("float32")
    assert values.tobytes() == expected[: 6 * BATCH].tobytes()


def test_a_name_that_the_model_has_not(reference: fastload.Ref) -> None:
    from fastload.fleet.spark import predict_udf

    with pytest.raises(ValueError, match="inputs= names 'pixels'; the model has "):
        predict_udf(reference, inputs=["pixels"])
