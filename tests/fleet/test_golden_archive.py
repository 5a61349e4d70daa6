"""Archives of version 1 that are out there stay importable, and their twins open.

`tests/golden/archive-v1.tar` was written once by `fastload export`, of a Keras 3 model with one
dense layer, and is never written again. The model is not there any more: only its twin is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.errors import ArchiveError
from fastload.fleet import archive
from fastload.fleet.archive import read_archive
from fastload.twin.reader import Twin
from tests.installed import is_before
from tests.small_models import package_of

FILE = Path(__file__).parents[1] / "golden" / "archive-v1.tar"
ENTRY = "4a481e1326d9979c3073eba757e3f7a2"
DIGEST = "5f2ad5ac696e57d02111aaf2bd384ec72396f6075363b6afff4598e1ac563b59"
KERNEL = np.arange(12, dtype="float32").reshape(4, 3)
BIAS = np.array([0.5, -0.5, 0.25], "float32")


def test_the_golden_archive_is_imported(tmp_path: Path) -> None:
    (found,) = read_archive(FILE, CacheDir(root=tmp_path / "cache"))

    assert (found.name, found.is_new) == (ENTRY, True)
    assert Twin.open(tmp_path / "cache" / f"{ENTRY}.h5").verify() == ()


@pytest.mark.skipif(is_before("3.13"), reason="the model is one of a newer Keras")
def test_its_twin_is_a_model_without_the_model(cache_root: Path) -> None:
    keras = package_of(3)
    read_archive(FILE, CacheDir(root=cache_root))
    ref = fastload.Ref(digest=DIGEST, kind="keras_archive", path="/nowhere/golden.keras")
    model = ref.load_model(keras=keras, strict=True)
    kernel, bias = model.get_weights()

    assert fastload.last_load().outcome is fastload.Outcome.HIT
    assert (model.name, [layer.name for layer in model.layers]) == ("golden_model", ["golden"])
    assert np.array_equal(kernel, KERNEL)
    assert np.array_equal(bias, BIAS)


def test_an_archive_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a fastload that reads version 2 alone, and nothing of it is imported."""
    monkeypatch.setattr(archive, "_VERSION", 2)
    cache = CacheDir(root=tmp_path / "cache")

    with pytest.raises(ArchiveError, match="it is of version 1, and 2 is read"):
        read_archive(FILE, cache)
    assert not list(tmp_path.rglob("*.h5"))


def test_the_golden_archive_is_of_the_current_version() -> None:
    """A new version brings a golden file of its own, and leaves this one to be refused."""
    assert FILE.name == f"archive-v{archive._VERSION}.tar"
