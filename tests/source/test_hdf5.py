"""Everything that Keras writes into HDF5 is read; everything else is refused before it is used."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from fastload.errors import BypassError, UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5 import HDF5Source, read_hdf5

MIB = 2**20


def contents(source: HDF5Source) -> dict[str, np.ndarray]:
    return dict(source.stream())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


def test_a_file_of_keras_gives_its_weights_in_order(keras_models: Path) -> None:
    """Attributes name the layers and weights; values are those of the model."""
    with np.load(keras_models / "weights.npz") as stored:
        expected = [stored[name] for name in stored]
    with read_hdf5(keras_models / "model.h5") as source:
        weights = contents(source)
        root = "model_weights"
        names = [
            f"{root}/{layer}/{name}"
            for layer in source.groups[root]["layer_names"]
            for name in source.groups[f"{root}/{layer}"]["weight_names"]
        ]

    assert "first" in source.groups[root]["layer_names"]
    assert source.groups[f"{root}/no_weights"]["weight_names"] == []
    assert isinstance(source.groups[""]["model_config"], str)
    assert [value.tobytes() for value in expected] == [weights[name].tobytes() for name in names]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("bool", np.array([True, False])),
        ("int8", np.array([[-1, 2]], "i1")),
        ("uint64", np.array(2**63, "u8")),
        ("float16", np.array([1.5], "f2")),
        ("float32", np.frombuffer(b"\x01\x00\xc0\x7f", "<f4")),
        ("float64", np.zeros((0, 3))),
        ("float64", np.array([1.25, -2], ">f8")),
        ("complex64", np.array([1j], "c8")),
        ("string", np.array([b"ab", b"c"])),
    ],
)
def test_each_dtype_is_read_as_it_is(path: Path, dtype: str, value: np.ndarray) -> None:
    """Bits and shape survive, in native byte order."""
    with h5py.File(path, "w") as file:
        file["layer/w"] = value
    with read_hdf5(path) as source:
        (spec,) = source.specs
        ((name, actual),) = source.stream()

    assert (spec.name, spec.dtype, spec.shape) == ("layer/w", dtype, value.shape)
    assert (name, actual.dtype) == ("layer/w", value.dtype.newbyteorder("="))
    assert actual.tobytes() == value.astype(actual.dtype).tobytes()


def test_bfloat16_is_told_by_its_mark(path: Path) -> None:
    """Two opaque bytes and an attribute, as Keras 3 writes them."""
    value = np.array([1.5, -0.0], ml_dtypes.bfloat16)
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=value).attrs["dtype"] = "bfloat16"
        file.create_dataset("scalar", data=value[0]).attrs["dtype"] = "bfloat16"
    with read_hdf5(path) as source:
        weights = contents(source)

    assert [spec.dtype for spec in source.specs] == ["bfloat16", "bfloat16"]
    assert (weights["w"].dtype, weights["w"].tobytes()) == (value.dtype, value.tobytes())
    assert weights["scalar"].shape == ()


def test_strings_of_any_length_are_read_as_bytes(path: Path) -> None:
    """The encoding is the business of whoever knows what they mean."""
    with h5py.File(path, "w") as file:
        file["w"] = np.array([["a", "größe"], ["", "z"]], object)
        file["one"] = "text"
    with read_hdf5(path) as source:
        weights = contents(source)

    assert weights["w"].tolist() == [[b"a", "größe".encode()], [b"", b"z"]]
    assert weights["one"][()] == b"text"


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "lzf"}, {"chunks": (7,)}]
)
def test_chunks_and_common_filters_are_read(path: Path, options: dict[str, object]) -> None:
    """People repack their files."""
    value = np.arange(1000.0)
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=value, shuffle=True, **options)
    with read_hdf5(path) as source:
        weights = contents(source)

    assert weights["w"].tobytes() == value.tobytes()


def test_attributes_keep_text_and_bytes_apart(path: Path) -> None:
    """Old files have bytes, new ones text; numbers become plain ones."""
    expected = {
        "text": "größe",
        "bytes": b"abc",
        "texts": ["a", "bc"],
        "many bytes": [b"a", b"bc"],
        "none": [],
        "int": 3,
        "float": 0.5,
        "bool": True,
    }
    with h5py.File(path, "w") as file:
        attributes = file.create_group("group/empty").parent.attrs
        for name, value in expected.items():
            attributes[name] = np.array(value) if "bytes" in name else value
    with read_hdf5(path) as source:
        groups = source.groups

    assert groups == {"": {}, "group": expected, "group/empty": {}}
    assert {name: type(value) for name, value in groups["group"].items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_a_weight_with_two_names_is_read_once(path: Path) -> None:
    """Shared layers are hard links."""
    with h5py.File(path, "w") as file:
        file["a/w"] = np.ones(2)
        file["b/w"] = file["a/w"]
    with read_hdf5(path) as source:
        names = [name for name, _ in source.stream()]

    assert names == ["a/w"]
    assert source.links == {"b/w": "a/w"}


def test_an_open_file_is_read_like_a_path(path: Path) -> None:
    """Weights in an archive have no path."""
    with h5py.File(path, "w") as file:
        file["w"] = np.arange(5)
    with read_hdf5(io.BytesIO(path.read_bytes())) as source:
        weights = contents(source)

    assert weights["w"].tolist() == [0, 1, 2, 3, 4]


def soft_link(file: h5py.File) -> None:
    file["model_weights/layer/w"] = h5py.SoftLink("/elsewhere")


def soft_link_to_a_group(file: h5py.File) -> None:
    file.create_group("real")
    file["model_weights"] = h5py.SoftLink("/real")


def external_link(file: h5py.File) -> None:
    file["model_weights/layer"] = h5py.ExternalLink("other.h5", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("w", (4,), "u1", external=[("secret.bin", 0, 4)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "w", (4,))
    file.create_virtual_dataset("w", layout)


def unwritten_bomb(file: h5py.File) -> None:
    file.create_dataset("w", (2**50,), "f4", chunks=(1024,))


def compressed_bomb(file: h5py.File) -> None:
    file.create_dataset("w", data=np.zeros(80 * MIB, "u1"), chunks=(40 * MIB,), compression=9)


def chunk_bomb(file: h5py.File) -> None:
    options = {"chunks": (2**28,), "maxshape": (None,), "compression": 9}
    file.create_dataset("w", (1,), "f4", **options)


def many_small_bombs(file: h5py.File) -> None:
    for index in range(70):
        file.create_dataset(f"w{index}", (60 * MIB,), "u1")


def references(file: h5py.File) -> None:
    file.create_dataset("w", data=file.ref, dtype=h5py.ref_dtype)


def group_in_itself(file: h5py.File) -> None:
    file["a/b"] = file.create_group("a")


def group_with_two_paths(file: h5py.File) -> None:
    file["b"] = file.create_group("a")


def depth(file: h5py.File) -> None:
    file.create_group("/".join("g" * 400))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (soft_link, "'model_weights/layer/w' in the HDF5 file is a soft link"),
        (soft_link_to_a_group, "'model_weights' in the HDF5 file is a soft link"),
        (external_link, "'model_weights/layer' in the HDF5 file is an external link"),
        (external_storage, "'w' in the HDF5 file keeps its data in another file"),
        (virtual_dataset, "'w' in the HDF5 file is a virtual dataset"),
        (unwritten_bomb, "declares 4,503,599,627,370,496 bytes but stores 0"),
        (compressed_bomb, "declares 83,886,080 bytes"),
        (chunk_bomb, "declares 1,073,741,824 bytes but stores 0"),
        (many_small_bombs, "the datasets of the HDF5 file declare over"),
        (references, "'w' in the HDF5 file holds references"),
        (group_in_itself, "the group 'a/b' in the HDF5 file is 'a' again"),
        (group_with_two_paths, "the group 'b' in the HDF5 file is 'a' again"),
        (depth, "nested over 256 deep"),
    ],
)
def test_an_attack_is_refused(
    path: Path, attack: Callable[[h5py.File], None], message: str
) -> None:
    """Before any weight is read, and by name."""
    with h5py.File(path, "w") as file:
        attack(file)

    with pytest.raises(UnsafeSourceError, match=message), read_hdf5(path):
        pass


def test_many_references_to_one_long_string_are_refused(path: Path) -> None:
    """A short dataset of references can stand for more text than the file has bytes."""
    with h5py.File(path, "w") as file:
        strings = file.create_dataset("w", (100,), h5py.string_dtype())
        strings[0] = "x" * 100_000
        offset = strings.id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 1600] = content[offset : offset + 16] * 100
    path.write_bytes(content)

    with (
        read_hdf5(path) as source,
        pytest.raises(UnsafeSourceError, match="'w' are longer than the HDF5 file"),
    ):
        contents(source)


def test_a_file_that_is_a_zip_archive_too_is_refused(path: Path) -> None:
    """Stock would choose by suffix, and so could load another model than fastload."""
    with h5py.File(path, "w") as file:
        file["w"] = 1
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")

    with pytest.raises(UnsafeSourceError, match="is a zip archive as well"), read_hdf5(path):
        pass


def unknown_filter(file: h5py.File) -> None:
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_chunk((4,))
    layout.set_filter(32100, h5z.FLAG_OPTIONAL, (1,))
    h5d.create(file.id, b"w", h5t.NATIVE_FLOAT, h5s.create_simple((4,)), layout)


def compound(file: h5py.File) -> None:
    file["w"] = np.zeros(2, [("a", "f4")])


def opaque(file: h5py.File) -> None:
    file["w"] = np.zeros(2, "V2")


def enumeration(file: h5py.File) -> None:
    file.create_dataset("w", data=[1], dtype=h5py.enum_dtype({"A": 1}))


def ragged(file: h5py.File) -> None:
    file.create_dataset("w", (2,), h5py.vlen_dtype("i4"))


def no_shape(file: h5py.File) -> None:
    file["w"] = h5py.Empty("f4")


def bare_datatype(file: h5py.File) -> None:
    file["w"] = np.dtype("f4")


def numbers_attribute(file: h5py.File) -> None:
    file.attrs["numbers"] = [1.0, 2.0]


def mixed_empty_attribute(file: h5py.File) -> None:
    file.attrs["nothing"] = h5py.Empty("f4")


@pytest.mark.parametrize(
    ("oddity", "message"),
    [
        (unknown_filter, "'w' in the HDF5 file needs the HDF5 filter 32100"),
        (compound, "'w' in the HDF5 file has the type"),
        (opaque, r"'w' in the HDF5 file has the type \|V2"),
        (enumeration, "'w' in the HDF5 file has the type uint8"),
        (ragged, "'w' in the HDF5 file has the type object"),
        (no_shape, "'w' in the HDF5 file has no shape"),
        (bare_datatype, "'w' in the HDF5 file is a bare datatype"),
        (numbers_attribute, "the attribute 'numbers' of '/' in the HDF5 file is neither text"),
        (mixed_empty_attribute, "the attribute 'nothing' of '/' in the HDF5 file is neither"),
    ],
)
def test_what_keras_never_writes_is_left_to_stock(
    path: Path, oddity: Callable[[h5py.File], None], message: str
) -> None:
    """The reason names the object."""
    with h5py.File(path, "w") as file:
        oddity(file)

    with pytest.raises(UnconvertibleModelError, match=message), read_hdf5(path):
        pass


def small_file(path: Path) -> bytes:
    with h5py.File(path, "w") as file:
        file["layer/w"] = np.arange(50.0)
        # Not text of any length: HDF5 itself never returns from some damaged heaps of it.
        file["layer"].attrs["weight_names"] = np.array([b"w", b"bias"])
    return path.read_bytes()


def read_all(content: bytes) -> None:
    with read_hdf5(io.BytesIO(content)) as source:
        contents(source)


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    """No cut file gives weights."""
    whole = small_file(path)
    read_all(whole)
    for length in range(0, len(whole), 37):
        with pytest.raises(UnconvertibleModelError, match="the HDF5 file cannot be read"):
            read_all(whole[:length])


def test_a_damaged_file_never_raises_a_foreign_error(path: Path) -> None:
    """It is read, or refused in words of ours; HDF5 has no checksums to tell which."""
    whole = small_file(path)
    dice = random.Random(7)
    refusals = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        try:
            read_all(bytes(damaged))
        except BypassError:
            refusals += 1

    assert refusals > 0


def test_an_error_of_the_caller_passes_untouched(path: Path) -> None:
    """Only what reading raises means a bypass."""
    small_file(path)

    with pytest.raises(ValueError, match="mine"), read_hdf5(path):
        raise ValueError("mine")
