"""No update of a variable writes into the mapping that it lies in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.runtime.core.zero_copy import tensor_over
from tests.runtime.mapped_files import COLUMNS, ROWS, MappedFile, address, aligned
from tests.small_models import KERAS3_HDF5, SavedModel, sha256

tf = pytest.importorskip("tensorflow")
ml_dtypes = pytest.importorskip("ml_dtypes")

Update = Callable[[Any, Any, Any], object]


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
