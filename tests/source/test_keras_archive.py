"""`.keras` archives are read in place; what could escape, unfold or mislead is refused."""

import io
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastload.errors import (
    BypassError,
    UnconvertibleModelError,
    UnsafeSourceError,
    UnsupportedSourceError,
)
from fastload.source.keras_archive import read_keras_archive
from tests.needs import NEEDS_ARCHIVES

MIB = 2**20


def weights_bytes(count: int = 1000) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = np.arange(float(count))
    return buffer.getvalue()


def make_archive(
    path: Path,
    extra: dict[str | zipfile.ZipInfo, bytes] | None = None,
    *,
    without: str = "",
    method: int = zipfile.ZIP_STORED,
) -> Path:
    """Write an archive as Keras does, with *extra* members."""
    members: dict[str | zipfile.ZipInfo, bytes] = {
        "metadata.json": b'{"keras_version": "3"}',
        "config.json": b'{"class_name": "Functional"}',
        "model.weights.h5": weights_bytes(),
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (members | (extra or {})).items():
            if name != without:
                archive.writestr(name, content)
    return path


def read_all(path: Path) -> dict[str, np.ndarray]:
    with read_keras_archive(path) as archive:
        return dict(archive.weights.stream())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


@NEEDS_ARCHIVES
def test_an_archive_of_keras_gives_its_weights(keras_models: Path) -> None:
    """All weights of the model are there, to the bit."""
    with np.load(keras_models / "weights.npz") as stored:
        expected = {stored[name].tobytes() for name in stored}
    with read_keras_archive(keras_models / "model.keras") as archive:
        weights = {value.tobytes() for _, value in archive.weights.stream()}

    assert b'"class_name"' in archive.config
    assert b"keras_version" in archive.metadata
    assert expected <= weights


def test_bfloat16_weights_of_keras_are_read(keras_models: Path) -> None:
    """Keras 3 marks them in an attribute."""
    path = keras_models / "bfloat16.keras"
    if not path.exists():
        pytest.skip("this Keras does not store bfloat16 so")
    weights = read_all(path)

    assert {str(value.dtype) for value in weights.values()} == {"bfloat16"}
    assert [1.0, 1.0] in [value.astype(float).tolist() for value in weights.values()]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_archives_give_the_same(path: Path, method: int) -> None:
    """Keras stores; people repack."""
    make_archive(path, {"assets/": b"", "assets/lookup/words.txt": b"a\nb"}, method=method)
    with read_keras_archive(path) as archive:
        weights = dict(archive.weights.stream())

    assert archive.config == b'{"class_name": "Functional"}'
    assert archive.metadata == b'{"keras_version": "3"}'
    assert archive.assets == {"lookup/words.txt": b"a\nb"}
    assert weights["layers/dense/vars/0"].tolist() == list(range(1000))


def test_metadata_may_be_missing(path: Path) -> None:
    """No loader reads it."""
    make_archive(path, without="metadata.json")
    with read_keras_archive(path) as archive:
        assert archive.metadata == b""


def member(name: str, *, mode: int = 0o600) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename, info.external_attr = name, mode << 16
    return info


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "a//b", "./config.json", "a/.", "..", "a\\b", "C:/x", "c:x"],
)
def test_a_name_that_could_escape_is_refused(path: Path, name: str) -> None:
    """On any system, and even though nothing is unpacked by name."""
    make_archive(path, {member(name): b""})

    with pytest.raises(UnsafeSourceError, match="in the zip archive is not a plain relative name"):
        read_all(path)


def test_a_symbolic_link_is_refused(path: Path) -> None:
    """A link in an archive points out of it."""
    make_archive(path, {member("assets/link", mode=0o120777): b"/etc/passwd"})

    with pytest.raises(UnsafeSourceError, match=r"'assets/link' in the zip .* is a symbolic link"):
        read_all(path)


def test_a_name_that_is_there_twice_is_refused(path: Path) -> None:
    """Two readers could choose two different ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        make_archive(path, {member("config.json"): b"{}"})

    with pytest.raises(UnsafeSourceError, match=r"has 'config\.json' twice"):
        read_all(path)


def test_a_bomb_is_refused(path: Path) -> None:
    """Before one byte of it is unpacked."""
    bomb = {"model.weights.h5": bytes(65 * MIB)}
    make_archive(path, bomb, method=zipfile.ZIP_DEFLATED)

    with pytest.raises(UnsafeSourceError, match=r"'model\.weights\.h5' .* 68,157,440 bytes decl"):
        read_all(path)


def test_many_small_bombs_are_refused(path: Path) -> None:
    """Keras 3.16 adds them up; the weights, which store all their bytes, do not hide them."""
    bombs = {f"assets/{number}": bytes(40 * MIB) for number in range(2)}
    make_archive(path, bombs, method=zipfile.ZIP_DEFLATED)

    with pytest.raises(UnsafeSourceError, match=r"'assets/0', 'assets/1' .* 83,886,080 bytes decl"):
        read_all(path)


def patch_directory(path: Path, name: bytes, offset: int, value: bytes) -> None:
    """Overwrite a field of the directory entry of *name*."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
    content[entry + offset : entry + offset + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (8, b"\x01\x00", r"'config\.json' in the zip archive is encrypted"),
        (24, b"\xff\xff\xff\x03", r"'config\.json' in the zip archive states two sizes"),
    ],
)
def test_a_false_directory_is_refused(path: Path, offset: int, value: bytes, message: str) -> None:
    """Flags and sizes that no Keras writes."""
    patch_directory(make_archive(path), b"config.json", offset, value)

    with pytest.raises(UnsafeSourceError, match=message):
        read_all(path)


def test_weights_are_guarded_like_any_hdf5_file(path: Path) -> None:
    """A link inside the archive's weights is a link."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    make_archive(path, {"model.weights.h5": buffer.getvalue()})

    with pytest.raises(UnsafeSourceError, match="'layers' in the HDF5 file is an external link"):
        read_all(path)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_another_zip_archive_is_no_model(path: Path, name: str) -> None:
    """Both parts make a Keras archive."""
    make_archive(path, without=name)

    with pytest.raises(UnsupportedSourceError, match=f"the zip archive has no {name}"):
        read_all(path)


@pytest.mark.parametrize(
    ("name", "form"), [("model.weights.npz", "as npz"), ("model.weights.json", "in shards")]
)
def test_weights_in_another_form_are_left_to_stock(path: Path, name: str, form: str) -> None:
    """The reason says which."""
    make_archive(path, {name: b""}, without="model.weights.h5")

    with pytest.raises(UnconvertibleModelError, match=f"keeps its weights {form}"):
        read_all(path)


def test_a_rare_compression_is_left_to_stock(path: Path) -> None:
    """Its expansion has no bound to check against."""
    make_archive(path, method=zipfile.ZIP_BZIP2)

    with pytest.raises(UnconvertibleModelError, match="is compressed by method 12"):
        read_all(path)


@pytest.mark.parametrize(
    "others", [("README", "assets/"), ("assets/", "assets/a", "assets/b/"), ("x",)]
)
def test_members_that_keras_counts_or_looks_for_are_left_to_stock(
    path: Path, others: tuple[str, ...]
) -> None:
    """It opens an asset store where there are over three, and finds folders in it."""
    make_archive(path, dict.fromkeys(others, b""))

    with pytest.raises(UnconvertibleModelError, match=r"members that Keras does not|empty folder"):
        read_all(path)


def test_large_assets_are_left_to_stock(path: Path) -> None:
    """They would be held in memory."""
    make_archive(path, {"assets/big": bytes(64 * MIB)})

    with pytest.raises(UnconvertibleModelError, match="67,108,914 bytes beside its weights"):
        read_all(path)


def test_many_assets_are_left_to_stock(path: Path) -> None:
    """Each would be a document of the twin."""
    make_archive(path, {f"assets/{index}": b"" for index in range(1025)})

    with pytest.raises(UnconvertibleModelError, match="the zip archive has 1,025 assets"):
        read_all(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_weight_is_noticed(path: Path, method: int) -> None:
    """Stock checks the checksum, so reading in place does as well."""
    make_archive(path, method=method)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") - 50] ^= 1
    path.write_bytes(content)

    with pytest.raises(UnconvertibleModelError, match="the zip archive cannot be read"):
        read_all(path)


def test_an_archive_cut_short_anywhere_is_refused(path: Path) -> None:
    """The directory stands at the end, so nothing of a cut archive is believed."""
    whole = make_archive(path).read_bytes()
    for length in range(0, len(whole), 211):
        path.write_bytes(whole[:length])
        with pytest.raises(BypassError, match="the zip archive cannot be read"):
            read_all(path)


def test_a_missing_file_is_a_bypass(path: Path) -> None:
    """It may vanish after detection; stock words the error."""
    with pytest.raises(UnconvertibleModelError, match="the zip archive cannot be read"):
        read_all(path)


PEAK = """
import resource, sys
from fastload.source.keras_archive import read_keras_archive
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
with read_keras_archive(sys.argv[1]) as archive:
    for name, value in archive.weights.stream():
        del value
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"]
)
def test_memory_stays_near_the_largest_weight(path: Path, method: int) -> None:
    """No copy of the archive, and never two weights."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for index in range(5):
            file[f"w{index}"] = np.arange(32 * MIB // 4, dtype="f4")
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", buffer.getbuffer())
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env=environ,
    )

    assert int(result.stdout) < (32 + 64) * MIB
