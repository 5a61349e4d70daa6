"""Changed models and twins, opened by stock and by fastload for a few seconds of each kind.

`nox -s fuzz` goes on for longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.runs import Workers, fuzz, two_workers
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import words_of

pytest.importorskip("keras")
pytest.importorskip("tf_keras")
pytestmark = pytest.mark.slow

#: For all kinds together, besides what the processes take to start.
SECONDS = 60
#: Of each kind, at most: the same inputs on a machine of any speed.
SEEDS = range(1, 31)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with two_workers() as started:
        yield started


@pytest.mark.parametrize("name", TARGETS)
def test_it_is_opened_as_by_stock(name: str, workers: Workers, tmp_path: Path) -> None:
    """The seeds of inputs that were not; `python -m tests.fuzz --only SEED NAME` keeps one."""
    seconds = SECONDS / len(TARGETS)

    tally = fuzz(TARGETS[name], seconds, SEEDS, tmp_path / "found", workers)

    assert tally.found == []
    assert tally.counts["inputs"] > 0


@pytest.mark.parametrize("name", TARGETS)
def test_what_nobody_changed_is_described(name: str, workers: Workers, tmp_path: Path) -> None:
    """An error while a model is described would be the same for any two models."""
    target = TARGETS[name]
    workers[0].ask({"save": name, "folder": str(tmp_path)}, 120)
    for path in sorted(tmp_path.iterdir()):
        job = {"path": str(path), "package": target.package, "cache": str(tmp_path / "cache")}

        (said,) = workers[0].ask(job, 60)["outcomes"]

        assert "raised" not in said


def test_the_order_of_a_set_says_nothing() -> None:
    """Keras names variables without a value as a set has them."""
    names = [f"<tf.Variable '{name}' shape=(4, 3) dtype=float32>" for name in "ab"]
    texts = [
        f"Showing 2 of 2 unmatched objects: [{', '.join(each)}]" for each in (names, names[::-1])
    ]

    assert words_of(AssertionError(texts[0])) == words_of(AssertionError(texts[1]))
