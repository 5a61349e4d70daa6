"""From the README alone, on an empty machine: install, use, measure, ship, ask why, remove.

The commands and what they print are those of the pages. The tests are steps: each goes on where the
one before ended. `nox -s walkthrough` runs them; they install TensorFlow.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from tests.bench.test_in_a_browser import BROWSERS, WIDTHS, seen
from tests.layers.other_user import NOBODY, why_not
from tests.project.examples import Example, compare_prints, examples_of
from tests.walkthrough.machine import ROOT, Image, Machine, Newcomer, section_of

pytestmark = [
    pytest.mark.walkthrough,
    pytest.mark.skipif("FASTLOAD_WALKTHROUGH" not in os.environ, reason="nox -s walkthrough"),
]
DOCS = ROOT / "docs"
#: What a newcomer has: a network of a usual size and one of a few layers, saved by stock; and one
#: with a layer of a package.
SAVE = """
import keras
from some_package.layers import MyLayer

keras.applications.EfficientNetB0(weights=None).save("model.keras")
layers = [keras.Input((4,)), MyLayer(), keras.layers.Dense(2)]
keras.Sequential(layers).save("custom.keras")
"""
PACKAGE = """
import keras


class MyLayer(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2
"""
#: Keras writes it when it is imported.
OF_KERAS = {".keras", ".keras/keras.json"}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The machine, in a folder that everybody can look into."""
    root = Path(tempfile.mkdtemp(prefix="fastload-walkthrough-"))
    root.chmod(0o755)
    yield Machine.made_in(root)
    shutil.rmtree(root)


@pytest.fixture
def newcomer(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Newcomer:
    """The newcomer, in a folder with own models as soon as they are saved."""
    folder = machine.root / "own"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return Newcomer(machine)


def readme(title: str) -> list[Example]:
    return section_of(examples_of(ROOT / "README.md"), title)


def page(name: str) -> list[Example]:
    """Return the examples of a page that tells how to do something."""
    return list(examples_of(DOCS / f"{name}.md"))


def test_install(machine: Machine, newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TensorFlow, in the environment that is empty but for pip."""
    (with_tensorflow,) = (each for each in readme("Install") if "tensorflow" in each.text)
    monkeypatch.chdir(machine.checkout)
    newcomer.follow(with_tensorflow)

    told = newcomer.run(["python", "-c", "import fastload; print(fastload.__file__)"])
    assert Path(told.strip()).is_relative_to(machine.packages)
    assert newcomer.run(["fastload", "--version"]).startswith("fastload")
    assert machine.left_in_home() == set()


def test_own_models_are_saved_by_stock(machine: Machine, newcomer: Newcomer) -> None:
    package = machine.packages / "some_package"
    package.mkdir()
    (package / "layers.py").write_text(PACKAGE)
    newcomer.run(["python", "-c", SAVE])

    assert Path("model.keras").stat().st_size > 10 * 2**20
    assert machine.left_in_home() == OF_KERAS


def test_use(newcomer: Newcomer) -> None:
    """The first load is a miss, and the next one a hit, as the README says."""
    (example,) = readme("Use")
    newcomer.follow(example)
    newcomer.follow(replace(example, text=example.text.replace("miss in", "hit in")))


def test_see_that_it_works(newcomer: Newcomer) -> None:
    """Every command of the README, but for `bench`, which has a step of its own."""
    (example,) = readme("See that it works")
    commands = re.sub(r"^\$ fastload bench .*\n", "", example.text, flags=re.MULTILINE)
    assert commands != example.text
    newcomer.follow(replace(example, text=commands))


def test_get_started(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the page, in a folder where nothing is yet."""
    folder = machine.root / "start"
    folder.mkdir()
    monkeypatch.chdir(folder)
    newcomer = Newcomer(machine.of("grace"))
    for example in page("start"):
        if not example.is_left_out:
            newcomer.follow(example)


def test_get_started_with_an_own_model(machine: Machine, newcomer: Newcomer) -> None:
    """The same, but that no model has to be made."""
    own = Newcomer(machine.of("barbara"), small="model", sequential="efficientnetb0", KiB="MiB")
    for example in page("start"):
        if not (example.is_left_out or example.section == "2. Take a model"):
            own.follow(example)


def test_measure_it_and_read_the_page(newcomer: Newcomer, tmp_path: Path) -> None:
    """The page has the figures of the terminal; it is as wide as a phone."""
    (example, *_) = page("bench")
    newcomer.follow(example)
    report = Path("report.html").read_text(encoding="utf-8")
    text = unescape(re.sub(r"<[^>]+>", " ", report))

    assert "model.keras" in text
    assert "bit for bit" in text
    assert report.count("<svg") >= len(("phases", "process", "memory", "paid back"))
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is not None:
        found = seen(browser, tmp_path, report, WIDTHS["phone"])
        assert (found["scrolls"], found["wide"], found["cut"]) == (WIDTHS["phone"], [], [])


@pytest.mark.usefixtures("newcomer")
def test_bake_it_into_an_image(machine: Machine) -> None:
    """The steps of the Dockerfile: root warms, and somebody without a home hits."""
    if why_not():
        pytest.skip(str(why_not()))
    dockerfile, program, asked = page("howto/docker")
    image = Image(machine)
    Path("app.py").write_text(image.placed(program.text))
    image.build(dockerfile.text)

    assert image.user == NOBODY
    expected = replace(program, text=image.placed(program.text))
    compare_prints(expected, image.start())
    # In an image, the user has no cache of before.
    Newcomer(machine.of("nobody")).follow(asked)


@pytest.mark.usefixtures("newcomer")
def test_find_out_why_another_model_is_not_faster(machine: Machine) -> None:
    """The page says so of a model that is exported there, and what to use instead."""
    other = Newcomer(machine.of("mary"))
    for example in page("why_not_faster"):
        if not example.is_left_out:
            other.follow(example)


def test_have_a_class_of_one_s_own_known(newcomer: Newcomer) -> None:
    """What stock refuses too opens as soon as the page's command has told where the class is."""
    asked, register, *_ = page("howto/custom_layers")
    newcomer.follow(asked)
    load = ["python", "-c", "import fastload; fastload.load_model('custom.keras')"]
    with pytest.raises(AssertionError, match="is neither part of Keras nor registered"):
        newcomer.run(load)
    newcomer.follow(register)
    newcomer.run(load)


def test_remove_everything(machine: Machine, newcomer: Newcomer) -> None:
    """Nothing is left, neither at home nor in the environment, and programs run as before."""
    shutil.rmtree(machine.packages / "some_package")
    (removal,) = section_of(examples_of(DOCS / "faq.md"), "How do I remove everything?")
    assert {path for path in machine.left_in_home() if "fastload" in path}
    newcomer.follow(removal)

    left = {path for path in machine.left_in_home() if (machine.home / path).is_file()}
    assert left == {path for path in OF_KERAS if path.endswith(".json")}
    assert sorted(machine.packages.glob("*fastload*")) == []
    assert not (machine.prefix / "bin" / "fastload").exists()
    loads = "import keras; print(keras.models.load_model('model.keras').name)"
    assert newcomer.run(["env", "FASTLOAD=1", "python", "-c", loads]).strip() == "efficientnetb0"
