"""Records of runs of the zoo, and the tables that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.contract.served import REFUSED, SERVED, joined, markdown


def record(
    version: str, *, failed: Sequence[str] = (), generation: str = "keras2", **ended: str
) -> dict[str, Any]:
    loads = [
        {"model": f"{generation}-{name}", "format": "h5", "function": "load_model", "ended": end}
        for name, end in ended.items()
    ]
    return {
        "environment": {"tensorflow": version},
        "generation": generation,
        "failed": [f"{generation}-{name}" for name in failed],
        "loads": loads,
    }


def test_parts_of_a_run_are_one_record() -> None:
    """The zoo is run in parts where all of it would take too long; versions stay apart."""
    whole = record("2.8.4", failed="ab", a=SERVED, b=SERVED)
    parts = [record("2.8.4", failed="a", a=SERVED), record("2.8.4", failed="b", b=SERVED)]
    other = record("2.12.1", a=SERVED)

    assert joined([*parts, other]) == [whole, other]


def test_what_is_told_again_counts() -> None:
    """A model that was mended is run once more."""
    first = record("2.8.4", failed="ab", a="FL205: no class", b=SERVED)
    again = record("2.8.4", a=SERVED)

    assert joined([first, again]) == [record("2.8.4", failed="b", b=SERVED, a=SERVED)]


def test_each_keras_of_an_environment_is_a_record() -> None:
    """Both are in one process of the suite where tf-keras is installed beside Keras 3."""
    second, third = (
        record("2.21.0", failed="a", a=SERVED),
        record("2.21.0", generation="keras3", a=""),
    )
    both = {**second, "loads": [*third["loads"], *second["loads"]]}

    assert joined([both]) == [second, third]


def test_without_tensorflow_the_backend_names_the_row() -> None:
    """Keras 3 on another backend is an environment like others."""
    found = record("", a=SERVED)
    found["environment"] = {"tensorflow": "", "jax": "0.8.0", "keras": "3.15.1"}

    row = markdown([found]).splitlines()[2]

    assert row.startswith("| JAX 0.8.0 | keras 3.15.1 |")


def test_table_counts_what_stock_opens() -> None:
    """Reasons stand below it, and how much faster loads are, where that was measured."""
    found = record("2.8.4", a=SERVED, b="FL205: no class", c=REFUSED)
    text = markdown([found | {"times": {"h5": 4.2}}])

    assert "| TensorFlow 2.8.4 |  |  | 1 of 2 |" in text
    assert "| 0 | -, 4.2, - |" in text
    assert text.endswith("- `load_model`, 1: FL205: no class")


def test_other_formats_of_a_row_stay() -> None:
    """The zoo may be run in one format."""
    old, new = record("2.8.4", a=SERVED, b="FL205: no class"), record("2.8.4", a=SERVED)
    new["loads"][0]["format"] = "tf"
    row = markdown([new], markdown([old])).splitlines()[2]

    assert row.startswith("| TensorFlow 2.8.4 |  | 1 of 1 | 1 of 2 |")


def test_other_rows_of_the_page_stay() -> None:
    """A machine that has run one version knows nothing of what another has found."""
    old, other = record("2.8.4", a="FL205: no class"), record("2.12.1", a=SERVED)
    beside = record("2.12.1", failed="a", a="FL203: a table")
    beside["environment"]["keras"] = "2.12.0"
    new = record("2.8.4", a=SERVED, b=REFUSED)

    page = markdown([old, other, beside])

    assert markdown([new], page) == markdown([new, other, beside])
    assert markdown([], page) == page
