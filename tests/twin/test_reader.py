"""What a reader makes of a sound twin, and that it takes no damaged one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.errors import TwinCorruptError, TwinVersionError
from fastload.twin.format import FORMAT_VERSION, Header
from fastload.twin.reader import Twin

HEADER_BYTES = 104


@pytest.fixture(scope="module")
def sound(write_arrays: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small twin."""
    path = tmp_path_factory.mktemp("sound") / "twin.h5"
    arrays = {"a/w": np.arange(30, dtype=np.float32), "a/s": np.array([b"x", "y"], object)}
    return write_arrays(path, arrays, documents={"d": b"a text of its own"}).read_bytes()


@pytest.fixture(scope="module")
def twin_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    """Put bytes into a new file; never into one that may be mapped."""
    folder = tmp_path_factory.mktemp("files")

    def put(data: bytes) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.h5"
        path.write_bytes(data)
        return path

    return put


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def with_index(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Forge a twin: change its index, and put an index and a header to match at the end."""
    old = Header.from_bytes(data)
    content = json.loads(data[old.index_offset : old.index_offset + old.index_nbytes])
    change(content)
    index = json.dumps(content).encode()
    header = Header(
        index_offset=len(data),
        index_nbytes=len(index),
        file_nbytes=len(data) + len(index),
        index_sha256=hashlib.sha256(index).digest(),
    )
    return header.to_bytes() + data[4096:] + index


def test_any_flipped_bit_of_the_header_is_found(sound: bytes) -> None:
    """Magic, version, lengths, digests: all are covered."""
    for bit in range(HEADER_BYTES * 8):
        with pytest.raises(ValueError, match="header"):
            Header.from_bytes(flipped(sound, bit))


@given(data=st.data())
@settings(max_examples=60)
def test_any_flipped_bit_of_the_index_is_found(
    sound: bytes, twin_file: Callable[[bytes], Path], data: st.DataObject
) -> None:
    """The index decides where weights are read: one wrong bit, and nothing is."""
    header = Header.from_bytes(sound)
    bit = data.draw(st.integers(0, header.index_nbytes * 8 - 1)) + header.index_offset * 8

    with pytest.raises(TwinCorruptError, match="its index does not match its digest"):
        Twin.open(twin_file(flipped(sound, bit)))


@given(data=st.data())
@settings(max_examples=60)
def test_a_file_cut_at_any_length_is_found(
    sound: bytes, twin_file: Callable[[bytes], Path], data: st.DataObject
) -> None:
    """A full disk or a copy that stopped gives no half model."""
    length = data.draw(st.integers(0, len(sound) - 1))

    with pytest.raises(TwinCorruptError, match=r"were written|does not begin with"):
        Twin.open(twin_file(sound[:length]))


def test_a_file_that_grew_is_found(sound: bytes, twin_file: Callable[[bytes], Path]) -> None:
    """Nobody adds to a twin."""
    path = twin_file(sound + b"x")

    with pytest.raises(TwinCorruptError, match=f"{len(sound) + 1} bytes where {len(sound)} were"):
        Twin.open(path)


@pytest.mark.parametrize("data", [b"", b"x" * 5000, b"\x89HDF\r\n\x1a\n".ljust(9000, b"\0")])
def test_a_file_that_is_no_twin_is_refused(twin_file: Callable[[bytes], Path], data: bytes) -> None:
    """The message names the file and says what will happen."""
    with pytest.raises(TwinCorruptError, match="does not begin with a fastload header"):
        Twin.open(twin_file(data))


def test_a_twin_of_another_version_is_told_from_a_damaged_one(
    sound: bytes, twin_file: Callable[[bytes], Path]
) -> None:
    """A newer fastload may share the cache; its twins are left alone."""
    old = Header.from_bytes(sound)
    newer = Header(
        format_version=FORMAT_VERSION + 1,
        index_offset=old.index_offset,
        index_nbytes=old.index_nbytes,
        file_nbytes=old.file_nbytes,
        index_sha256=old.index_sha256,
    )

    with pytest.raises(TwinVersionError, match="version 2, and this fastload reads version 1"):
        Twin.open(twin_file(newer.to_bytes() + sound[4096:]))


def test_a_missing_file_is_not_a_corrupt_one(tmp_path: Path) -> None:
    """A twin that another process removed is a miss, which the caller tells from damage."""
    with pytest.raises(FileNotFoundError):
        Twin.open(tmp_path / "absent.h5")


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "beyond the end": (lambda c: c["weights"][0].__setitem__(3, 2**40), "not where a weight can"),
    "negative": (lambda c: c["weights"][0].__setitem__(3, -64), "not where a weight can be"),
    "unaligned": (lambda c: c["weights"][0].__setitem__(3, 4100), "not where a weight can be"),
    "negative size": (lambda c: c["weights"][0].__setitem__(4, -1), "not where a weight can be"),
    "other size": (lambda c: c["weights"][0].__setitem__(4, 4), "has 4 bytes, but its shape needs"),
    "other shape": (lambda c: c["weights"][0].__setitem__(2, [2**40]), "but its shape needs"),
    "unknown dtype": (lambda c: c["weights"][0].__setitem__(1, "x"), "cannot hold the dtype 'x'"),
    "document": (lambda c: c["documents"][0].__setitem__(3, 2**40), "not where a weight can be"),
    "no weights": (lambda c: c.pop("weights"), "its index is malformed"),
    "short row": (lambda c: c["weights"][0].pop(), "its index is malformed"),
    "no text": (lambda c: c["weights"][0].__setitem__(3, "64"), "its index is malformed"),
    "unknown field": (lambda c: c.update(extra=1), "its index is malformed"),
    "groups": (lambda c: c.update(groups=[1]), "its index is malformed"),
    "name": (lambda c: c["documents"][0].__setitem__(0, {}), "its index is malformed"),
    "names": (lambda c: c["weights"][0].__setitem__(0, 3), "its index is malformed"),
    "object name": (lambda c: c["object_names"].update(a=[]), "its index is malformed"),
    "versions": (lambda c: c.update(versions=["3"]), "its index is malformed"),
    "generation": (lambda c: c.update(flavour=None), "its index is malformed"),
    "link": (lambda c: c["links"].update(x="nowhere"), "its index is malformed"),
}


@pytest.mark.parametrize(("change", "message"), FORGERIES.values(), ids=FORGERIES)
def test_an_index_that_points_astray_is_refused(
    sound: bytes, twin_file: Callable[[bytes], Path], change: Any, message: str
) -> None:
    """Digests show damage, not honesty: every place is checked before it is read."""
    with pytest.raises(TwinCorruptError, match=message):
        _ = Twin.open(twin_file(with_index(sound, change))).root


def test_strings_that_contradict_themselves_are_refused(
    sound: bytes, twin_file: Callable[[bytes], Path]
) -> None:
    """A length beyond the weight's end reads nothing of its neighbour."""
    ref = Twin.open(twin_file(sound)).refs["a/s"]
    path = twin_file(flipped(sound, ref.offset * 8 + 3))

    with pytest.raises(TwinCorruptError, match="the strings of 'a/s' do not add up"):
        Twin.open(path).array("a/s")


def test_verify_names_the_weights_that_changed(
    sound: bytes, twin_file: Callable[[bytes], Path]
) -> None:
    """Only a full read finds a flipped bit in a weight; it says in which."""
    ref = Twin.open(twin_file(sound)).refs["a/w"]
    damaged = twin_file(flipped(sound, ref.offset * 8 + 100))

    assert Twin.open(damaged).verify() == ("a/w",)
    assert Twin.open(damaged, mapped=False).verify() == ("a/w",)


def test_a_damaged_document_is_found_when_it_is_read(
    sound: bytes, twin_file: Callable[[bytes], Path]
) -> None:
    """Documents are parsed by code, so each read checks the digest."""
    twin = Twin.open(twin_file(flipped(sound, sound.index(b"a text of") * 8)))

    with pytest.raises(TwinCorruptError, match="the document 'd' does not match its digest"):
        twin.document("d")


@pytest.mark.parametrize("mapped", [True, False])
def test_arrays_can_be_handed_to_tensorflow(sample_path: Path, mapped: bool) -> None:
    """Every array with bytes begins at a multiple of 64, is contiguous, native and writeable."""
    twin = Twin.open(sample_path, mapped=mapped)
    arrays = [twin.array(name) for name, ref in twin.refs.items() if ref.dtype != "string"]
    with_bytes = [array for array in arrays if array.nbytes]

    assert {array.ctypes.data % 64 for array in with_bytes} == {0}
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays)
    assert all(array.dtype.isnative for array in arrays)


@pytest.mark.parametrize("mapped", [True, False])
def test_writing_to_an_array_never_reaches_the_file(sample_path: Path, mapped: bool) -> None:
    """The map is copy-on-write: training a mapped model leaves its twin as it was."""
    before = sample_path.read_bytes()
    twin = Twin.open(sample_path, mapped=mapped)

    twin.array("model_weights/wide/kernel:0")[:] = -1

    assert sample_path.read_bytes() == before
    assert Twin.open(sample_path).verify() == ()


def test_the_manifest_comes_back(sample_path: Path) -> None:
    """All that was given to the writer is there, documents included."""
    manifest = Twin.open(sample_path).manifest

    assert manifest.groups["model_weights"] == {
        "layer_names": [b"dense", b"wide", b"words"],
        "count": 3,
    }
    assert dict(manifest.documents) == {"config.json": b"{}" * 1000, "none": b""}
    assert manifest.links == {"shared/kernel": "model_weights/dense/kernel:0"}
    assert (manifest.object_names, manifest.versions) == ({"Dense": "dense"}, {"python": "3.11"})
    assert (manifest.source_kind, manifest.generation) == ("keras_hdf5", "keras3")


def test_weights_nbytes_counts_stored_bytes(sample_path: Path, sample_arrays: Any) -> None:
    """Strings count with their lengths."""
    numbers = sum(array.nbytes for array in sample_arrays.values() if array.dtype != object)

    assert Twin.open(sample_path).weights_nbytes == numbers + 3 * 8 + 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a mapped file")
def test_arrays_outlive_the_twin_and_its_file(sample_path: Path) -> None:
    """Eviction unlinks a twin while models use it."""
    array = Twin.open(sample_path).array("model_weights/wide/kernel:0")
    sample_path.unlink()

    np.testing.assert_array_equal(array, np.arange(5000.0))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
@pytest.mark.parametrize("mapped", [True, False])
def test_the_file_itself_is_closed(sample_path: Path, mapped: bool) -> None:
    """Python's map keeps one descriptor of its own; an eager twin keeps none."""
    twin = Twin.open(sample_path, mapped=mapped)
    open_files = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]

    assert twin.verify() == ()
    assert open_files.count(sample_path) == int(mapped)


def test_reading_a_twin_imports_no_hdf5_library(sample_path: Path) -> None:
    """A hit needs numpy and the standard library, nothing else."""
    code = (
        "import sys; from pathlib import Path; from fastload.twin.reader import Twin; "
        "t = Twin.open(Path(sys.argv[1])); [t.array(n) for n in t.refs]; t.root['shared/kernel']; "
        "print(sorted({'h5py', 'tensorflow', 'keras', 'ml_dtypes'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(sample_path)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_h5py_opens_the_same_file(sample_path: Path, sample_arrays: Any) -> None:
    """The user block hides nothing from an HDF5 tool."""
    with h5py.File(sample_path) as file:
        kernel = file["model_weights/dense/kernel:0"][()]
        step = file["model_weights/wide/step"][()]
        config = file.attrs["model_config"]

    np.testing.assert_array_equal(kernel, sample_arrays["model_weights/dense/kernel:0"])
    assert (step, config) == (7, '{"name": "m\u00fc"}')
