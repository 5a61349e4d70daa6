"""Arrays of a file as tensors: shared where that is safe, copied where not, never written to."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.runtime.zero_copy import BlankSheet, MappedArray, tensor_over
from tests.small_models import KERAS3_HDF5, SavedModel, sha256

tf = pytest.importorskip("tensorflow")
ml_dtypes = pytest.importorskip("ml_dtypes")

ROWS, COLUMNS = 16, 8
Update = Callable[[Any, Any, Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedFile:
    """A file of three float32 matrices, each at a multiple of a page, mapped copy-on-write."""

    path: Path
    arrays: list[Any]

    def variables(self) -> list[Any]:
        """Return variables that lie in the mapping."""
        return [tf.Variable(tensor_over(array)) for array in self.arrays]


@pytest.fixture
def mapped(tmp_path: Path) -> MappedFile:
    path = tmp_path / "weights"
    values = np.random.default_rng(1).uniform(0.5, 1, (3, mmap.PAGESIZE // 4)).astype("f4")
    path.write_bytes(values.tobytes())
    with path.open("rb") as file:
        pages = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), "f4")
    arrays = [row[: ROWS * COLUMNS].reshape(ROWS, COLUMNS) for row in pages.reshape(3, -1)]
    return MappedFile(path=path, arrays=arrays)


def address(tensor: Any) -> int:
    """Return where the elements of a tensor or variable are."""
    value = tensor.value() if isinstance(tensor, tf.Variable) else tensor
    return int(np.asarray(value).ctypes.data)


def gradient() -> Any:
    return tf.fill((ROWS, COLUMNS), 0.25)


def rows() -> Any:
    return tf.constant([1, 3, 5])


def some(value: float) -> Any:
    return tf.fill((3, COLUMNS), value)


def slices(value: float = 0.25) -> Any:
    return tf.IndexedSlices(some(value), rows())


#: Every way to change a variable, given three of them (an optimizer's slots are two).
UPDATES: dict[str, Update] = {
    "assign": lambda v, m, s: v.assign(gradient()),
    "assign_add": lambda v, m, s: v.assign_add(gradient()),
    "assign_sub": lambda v, m, s: v.assign_sub(gradient()),
    "slice assign": lambda v, m, s: v[2:4, ::2].assign(tf.zeros((2, COLUMNS // 2))),
    "scatter_add": lambda v, m, s: v.scatter_add(slices()),
    "scatter_sub": lambda v, m, s: v.scatter_sub(slices()),
    "scatter_update": lambda v, m, s: v.scatter_update(slices()),
    "scatter_max": lambda v, m, s: v.scatter_max(slices(9.0)),
    "scatter_min": lambda v, m, s: v.scatter_min(slices()),
    "scatter_mul": lambda v, m, s: v.scatter_mul(slices()),
    "scatter_div": lambda v, m, s: v.scatter_div(slices()),
    "batch_scatter_update": lambda v, m, s: v.batch_scatter_update(
        tf.IndexedSlices(tf.zeros((ROWS, 1)), tf.zeros((ROWS, 1), tf.int32))
    ),
    "scatter_nd_update": lambda v, m, s: v.scatter_nd_update(rows()[:, None], some(9.0)),
    "scatter_nd_add": lambda v, m, s: v.scatter_nd_add(rows()[:, None], some(9.0)),
    "scatter_nd_sub": lambda v, m, s: v.scatter_nd_sub(rows()[:, None], some(9.0)),
    "ResourceApplyGradientDescent": lambda v, m, s: tf.raw_ops.ResourceApplyGradientDescent(
        var=v.handle, alpha=0.1, delta=gradient()
    ),
    "ResourceApplyProximalGradientDescent": lambda v, m, s: (
        tf.raw_ops.ResourceApplyProximalGradientDescent(
            var=v.handle, alpha=0.1, l1=0.1, l2=0.1, delta=gradient()
        )
    ),
    "ResourceApplyMomentum": lambda v, m, s: tf.raw_ops.ResourceApplyMomentum(
        var=v.handle, accum=m.handle, lr=0.1, grad=gradient(), momentum=0.9
    ),
    "ResourceApplyKerasMomentum": lambda v, m, s: tf.raw_ops.ResourceApplyKerasMomentum(
        var=v.handle, accum=m.handle, lr=0.1, grad=gradient(), momentum=0.9
    ),
    "ResourceApplyAdagrad": lambda v, m, s: tf.raw_ops.ResourceApplyAdagrad(
        var=v.handle, accum=m.handle, lr=0.1, grad=gradient()
    ),
    "ResourceApplyAdagradV2": lambda v, m, s: tf.raw_ops.ResourceApplyAdagradV2(
        var=v.handle, accum=m.handle, lr=0.1, epsilon=1e-7, grad=gradient()
    ),
    "ResourceApplyProximalAdagrad": lambda v, m, s: tf.raw_ops.ResourceApplyProximalAdagrad(
        var=v.handle, accum=m.handle, lr=0.1, l1=0.1, l2=0.1, grad=gradient()
    ),
    "ResourceApplyAdadelta": lambda v, m, s: tf.raw_ops.ResourceApplyAdadelta(
        var=v.handle,
        accum=m.handle,
        accum_update=s.handle,
        lr=0.1,
        rho=0.9,
        epsilon=1e-7,
        grad=gradient(),
    ),
    "ResourceApplyRMSProp": lambda v, m, s: tf.raw_ops.ResourceApplyRMSProp(
        var=v.handle,
        ms=m.handle,
        mom=s.handle,
        lr=0.1,
        rho=0.9,
        momentum=0.9,
        epsilon=1e-7,
        grad=gradient(),
    ),
    "ResourceApplyFtrl": lambda v, m, s: tf.raw_ops.ResourceApplyFtrl(
        var=v.handle,
        accum=m.handle,
        linear=s.handle,
        grad=gradient(),
        lr=0.1,
        l1=0.1,
        l2=0.1,
        lr_power=-0.5,
    ),
    "ResourceApplyAdam": lambda v, m, s: tf.raw_ops.ResourceApplyAdam(
        var=v.handle,
        m=m.handle,
        v=s.handle,
        beta1_power=0.9,
        beta2_power=0.9,
        lr=0.1,
        beta1=0.9,
        beta2=0.9,
        epsilon=1e-7,
        grad=gradient(),
    ),
    "ResourceApplyAdaMax": lambda v, m, s: tf.raw_ops.ResourceApplyAdaMax(
        var=v.handle,
        m=m.handle,
        v=s.handle,
        beta1_power=0.9,
        lr=0.1,
        beta1=0.9,
        beta2=0.9,
        epsilon=1e-7,
        grad=gradient(),
    ),
    "ResourceApplyAddSign": lambda v, m, s: tf.raw_ops.ResourceApplyAddSign(
        var=v.handle, m=m.handle, lr=0.1, alpha=0.1, sign_decay=0.1, beta=0.9, grad=gradient()
    ),
    "ResourceApplyPowerSign": lambda v, m, s: tf.raw_ops.ResourceApplyPowerSign(
        var=v.handle, m=m.handle, lr=0.1, logbase=0.1, sign_decay=0.1, beta=0.9, grad=gradient()
    ),
    "ResourceSparseApplyAdagrad": lambda v, m, s: tf.raw_ops.ResourceSparseApplyAdagrad(
        var=v.handle, accum=m.handle, lr=0.1, grad=some(0.25), indices=rows()
    ),
    "ResourceSparseApplyMomentum": lambda v, m, s: tf.raw_ops.ResourceSparseApplyMomentum(
        var=v.handle, accum=m.handle, lr=0.1, grad=some(0.25), indices=rows(), momentum=0.9
    ),
    "ResourceSparseApplyKerasMomentum": lambda v, m, s: tf.raw_ops.ResourceSparseApplyKerasMomentum(
        var=v.handle, accum=m.handle, lr=0.1, grad=some(0.25), indices=rows(), momentum=0.9
    ),
}


def in_graph(update: Update) -> Callable[..., None]:
    @tf.function
    def run(*variables: Any) -> None:
        update(*variables)

    return run


RUNNERS: dict[str, Callable[[Update], Callable[..., object]]] = {
    "eager": lambda update: update,
    "graph": in_graph,
}


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_no_update_writes_into_the_mapping(
    mapped: MappedFile, update: Update, run: Callable[[Update], Callable[..., object]]
) -> None:
    """An update makes a new buffer; file and mapping keep their bytes, the result is as ever."""
    before, pages = sha256(mapped.path), [array.copy() for array in mapped.arrays]
    ordinary = [tf.Variable(array) for array in pages]
    shared = mapped.variables()
    aliased = [address(variable) for variable in shared]
    run(update)(*shared)
    run(update)(*ordinary)

    assert aliased == [array.ctypes.data for array in mapped.arrays]
    assert sha256(mapped.path) == before
    for array, page in zip(mapped.arrays, pages, strict=True):
        np.testing.assert_array_equal(array, page)
    for ours, theirs in zip(shared, ordinary, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert (shared[0].numpy() != pages[0]).any()


def test_a_compiled_update_does_not_write_into_the_mapping(mapped: MappedFile) -> None:
    """XLA may reuse the buffer of a variable that it updates; not this one."""
    pages = mapped.arrays[0].copy()
    (shared, *_) = mapped.variables()
    compiled = tf.function(lambda: shared.assign(shared * 2 + 1), jit_compile=True)
    compiled()
    compiled()

    np.testing.assert_array_equal(mapped.arrays[0], pages)
    np.testing.assert_allclose(shared.numpy(), pages * 4 + 3)


def test_updating_a_bfloat16_variable_leaves_its_array_alone() -> None:
    """It is shared in the guise of integers."""
    array = aligned(np.arange(64).astype(ml_dtypes.bfloat16))
    variable = tf.Variable(tensor_over(array))
    variable.assign_add(tf.ones((64,), tf.bfloat16))

    assert array.astype("f4").tolist() == list(range(64))
    assert variable.numpy().astype("f4").tolist() == list(range(1, 65))


def test_training_a_mapped_model_leaves_its_twin_alone(model: SavedModel, cache_root: Path) -> None:
    """Two epochs later the file is the same to the bit, and training went as after stock."""
    import fastload

    fastload.warm(model.path, keras=model.form.package)
    loaded = fastload.load_model(
        model.path, keras=model.form.package, weights="mapped", strict=True
    )
    report = fastload.last_load()
    assert report is not None
    assert report.twin is not None
    before = sha256(report.twin)
    stock = model.load_stock()
    inputs = np.ones((8, 4), "f4")
    for each in (loaded, stock):
        if model.form == KERAS3_HDF5:  # whose optimizer, once loaded, knows no variable
            each.compile("adam", "mse")
        each.fit(inputs, inputs, epochs=2, batch_size=4, shuffle=False, verbose=0)

    assert report.outcome.value == "hit"
    assert sha256(report.twin) == before
    for ours, theirs in zip(loaded.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def aligned(array: Any) -> Any:
    """Return *array* copied to a multiple of a page, writable."""
    memory = np.frombuffer(mmap.mmap(-1, max(array.nbytes, 1)), "u1")[: array.nbytes]
    memory[:] = np.frombuffer(array.tobytes(), "u1")
    return memory.view(array.dtype).reshape(array.shape)


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


NUMBERS = np.arange(64, dtype="f4").reshape(8, 8)
SHARED = {
    **{
        name: aligned(np.arange(64).astype(name))
        for name in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64")
    },
    "complex64": aligned(np.arange(64).astype("complex64")),
    "bfloat16": aligned(np.arange(64).astype(ml_dtypes.bfloat16)),
    "one element": aligned(np.ones((1,), "f4")),
    "scalar": aligned(np.array(3.5, "f4")),
}
COPIED = {
    "unaligned by an element": aligned(NUMBERS).reshape(-1)[1:],
    "unaligned bfloat16": aligned(np.arange(64).astype(ml_dtypes.bfloat16))[3:],
    "read-only": read_only(aligned(NUMBERS)),
    "strided": aligned(NUMBERS)[::2],
    "transposed": aligned(NUMBERS).T,
    "backwards": aligned(NUMBERS)[::-1],
    "zero-size": np.zeros((0, 4), "f4"),
    "bool": aligned(np.arange(64) % 2 == 0),
    "strings": np.array(["a", "ü", ""], dtype=object),
    "bytes": np.array([b"a", b"bc"]),
    "float8_e4m3fn": aligned(np.arange(64).astype(ml_dtypes.float8_e4m3fn)),
    "float8_e5m2": aligned(np.arange(64).astype(ml_dtypes.float8_e5m2)),
    "big-endian": aligned(np.arange(64).astype(">f4")),
}


@pytest.mark.parametrize("array", SHARED.values(), ids=SHARED)
def test_an_aligned_number_array_is_shared(array: Any) -> None:
    """The tensor lies where the array lies."""
    tensor = tensor_over(array)

    assert address(tensor) == array.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.dtype == tf.as_dtype(array.dtype)


@pytest.mark.parametrize("array", COPIED.values(), ids=COPIED)
def test_an_array_that_cannot_be_shared_is_copied(array: Any) -> None:
    """TensorFlow is not handed what would end the process; the values are the same."""
    tensor = tensor_over(array)

    assert address(tensor) != array.ctypes.data
    assert tensor.shape == array.shape
    expected = tf.convert_to_tensor(np.ascontiguousarray(array))
    assert tensor.dtype == expected.dtype
    assert tensor.numpy().tolist() == expected.numpy().tolist()


def test_a_tensor_keeps_the_mapping_alive(mapped: MappedFile) -> None:
    """Array and map can go before the tensor does."""
    expected = mapped.arrays[0].copy()
    tensor = tensor_over(mapped.arrays[0])
    mapped.arrays.clear()

    np.testing.assert_array_equal(tensor.numpy(), expected)


def test_a_mapped_array_converts_to_a_tensor_in_its_place() -> None:
    """TensorFlow asks the array itself, wherever it converts one."""
    array = aligned(NUMBERS)
    mapped_array = MappedArray.of(array)

    assert address(tf.convert_to_tensor(mapped_array)) == array.ctypes.data
    assert address(tf.convert_to_tensor(mapped_array, dtype="float32")) == array.ctypes.data


def test_a_mapped_array_converts_to_another_dtype_by_a_copy() -> None:
    """What is asked for decides."""
    tensor = tf.convert_to_tensor(MappedArray.of(aligned(NUMBERS)), dtype="float64")

    assert tensor.dtype == tf.float64
    np.testing.assert_array_equal(tensor.numpy(), NUMBERS)


DERIVED: dict[str, Callable[[Any], Any]] = {
    "slice": lambda array: array[:4],
    "reshape": lambda array: array.reshape(4, 16),
    "view": lambda array: array.view(),
    "copy": lambda array: array.copy(),
    "sum": lambda array: array + 0,
}


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_what_numpy_derives_from_a_mapped_array_is_copied(derive: Callable[[Any], Any]) -> None:
    """Somebody may write to it later, as to any array."""
    derived = derive(MappedArray.of(aligned(NUMBERS)))
    tensor = tf.convert_to_tensor(derived)

    assert address(tensor) != derived.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), np.asarray(derived))


BLANKS = [((), "float32"), ((3, 5), "float16"), ((2000, 3), "int64"), ((7,), "bfloat16")]


@pytest.mark.parametrize(("shape", "dtype"), BLANKS)
def test_a_blank_tensor_is_zeros(shape: tuple[int, ...], dtype: str) -> None:
    """Whoever looks at a variable before its weights come sees zeros."""
    tensor = BlankSheet().tensor(shape, tf.as_dtype(dtype))

    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert not tensor.numpy().any()


def test_a_sheet_knows_its_own_blanks(mapped: MappedFile) -> None:
    """A variable that got its weights lies elsewhere."""
    sheet = BlankSheet()
    blanks = [sheet.tensor((4,), tf.float32), sheet.tensor((5000,), tf.float64)]
    variable = tf.Variable(blanks[1])
    held = sheet.holds(variable.value())
    variable.assign(tf.ones((5000,), tf.float64))

    assert all(sheet.holds(blank) for blank in blanks)
    assert held
    assert not sheet.holds(variable.value())
    assert not sheet.holds(mapped.variables()[0].value())


def test_updating_a_blank_variable_leaves_the_others_blank() -> None:
    """Blanks share their pages, and TensorFlow does not write to them."""
    sheet = BlankSheet()
    first, second = (tf.Variable(sheet.tensor((8,), tf.float32)) for _ in range(2))
    first.assign_add(tf.ones((8,)))

    assert not second.numpy().any()


@pytest.mark.parametrize(
    ("dtype", "fits"),
    [("float32", True), ("bfloat16", True), ("uint8", True), ("bool", False), ("string", False)],
)
def test_only_numbers_fit_on_a_sheet(dtype: str, fits: bool) -> None:
    """The others get their value at once."""
    assert BlankSheet.fits(tf.as_dtype(dtype)) == fits


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory in use from /proc")
def test_a_blank_tensor_takes_no_memory() -> None:
    """A gigabyte of blanks touches no page."""
    before = resident_bytes()
    tensor = BlankSheet().tensor((1024, 1024, 256), tf.float32)
    grown = resident_bytes() - before

    assert tensor.shape == (1024, 1024, 256)
    assert grown < 16 * 2**20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
