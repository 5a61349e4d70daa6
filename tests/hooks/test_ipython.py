"""The notebook extension, in a real IPython: in a process of its own, for it starts a thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython

pytest.importorskip("IPython")
pytestmark = pytest.mark.slow
SHELL = """
import sys, keras, fastload
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
stock = keras.models.load_model
"""


def test_a_notebook_is_served_and_told(archive: Path, run_python: RunPython) -> None:
    program = SHELL + (
        "shell.run_line_magic('load_ext', 'fastload')\n"
        "shell.run_line_magic('fastload', '')\n"
        "for _ in range(2): keras.models.load_model(sys.argv[1])\n"
        "shell.run_line_magic('fastload', '')\n"
    )
    lines = run_python(program, archive).splitlines()

    assert lines[0] == "no load yet"
    assert lines[2].startswith(f"{archive}: hit in ")
    assert lines[3].startswith("all programs: 2 loads (1 hits, 1 misses, 0 bypasses)")


def test_unloading_puts_all_back(cache_root: Path, run_python: RunPython) -> None:
    program = SHELL + (
        "shell.run_line_magic('load_ext', 'fastload')\n"
        "print(fastload.is_installed(), keras.models.load_model is stock)\n"
        "shell.run_line_magic('unload_ext', 'fastload')\n"
        "print(fastload.is_installed(), keras.models.load_model is stock)\n"
        "print(shell.find_line_magic('fastload'))\n"
    )

    assert run_python(program).splitlines() == ["True False", "False True", "None"]
