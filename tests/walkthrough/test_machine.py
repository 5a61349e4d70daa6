"""What walks does what it says: a wrong page, or an image that is built otherwise, is noticed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.project.examples import Example
from tests.walkthrough.machine import Image, Machine, Newcomer, section_of


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a Python and no packages; the reader sits in an empty folder."""
    found = Machine(root=tmp_path)
    found.home.mkdir(parents=True)
    (found.prefix / "bin").mkdir(parents=True)
    (found.prefix / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org/simple")
    return found


def test_a_machine_knows_nothing_of_the_one_around_it(machine: Machine) -> None:
    """But where packages come from."""
    environment = machine.environment

    assert environment["HOME"] == str(machine.home)
    assert environment["PIP_INDEX_URL"] == "https://example.org/simple"
    assert {"FASTLOAD_DISABLE", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"}.isdisjoint(environment)
    assert machine.of("grace").left_in_home() == set()


def example(language: str, text: str) -> Example:
    return Example(page=Path("page.md"), line=1, language=language, text=text)


def test_a_newcomer_has_files_of_his_own(machine: Machine) -> None:
    """And notices what a page says otherwise, in a shell and in Python."""
    newcomer = Newcomer(machine, small="model")
    newcomer.follow(example("console", "$ echo small.keras smaller\nmodel.keras smaller\n"))
    newcomer.follow(example("python", 'print("small")  # prints: model\n'))

    with pytest.raises(AssertionError, match="printed"):
        newcomer.follow(example("console", "$ echo 1\n2\n"))
    with pytest.raises(AssertionError, match="printed"):
        newcomer.follow(example("python", "print(1)  # prints: 2\n"))
    with pytest.raises(AssertionError):
        newcomer.follow(example("console", "$ false\n"))


def test_an_image_is_built_step_by_step(machine: Machine) -> None:
    Path("app.py").write_text("the program")
    image = Image(machine)
    image.build(
        "FROM python:3.11-slim\n"
        'RUN pip install "tf-fastload[tensorflow]"\n'
        "COPY app.py /app.py\n"
        "RUN mkdir -p /opt/twins && echo a > /opt/twins/b\n"
        "ENV FASTLOAD_CACHE_PATH=/opt/twins\n"
        "USER 65534\n"
        'CMD ["python", "/app.py"]\n'
    )

    assert (image.root / "app.py").read_text() == "the program"
    assert (image.root / "opt" / "twins" / "b").read_text() == "a\n"
    assert image.user == 65534
    assert image.placed("/opt/twins:/usr/opt/x /app.py") == (
        f"{image.root}/opt/twins:/usr/opt/x {image.root}/app.py"
    )
    with pytest.raises(AttributeError):
        image.build("ONBUILD true\n")


def test_a_heading_without_examples_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no example stands under 'Install'"):
        section_of(iter([example("console", "$ true\n")]), "Install")
