"""What a twin looks like on disk, and what the writer refuses to write."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.reader import Twin
from fastload.twin.writer import write_twin

MANIFEST = Manifest(source_kind="keras_hdf5", source_digest="5" * 64, generation="keras3")
PAIR = WeightSpec(name="a/pair", dtype="float32", shape=(2,))


def datasets_of(path: Path) -> dict[str, h5py.Dataset]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: (item.id.get_offset(), item.nbytes, item.chunks, item.compression)}
                if isinstance(item, h5py.Dataset) and item.size
                else {}
            )
        )
    return found


def test_every_dataset_is_contiguous_and_aligned(sample_path: Path) -> None:
    """Small datasets begin at a multiple of 64 bytes, weights of a page or more at a page."""
    datasets = datasets_of(sample_path)
    offsets = {name: offset for name, (offset, *_) in datasets.items()}
    pages = [offset for name, offset in offsets.items() if name == "model_weights/wide/kernel:0"]

    assert {layout[2:] for layout in datasets.values()} == {(None, None)}
    assert all(offset % 64 == 0 for offset in offsets.values())
    assert [offset % 4096 for offset in pages] == [0]


def test_the_index_knows_the_offsets_that_hdf5_knows(sample_path: Path) -> None:
    """A read through the map and one through HDF5 go to the same place in the file."""
    refs = Twin.open(sample_path).refs
    offsets = {
        name: (offset, nbytes) for name, (offset, nbytes, *_) in datasets_of(sample_path).items()
    }

    assert {name: (ref.offset, ref.nbytes) for name, ref in refs.items() if ref.nbytes} == {
        name: offsets[name] for name, ref in refs.items() if ref.nbytes
    }


@pytest.mark.parametrize("count", [1, 7, 40, 300])
def test_alignment_holds_for_any_number_of_weights(
    write_arrays: Any, tmp_path: Path, count: int
) -> None:
    """Sizes around the page and around 64 bytes, mixed, stay where TensorFlow can take them."""
    sizes = [(3, 63, 64, 65, 4095, 4096, 4097, 9000)[number % 8] for number in range(count)]
    arrays = {f"g{number}/w": np.full(size, 7, np.uint8) for number, size in enumerate(sizes)}

    twin = Twin.open(write_arrays(tmp_path / "twin.h5", arrays))

    assert {ref.offset % (4096 if ref.nbytes >= 4096 else 64) for ref in twin.refs.values()} == {0}
    assert twin.verify() == ()


def test_equal_input_gives_equal_files(
    write_arrays: Any, tmp_path: Path, sample_arrays: Any
) -> None:
    """A twin depends on nothing but what is in it, so that its digest can name it."""
    first = write_arrays(tmp_path / "first.h5", sample_arrays, documents={"d": b"1"})
    second = write_arrays(tmp_path / "second.h5", sample_arrays, documents={"d": b"1"})

    assert first.read_bytes() == second.read_bytes()


def test_the_size_of_the_file_is_returned(tmp_path: Path) -> None:
    """The caller can account for the file without looking."""
    path = tmp_path / "twin.h5"

    written = write_twin(path, MANIFEST, [PAIR], [("a/pair", np.ones(2, np.float32))])

    assert written == path.stat().st_size


def test_weights_can_come_in_any_order(tmp_path: Path) -> None:
    """A stream follows the source; the twin keeps the order of the list."""
    specs = [WeightSpec(name=name, dtype="float32", shape=(1,)) for name in ("b", "a", "c")]
    stream = [(name, np.full(1, ord(name), np.float32)) for name in "cab"]

    write_twin(tmp_path / "twin.h5", MANIFEST, specs, stream)
    twin = Twin.open(tmp_path / "twin.h5")

    assert {name: chr(int(twin.array(name)[0])) for name in twin.refs} == {n: n for n in "bac"}
    assert list(twin.refs) == ["b", "a", "c"]


def test_a_long_list_of_names_is_split_as_keras_splits_it(
    write_arrays: Any, tmp_path: Path
) -> None:
    """HDF5 holds `names0`, `names1`, ...; the twin's own view has the list in one piece."""
    names = [f"layer_{number:05}".encode() for number in range(9000)]
    path = write_arrays(tmp_path / "twin.h5", {}, groups={"g": {"names": names}})

    with h5py.File(path) as file:
        pieces = [file["g"].attrs[f"names{number}"] for number in range(len(file["g"].attrs))]

    assert len(pieces) > 1
    assert np.concatenate(pieces).tolist() == names
    assert Twin.open(path).root["g"].attrs["names"] == names


def test_a_configuration_of_any_size_is_one_attribute(write_arrays: Any, tmp_path: Path) -> None:
    """The object header's 64 KiB do not limit a string, which HDF5 keeps in its heap."""
    config = '{"k": "v\u00fc"}' * 100_000
    path = write_arrays(tmp_path / "twin.h5", {}, groups={"": {"model_config": config}})

    with h5py.File(path) as file:
        assert file.attrs["model_config"] == config


def test_one_element_too_long_for_an_attribute_is_refused(
    write_arrays: Any, tmp_path: Path
) -> None:
    """No splitting helps a name of more than 64 KiB."""
    groups = {"g": {"names": [b"n" * 70_000]}}

    with pytest.raises(ValueError, match="the attribute 'names' holds an element of 70000 bytes"):
        write_arrays(tmp_path / "twin.h5", {}, groups=groups)


def test_links_lead_to_the_same_bytes(sample_path: Path, sample_arrays: Any) -> None:
    """A shared weight is stored once; h5py sees one object under both names."""
    with h5py.File(sample_path) as file:
        assert file["shared/kernel"] == file["model_weights/dense/kernel:0"]

    np.testing.assert_array_equal(
        Twin.open(sample_path).root["shared/kernel"], sample_arrays["model_weights/dense/kernel:0"]
    )


def write_pair(path: Path, stream: Any, specs: Any = (PAIR,), manifest: Manifest = MANIFEST) -> int:
    return write_twin(path, manifest, specs, stream)


ONES = np.ones(2, np.float32)
BAD_STREAMS = {
    "missing": ([], "the stream ended without the weight 'a/pair'"),
    "twice": ([("a/pair", ONES)] * 2, "has the weight 'a/pair' twice, or it is not listed"),
    "unlisted": ([("b", ONES)], "has the weight 'b' twice, or it is not listed"),
    "shape": ([("a/pair", ONES[:1])], r"listed as float32 \[2\], but the stream has float32 \[1\]"),
    "dtype": (
        [("a/pair", ONES.astype(np.float16))],
        r"'a/pair' is listed as float32 \[2\], but the stream has float16 \[2\]",
    ),
}


@pytest.mark.parametrize(("stream", "message"), BAD_STREAMS.values(), ids=BAD_STREAMS)
def test_a_stream_that_is_not_as_listed_is_refused(
    tmp_path: Path, stream: Any, message: str
) -> None:
    """Each weight comes once and as the list says, or the message names it."""
    with pytest.raises(ValueError, match=message):
        write_pair(tmp_path / "twin.h5", stream)


BAD_NAMES = {
    "twice": (["a", "a"], {}, "the weight 'a' is listed 2 times"),
    "group": (["a", "a/b"], {}, "'a' is a weight and a group"),
    "listed group": (["a"], {"groups": {"a": {}}}, "'a' is a weight and a group"),
    "link group": (["a/b", "c"], {"links": {"a": "c"}}, "'a' is a weight and a group"),
    "link over": (["a", "c"], {"links": {"a": "c"}}, "the link 'a' has the name of a weight"),
    "link nowhere": (["a"], {"links": {"b": "c"}}, "the link 'b' leads to no weight: 'c'"),
    "empty part": (["a//b"], {}, "'a//b' is not a path in HDF5"),
    "absolute": (["/a"], {}, "'/a' is not a path in HDF5"),
    "dot": (["a/./b"], {}, "is not a path in HDF5"),
    "nul": (["a\0"], {}, "is not a path in HDF5"),
    "reserved": (["fastload/index"], {}, "'fastload/index' lies in fastload's own group"),
    "document": ([], {"documents": {"../": b""}}, "'../' is not a path in HDF5"),
}


@pytest.mark.parametrize(("names", "fields", "message"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_that_hdf5_cannot_hold_are_refused(
    write_arrays: Any, tmp_path: Path, names: list[str], fields: dict[str, Any], message: str
) -> None:
    """A collision or an impossible path is an error before a file is made."""
    specs = [WeightSpec(name=name, dtype="float32", shape=()) for name in names]
    manifest = Manifest(source_kind="k", source_digest="d", generation="f", **fields)

    with pytest.raises(ValueError, match=message):
        write_pair(tmp_path / "twin.h5", [], specs, manifest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float128", "datetime64[s]", "qint8", "void16"])
def test_a_dtype_that_twins_do_not_know_is_refused(tmp_path: Path, dtype: str) -> None:
    """The message has the dtype."""
    specs = [WeightSpec(name="a", dtype=dtype, shape=())]

    with pytest.raises(ValueError, match="a twin cannot hold the dtype"):
        write_pair(tmp_path / "twin.h5", [], specs)


def test_objects_that_are_no_strings_are_refused(tmp_path: Path) -> None:
    """An array of arbitrary Python objects is not taken for strings."""
    specs = [WeightSpec(name="a", dtype="string", shape=(1,))]

    with pytest.raises(ValueError, match="the weight 'a': a string weight holds a dict"):
        write_pair(tmp_path / "twin.h5", [("a", np.array([{}], object))], specs)


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, 2], ["a", b"b"], np.ones(2)])
def test_an_attribute_that_an_index_cannot_hold_is_refused(tmp_path: Path, value: Any) -> None:
    """The message has the group and the type."""
    manifest = Manifest(
        source_kind="k", source_digest="d", generation="f", groups={"g": {"x": value}}
    )

    with pytest.raises(TypeError, match=r"the group 'g' has an attribute that is a .* that is no"):
        write_pair(tmp_path / "twin.h5", [("a/pair", ONES)], manifest=manifest)


def test_a_write_that_stopped_half_way_left_no_twin(tmp_path: Path) -> None:
    """The header comes last: whatever else is there, the file is not taken for a twin."""
    path = tmp_path / "twin.h5"

    def break_off() -> Iterator[tuple[str, np.ndarray]]:
        yield "a/pair", ONES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pair(path, break_off())

    assert path.read_bytes()[:512] == bytes(512)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_a_file_that_cannot_be_looked_at_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: not when the error, which holds the frames, is forgotten."""
    path = tmp_path / "twin.h5"

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(OSError, match="Input/output") as raised:
            write_pair(path, [("a/pair", ONES)])

    assert raised.traceback  # its frames are still there
    open_files = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert path not in open_files
