"""The notebook extension, in a real IPython."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

import fastload

testing = pytest.importorskip("IPython.testing.globalipapp")


@pytest.fixture
def shell(cache_root: Path) -> Iterator[Any]:
    """A shell as a notebook has it."""
    shell = testing.start_ipython() or testing.get_ipython()
    yield shell
    shell.run_line_magic("unload_ext", "fastload")


def test_a_notebook_is_served_and_told(
    shell: Any, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("load_ext", "fastload")
    shell.run_line_magic("fastload", "")
    for _ in range(2):
        keras.models.load_model(archive)
    shell.run_line_magic("fastload", "")
    printed = capsys.readouterr().out

    assert f"{archive}: hit in " in printed
    assert "all programs: 2 loads (1 hits, 1 misses, 0 bypasses)" in printed


def test_unloading_puts_all_back(shell: Any) -> None:
    stock = keras.models.load_model
    shell.run_line_magic("load_ext", "fastload")
    during = fastload.is_installed()
    shell.run_line_magic("unload_ext", "fastload")

    assert during
    assert not fastload.is_installed()
    assert keras.models.load_model is stock
    assert shell.find_line_magic("fastload") is None
