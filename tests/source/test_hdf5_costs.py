"""What an HDF5 file makes a reader do is bounded by the size of the file and by its model. (#18)

Each file here is small, and within the limits that stock Keras has for single objects.
"""

import io
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5o, h5p, h5s, h5t

from fastload.errors import BypassError
from fastload.source.hdf5 import read_hdf5, read_state
from fastload.source.hdf5_texts import HeaderReader

MIB = 2**20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


def one_text_many_times(path: Path) -> None:
    """A list of names refers to one text again and again."""
    with h5py.File(path, "w") as file:
        names = ["x" * MIB, *["y"] * 3000]
        file.attrs["model_config"] = "{}"
        weights = file.create_group("model_weights")
        weights.attrs.create("layer_names", names, dtype=h5py.string_dtype())
    content = path.read_bytes()
    # A reference is a length in 4 bytes, and 12 that say where.
    one = re.escape((1).to_bytes(4, "little")) + b".{12}"
    start = re.search(re.escape(MIB.to_bytes(4, "little")) + b".{12}" + one * 3, content, re.DOTALL)
    assert start is not None
    first, place = content[start.start() :][:16], start.start()
    path.write_bytes(content[:place] + first * 3001 + content[place + 16 * 3001 :])


def one_text_at_many_places(path: Path) -> None:
    """Each attribute is within its limit."""
    with h5py.File(path, "w") as file:
        file.create_group("0/vars").attrs["name"] = "x" * MIB
        for index in range(1, 200):
            file.create_group(f"{index}/vars").attrs["name"] = "y"
    content = bytearray(path.read_bytes())
    names = [found.start() for found in re.finditer(b"name\0\0\0\0", content)]
    # The value follows its name at one distance in each, behind type and shape.
    length = MIB.to_bytes(4, "little")
    (distance, reference), *_ = (
        (found - name, content[found : found + 16])
        for name in names
        if (found := content.find(length, name + 32, name + 64)) >= 0
    )
    for name in names:
        content[name + distance : name + distance + 16] = reference
    path.write_bytes(content)


def empty_strings(file: h5py.File) -> None:
    file.create_dataset("w", (2**18,), h5py.string_dtype())


def fixed_strings(file: h5py.File) -> None:
    file.create_dataset("w", (2**18,), "S1")


def unwritten(file: h5py.File) -> None:
    for index in range(40):
        file.create_dataset(f"w{index}", (4 * MIB,), "f4")


def tiny_chunks(file: h5py.File) -> None:
    file.create_dataset("w", (32 * MIB,), "u1", chunks=(1,))


def many_datasets(file: h5py.File) -> None:
    for index in range(3000):
        file.create_dataset(f"w{index}", (), "u1")


def many_groups(file: h5py.File) -> None:
    for index in range(3000):
        file.create_group(f"g{index}")


def many_names(file: h5py.File) -> None:
    file["w"] = 1
    for index in range(3000):
        file[f"w{index}"] = file["w"]


def long_paths(file: h5py.File) -> None:
    group = file
    for _ in range(100):
        group = group.create_group("g" * 20_000)
    for index in range(100):
        group.create_group(str(index))


def twice_compressed(file: h5py.File) -> None:
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_chunk((4,))
    layout.set_deflate(9)
    layout.set_deflate(9)
    h5d.create(file.id, b"w", h5t.NATIVE_FLOAT, h5s.create_simple((4,)), layout)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (empty_strings, "the HDF5 file has over 1,024 strings"),
        (fixed_strings, "the HDF5 file has over 1,024 strings"),
        (unwritten, "the datasets of the HDF5 file declare over"),
        (tiny_chunks, "the datasets of the HDF5 file are cut into too many chunks"),
        (many_datasets, r"has over 2,\d+ groups and datasets, more than its model could use"),
        (many_groups, r"has over 2,\d+ groups and datasets, more than its model could use"),
        (many_names, r"has over 2,\d+ groups and datasets, more than its model could use"),
        (long_paths, "names and attributes in the HDF5 file are longer than the file"),
        (twice_compressed, "'w' in the HDF5 file is filtered in an unusual way"),
    ],
)
def test_a_small_file_that_takes_much_is_left_to_stock(
    path: Path, attack: Callable[[h5py.File], None], message: str
) -> None:
    """By counting, before the work is done."""
    with h5py.File(path, "w") as file:
        attack(file)

    with pytest.raises(BypassError, match=message), read_state(path, b""):
        pass


def test_a_chunk_that_unpacks_to_more_than_it_declares_is_refused(path: Path) -> None:
    """HDF5 would unpack the whole of it."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("w", (8,), "u1", chunks=(8,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(64 * MIB), 9))

    with (
        read_state(path, b"") as source,
        pytest.raises(BypassError, match="a chunk of 'w' in the HDF5 file is a bomb"),
    ):
        dict(source.stream())


@pytest.mark.parametrize("options", [{}, {"fletcher32": True}, {"shuffle": True}])
def test_honest_chunks_are_read(path: Path, options: dict[str, bool]) -> None:
    """With every filter that h5py puts around the compression."""
    values = np.arange(1000.0).reshape(20, 50)
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=values, chunks=(7, 9), compression="gzip", **options)
    with read_state(path, b"") as source:
        ((_, found),) = source.stream()

    assert found.tobytes() == values.tobytes()


def test_a_model_of_many_layers_is_read(path: Path) -> None:
    """Its configuration names as many."""
    with h5py.File(path, "w") as file:
        many_groups(file)
    config = b'{"class_name": "Dense"}' * 1000
    with read_state(path, config) as source:
        assert len(source.groups) == 3001


READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
from fastload.errors import BypassError
from fastload.source.hdf5 import read_hdf5, read_state
try:
    with read_hdf5(sys.argv[1]) if sys.argv[2] == "model" else read_state(sys.argv[1], b""):
        pass
except BypassError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.parametrize(
    ("attack", "walk"), [(one_text_many_times, "model"), (one_text_at_many_places, "state")]
)
def test_references_to_one_long_text_are_refused(
    path: Path, attack: Callable[[Path], None], walk: str
) -> None:
    """In little memory: HDF5 would make a copy of the text for each."""
    attack(path)
    result = subprocess.run(
        [sys.executable, "-c", READ, str(path), walk], capture_output=True, text=True, check=True
    )

    assert "names and attributes in the HDF5 file are longer than the file" in result.stdout


@pytest.mark.parametrize("version", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("user_block", [0, 512])
@pytest.mark.parametrize("ordered", [True, False])
def test_lists_of_texts_in_large_files_are_read(
    path: Path, version: str, user_block: int, ordered: bool
) -> None:
    """Keras with a recent h5py writes its lists of names so, in each version of the format."""
    names = [f"layer_{index}" for index in range(1000)]
    with h5py.File(path, "w", libver=version, userblock_size=user_block) as file:
        file.attrs["model_config"] = "{}" + " " * MIB
        weights = file.create_group("model_weights", track_order=ordered)
        for index in range(3):
            weights.attrs[f"other_{index}"] = "text" * 100
        weights.attrs["layer_names"] = names
        file.create_dataset("large", data=np.ones(16 * MIB, "f4"))
    with read_hdf5(path) as source:
        assert source.groups["model_weights"]["layer_names"] == names


def test_a_header_that_goes_on_for_ever_is_left_to_stock(path: Path) -> None:
    """A block of it may name itself as the next one."""
    names = [f"layer_{index}" for index in range(1000)]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        file.create_group("model_weights").attrs["layer_names"] = names
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        group = file["model_weights"].id
        place = content.index(b"\x10\0\x10\0", h5o.get_info(group).addr)
        start, length = struct.unpack_from("<QQ", content, place + 8)
        struct.pack_into("<HHB3xQQ", content, start, 0x10, 16, 0, start, length)
        reader = HeaderReader(file, io.BytesIO(content))
        with pytest.raises(BypassError, match="a very long header"):
            reader.text_bytes(group, "layer_names", 1000)
