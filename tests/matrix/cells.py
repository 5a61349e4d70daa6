"""The environments of the matrix: every TensorFlow and Keras that people have, a few of each kind.

A cell is one environment. Keras 3 has more versions than TensorFlow, so some TensorFlows are in
several cells; tf-keras is in the first cell of its TensorFlow.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An environment.

    Attributes:
        name: as `--cells` selects it.
        python: major and minor version of its Python.
        packages: what is installed, as requirements.
        alone: what is installed without what it asks for: tf-keras asks for `tensorflow`, which
            would be installed over `tensorflow-cpu`.
        is_newest: whether pre-releases are taken.
    """

    name: str
    python: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    is_newest: bool = False


def _keras2(version: str, python: str, *pins: str) -> Cell:
    """Return the cell of a TensorFlow that brings Keras 2."""
    return Cell(name=version, python=python, packages=(f"tensorflow-cpu=={version}.*", *pins))


def _keras3(version: str, keras: str, python: str = "3.11", *, tf_keras: str = "") -> Cell:
    """Return a cell of a TensorFlow that allows Keras 3."""
    return Cell(
        name=f"{version}-keras-{keras}",
        python=python,
        packages=(f"tensorflow-cpu=={version}.*", f"keras=={keras}.*"),
        alone=(f"tf-keras=={tf_keras}.*",) if tf_keras else (),
    )


#: numpy and protobuf of the time, where TensorFlow itself does not say so.
_OLD: Final = ("numpy==1.23.5", "protobuf<3.21")

CELLS: Final = (
    _keras2("2.8", "3.10", *_OLD),
    _keras2("2.9", "3.10", *_OLD),
    _keras2("2.10", "3.10", "numpy==1.23.5"),
    _keras2("2.11", "3.10", "numpy==1.23.5"),
    _keras2("2.12", "3.10"),
    _keras2("2.13", "3.11", "numpy==1.24.3", "tensorflow-cpu==2.13.1"),
    _keras2("2.14", "3.11"),
    _keras2("2.15", "3.11"),
    _keras3("2.16", "3.0", tf_keras="2.16"),
    _keras3("2.16", "3.1"),
    _keras3("2.16", "3.3"),
    _keras3("2.16", "3.4"),
    _keras3("2.17", "3.5", tf_keras="2.17"),
    _keras3("2.17", "3.6"),
    _keras3("2.18", "3.8", tf_keras="2.18"),
    _keras3("2.19", "3.10", tf_keras="2.19"),
    _keras3("2.19", "3.11"),
    _keras3("2.20", "3.12", "3.12", tf_keras="2.20"),
    _keras3("2.20", "3.13", "3.13"),
    _keras3("2.20", "3.14", "3.12"),
    _keras3("2.21", "3.15", tf_keras="2.21"),
)
#: What `.ci/run` has sections for.
IN_EVERY_RUN: Final = frozenset({"2.8", "2.15", "2.21-keras-3.15"})
#: Release candidates and nightlies.
NEWEST: Final = (
    Cell(
        name="newest",
        python="3.12",
        packages=("tensorflow-cpu>=2.22.0rc0", "keras-nightly"),
        is_newest=True,
    ),
)


def sample(seed: str, count: int) -> tuple[Cell, ...]:
    """Return *count* of the cells that not every run looks at, the same for one *seed*."""
    others = (cell for cell in CELLS if cell.name not in IN_EVERY_RUN)
    drawn = sorted(others, key=lambda each: hashlib.sha256(f"{seed} {each.name}".encode()).digest())
    return tuple(each for each in CELLS if each in drawn[:count])
