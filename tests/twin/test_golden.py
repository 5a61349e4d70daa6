"""Twins of format version 1 that are out there stay readable.

`tests/golden/twin-v1.h5` was written once by this version's writer from `GOLDEN` and is never
written again. A change that makes these tests fail needs a new format version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.twin.format import FORMAT_VERSION
from fastload.twin.reader import Twin

ml_dtypes = pytest.importorskip("ml_dtypes")

FILE = Path(__file__).parents[1] / "golden" / "twin-v1.h5"
GOLDEN: dict[str, np.ndarray] = {
    "model_weights/d\u00fcnn/kernel:0": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "model_weights/d\u00fcnn/bias:0": np.array([np.nan, np.inf, -0.0], np.float16),
    "model_weights/wide/kernel:0": np.arange(1000, dtype=np.float64),
    "model_weights/wide/step": np.array(-7, np.int64),
    "model_weights/wide/none": np.zeros((0, 3), np.float32),
    "model_weights/wide/mask": np.array([True, False]),
    "model_weights/wide/phase": np.array([1 + 2j], np.complex64),
    "model_weights/small/brain": np.arange(4).astype(ml_dtypes.bfloat16),
    "model_weights/small/eight": np.arange(4).astype(ml_dtypes.float8_e5m2),
    # -2 to 1, by their bytes: old ml_dtypes leave anything in the unused half when they convert.
    "model_weights/small/four": np.array([14, 15, 0, 1], np.uint8).view(ml_dtypes.int4),
    "model_weights/words": np.array([[b"a\0", "\u00fc"], [b"", ""]], object),
}
MANIFEST: dict[str, Any] = {
    "groups": {
        "": {"model_config": '{"name": "d\u00fcnn"}', "keras_version": b"2.15.0"},
        "model_weights": {"layer_names": ["d\u00fcnn", "wide"], "old_names": [b"d\xc3\xbcnn"]},
        "empty": {"flag": True, "count": 3, "rate": 0.5, "names": []},
    },
    "documents": {"config.json": b'{"a": 1}', "none": b""},
    "links": {"shared/kernel": "model_weights/d\u00fcnn/kernel:0"},
    "object_names": {"Dense": "d\u00fcnn"},
    "versions": {"fastload": "0.1.0", "python": "3.11.7"},
}


@pytest.fixture
def fresh(write_arrays: Any, tmp_path: Path) -> Twin:
    """The same content by today's writer."""
    return Twin.open(write_arrays(tmp_path / "fresh.h5", GOLDEN, **MANIFEST))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_twin_gives_the_values_it_was_made_from(name: str) -> None:
    """Each dtype has one encoding, and keeps it."""
    found, expected = Twin.open(FILE).array(name), GOLDEN[name]

    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if expected.dtype == object:
        assert found.tolist() == expected.tolist()
    else:
        assert found.tobytes() == expected.tobytes()


def test_the_golden_twin_gives_the_manifest_it_was_made_from() -> None:
    """Attributes, documents, links and names."""
    manifest = Twin.open(FILE).manifest

    assert {field: getattr(manifest, field) for field in MANIFEST} == MANIFEST


def test_todays_writer_stores_what_the_golden_twin_stores(fresh: Twin) -> None:
    """The bytes of every weight are the same; where they lie is HDF5's affair."""
    golden = Twin.open(FILE)
    stored = [
        [(ref.name, ref.dtype, ref.shape, ref.nbytes, ref.sha256) for ref in twin.refs.values()]
        for twin in (golden, fresh)
    ]

    assert stored[0] == stored[1]
    assert golden.verify() == ()


def test_the_golden_twin_is_of_the_current_version() -> None:
    """A new format version brings a golden file of its own and leaves this one to be refused."""
    assert f"twin-v{FORMAT_VERSION}.h5" == FILE.name
