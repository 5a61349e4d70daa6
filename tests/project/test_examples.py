"""What the pages tell a reader to do does what they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload.cli.run import find_pth
from tests.installed import version_of
from tests.project.examples import Example, Reader, examples_of

DOCS = Path(__file__).parents[2] / "docs"
NAMES = (
    "index",
    "start",
    "usage",
    "bench",
    "opt_in",
    "why_not_faster",
    "cache",
    "faq",
    "how_it_works",
    "versioning",
)
PAGES = [
    page
    for page in (*(DOCS / f"{name}.md" for name in NAMES), *sorted(DOCS.glob("howto/*.md")))
    if any(not each.is_left_out for each in examples_of(page))
]
SLOW_PAGES = [page for page in PAGES if any(each.is_slow for each in examples_of(page))]
APP = 'import keras\n\nkeras.models.load_model("model.keras")\n'


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: a model in two formats, and a program."""
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    if not version_of("keras").startswith("3."):
        pytest.skip("the pages are about Keras 3")
    folder = tmp_path_factory.mktemp("reader")
    layers = [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.save(folder / "model.keras")
    model.export(folder / "saved_model")
    (folder / "app.py").write_text(APP)
    return folder


@pytest.fixture(scope="session")
def model_of_keras2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `docs/usage.md` calls `path/to/model`."""
    keras = pytest.importorskip("tf_keras")
    path = tmp_path_factory.mktemp("keras2") / "model"
    layers = [keras.Input((4,), name="input_1"), keras.layers.Dense(2)]
    keras.Sequential(layers).save(path)
    return path


@pytest.fixture
def reader(
    models: Path, cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """A reader in a folder with a model, who has not used fastload yet."""
    shutil.copytree(models, tmp_path / "reader")
    monkeypatch.chdir(tmp_path / "reader")
    before = dict(fastload.custom_objects)
    images = np.zeros((3, 4), "float32")
    yield Reader(fastload=fastload, images=images, many_images=images)
    fastload.uninstall()
    fastload.custom_objects.clear()
    fastload.custom_objects.update(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_can_do_what_a_page_says(
    page: Path, reader: Reader, request: pytest.FixtureRequest
) -> None:
    if "path/to/" in page.read_text():
        for name in ("model", "saved_model"):
            shutil.copytree(request.getfixturevalue("model_of_keras2"), Path("path/to", name))
    for example in examples_of(page):
        if not (example.is_slow or example.is_left_out):
            reader.follow(example)


@pytest.mark.slow
@pytest.mark.skipif(find_pth() is None, reason="fastload is not installed here, only on the path")
@pytest.mark.parametrize("page", SLOW_PAGES, ids=lambda page: page.stem)
def test_a_reader_can_do_all_of_it(page: Path, reader: Reader) -> None:
    for example in examples_of(page):
        if not example.is_left_out:
            reader.follow(example)


def follow(text: str, page: Path) -> None:
    page.write_text(text)
    reader = Reader()
    for example in examples_of(page):
        reader.follow(example)


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ echo one\none\n$ echo two\nthree\n```\n",
        "```console\n$ false\n```\n",
        "```python\nprint(1 + 1)  # prints: 3\n```\n",
        "```python\nraise ValueError\n```\n",
        "```yaml\na: 1\n```\n",
    ],
)
def test_an_example_that_is_wrong_is_found(text: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, ValueError)):
        follow(text, tmp_path / "page.md")


def test_later_examples_know_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        "<!-- file: a.txt -->\n```text\nit is there\n```\n"
        "```console\n$ cat a.txt\nit is ...\n```\n"
        "```python\nnumber = 2\n```\n```python\nprint(number)  # prints: 2\n```\n"
    )

    follow(text, tmp_path / "page.md")


def test_comments_say_what_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- test: no, a reason -->\n```yaml\na: 1\n```\n")
    (example,) = examples_of(page)

    assert example == Example(
        page=page, line=3, language="yaml", text="a: 1\n", test="no, a reason"
    )
    assert example.is_left_out
