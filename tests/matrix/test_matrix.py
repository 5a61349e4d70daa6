"""The cells of the matrix, and what the command line takes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("nox")
pytest.importorskip("uv")

from tests.matrix.__main__ import MARKERS, README, README_MARKERS, SAMPLED, chosen, parsed
from tests.matrix.cells import CELLS, IN_EVERY_RUN, NEWEST
from tests.matrix.compared import COMPARED, in_words, note_compared


def names(*arguments: str) -> list[str]:
    return [cell.name for cell in chosen(parsed(list(arguments)))]


def test_each_minor_version_is_in_a_cell() -> None:
    """TensorFlow from 2.8 on, and Keras 3 from 3.0 on."""
    tensorflows = {cell.name.partition("-")[0] for cell in CELLS}

    assert {f"2.{minor}" for minor in range(8, 22)} == tensorflows
    assert len({cell.name for cell in CELLS}) == len(CELLS)


def test_a_commit_draws_a_few_cells() -> None:
    """The same ones each time; others for another commit, and none that every run looks at."""
    drawn = names("--sample", "abc")

    assert drawn == names("--sample", "abc")
    assert len(drawn) == SAMPLED
    assert IN_EVERY_RUN.isdisjoint(drawn)
    assert len({tuple(names("--sample", str(number))) for number in range(9)}) > 1


def test_cells_are_chosen_by_name() -> None:
    assert names("--cells", "2.16*") == [f"2.16-keras-3.{minor}" for minor in (0, 1, 3, 4)]
    assert names("--newest")[-1] == NEWEST[0].name
    assert len(names()) == len(CELLS)


def test_the_page_has_the_markers() -> None:
    page = Path(__file__).parents[2] / "docs" / "versions.md"

    assert "| environment |" in MARKERS.read(page)


def record(folder: Path, tensorflow: str, keras: str, *failed: str) -> Path:
    path = folder / f"{tensorflow}.json"
    environment = {"tensorflow": tensorflow, "keras": keras, "Python": "3.11.7"}
    path.write_text(json.dumps({"environment": environment, "failed": failed}))
    return path


def test_what_was_equal_is_noted(tmp_path: Path) -> None:
    """A patch release replaces the one before; what differed is taken off the list."""
    known = tmp_path / "compared.json"
    known.write_text("[]")
    note_compared(known, [record(tmp_path, "2.9.3", "2.9.0"), record(tmp_path, "2.10.1", "2.10.0")])
    found = note_compared(
        known, [record(tmp_path, "2.10.2", "2.10.0"), record(tmp_path, "2.9.4", "2.9.0", "a")]
    )

    assert [each["tensorflow"] for each in found] == ["2.10.2"]
    assert json.loads(known.read_text()) == found


def test_only_neighbours_are_a_range() -> None:
    """A version that was not compared is not in the sentence."""
    found = [{"tensorflow": "2.16.2", "keras": f"3.{minor}.0"} for minor in (0, 3, 4, 5, 10)]

    assert in_words(found).endswith("TensorFlow 2.16, with Keras 3 (3.0, 3.3 to 3.5, 3.10).")


def test_the_readme_has_the_sentence_of_the_list() -> None:
    assert README_MARKERS.read(README).strip() == in_words(json.loads(COMPARED.read_text()))
