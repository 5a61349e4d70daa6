"""What is said of published models, and how their packages are taken apart."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.published.findings import Finding, Way
from tests.published.packages import Package, models, unpacked
from tests.published.page import Result, has_enough, markdown, problems, totals


def result(model: str = "m.h5", **found: Any) -> Result:
    usual = {"kind": "keras_hdf5", "way": Way.MIGRATED, "ports": False}
    return Result(package="x==1", model=model, finding=Finding(**{**usual, **found}))


NEAR = {"against": "tf-keras", "outputs": 1, "relative": 2e-7, "excess": 0.02}
FAR = {"against": "tf-keras", "outputs": 1, "relative": 2e-3, "excess": 200.0}
REFUSED = {
    "way": Way.REFUSED,
    "reason": "this Keras 2 model cannot be migrated to Keras 3: layer 'a': no. Use keras=...",
    "names_both_ways": True,
    "has_predictor": True,
}


def test_totals_count_each_way() -> None:
    results = [
        result(**NEAR, training=1e-7),
        result(**NEAR, training=1e-4),
        result(**NEAR, ports=True, training=1e-7),
        result(**{**NEAR, "way": Way.STOCK}),
        result(**REFUSED),
        result(**FAR),
    ]

    assert totals(results).startswith("Of 6 models in 1 packages, 4 open in Keras 3 alone")
    assert "2e-07" in totals(results)
    assert "1 of the 2 that need no port" in totals(results)
    assert "1 is rejected, with the reason and two alternatives." in totals(results)


@pytest.mark.parametrize(
    ("found", "is_wrong"),
    [
        (NEAR, False),
        (FAR, True),
        ({"reason": "nothing to compare it with"}, True),
        (REFUSED, False),
        ({**REFUSED, "has_predictor": False}, True),
        ({**REFUSED, "names_both_ways": False}, True),
    ],
)
def test_what_is_neither_near_nor_refused_as_described_is_a_problem(
    found: dict[str, Any], is_wrong: bool
) -> None:
    assert bool(problems([result(**found)])) is is_wrong


def test_nine_of_ten_are_enough() -> None:
    near, refused = result(**NEAR), result(**REFUSED)

    assert has_enough([near] * 9 + [refused])
    assert not has_enough([near] * 8 + [refused])


def test_models_with_one_fate_share_a_row() -> None:
    trained = result("a.h5", **NEAR, training=3e-8)
    results = [trained, result("b.h5", **FAR), result("c.h5", **REFUSED)]

    rows = markdown(results).splitlines()[-2:]

    assert rows == [
        "| x==1 | `a.h5`, `b.h5` | HDF5 | migrated |  | 0.002 | tf-keras | 3e-08 (1 of 2) |",
        "| x==1 | `c.h5` | HDF5 | rejected: layer 'a': no |  |  |  |  |",
    ]


def test_a_finding_survives_json() -> None:
    finding = result(**REFUSED).finding

    assert Finding.from_json(finding.to_json()) == finding


def test_models_are_unpacked_with_the_archives_around_them(tmp_path: Path) -> None:
    """Wheels have models beside other things, in archives, and under `NAME.data/data`."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for name in ("model/saved_model.pb", "model/variables/variables.index"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    wheel = tmp_path / "downloads" / "pack_age-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("pack_age-1.0.data/data/pack/models/a.h5", b"a")
        made.writestr("pack/models/b.tar.gz", inner.getvalue())
        made.writestr("pack/layers.py", "x = 1")
        made.writestr("pack/other.py", "")
    package = Package(
        name="pack-age", version="1.0", folder="pack/models", sources=("pack/layers.py",)
    )

    folder = unpacked(package, tmp_path)

    top = folder / "pack" / "models"
    assert models(package, folder) == [top / "a.h5", top / "b"]
    assert (top / "b" / "variables" / "variables.index").exists()
    assert (folder / "pack" / "layers.py").exists()
    assert not (folder / "pack" / "other.py").exists()
