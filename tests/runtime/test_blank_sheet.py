"""Blank variables: zeros that cost no memory."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from fastload.runtime.core.zero_copy import BlankSheet

tf = pytest.importorskip("tensorflow")
ml_dtypes = pytest.importorskip("ml_dtypes")


BLANKS = [((), "float32"), ((3, 5), "float16"), ((2000, 3), "int64"), ((7,), "bfloat16")]


@pytest.mark.parametrize(("shape", "dtype"), BLANKS)
def test_a_blank_tensor_is_zeros(shape: tuple[int, ...], dtype: str) -> None:
    """Whoever looks at a variable before its weights come sees zeros."""
    tensor = BlankSheet().tensor(shape, tf.as_dtype(dtype))

    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert not tensor.numpy().any()


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
