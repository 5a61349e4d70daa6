"""Files of weights that lead elsewhere are stock's, whatever the twin could hold."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import pytest

import fastload
from fastload.report import Outcome
from tests.api.test_load_weights import made

_OLD_NS = 1_500_000_000_000_000_000


@pytest.mark.parametrize("kind", ["soft", "external", "elsewhere"])
def test_links_are_refused_as_unsafe(kind: str, tmp_path: Path, cache_root: Path) -> None:
    """A link, or bytes in another file: no twin is written, and stock decides."""
    keras = pytest.importorskip("keras", minversion="3.0")
    path = tmp_path / "file.weights.h5"
    made(keras).save_weights(path)
    with h5py.File(path, "a") as file:
        if kind == "soft":
            file["other"] = h5py.SoftLink("/layers")
        elif kind == "external":
            file["other"] = h5py.ExternalLink("/etc/passwd", "/")
        else:
            group = file.create_group("other/vars")
            group.create_dataset("0", (16,), "u1", external=[("/etc/hostname", 0, 16)])
    os.utime(path, ns=(_OLD_NS, _OLD_NS))
    fastload.load_weights(made(keras, seed=2), path)
    report = fastload.last_load()
    assert (report.outcome, report.code) == (Outcome.BYPASS, "FL202")
    assert not list(cache_root.glob("*.h5"))
