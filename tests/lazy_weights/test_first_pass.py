"""The first round over the weights is shown if it takes long, and never in the way."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from fastload.lazy_weights import first_pass
from fastload.lazy_weights.first_pass import FirstPass, WatchedLender
from fastload.lazy_weights.lender import array_over
from fastload.lazy_weights.places import Wait
from tests.lazy_weights.lenders import lender_over, plan_of_layers

PLAN = plan_of_layers(32)
NAMES = [weight.name for weight in PLAN.lent]
HALF = "fastload: reading weights [###############---------------] 1 of 2 MiB"


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A terminal that somebody unplugged."""

    def isatty(self) -> bool:
        raise OSError("gone")


Showing = Callable[[io.StringIO | None], FirstPass]


@pytest.fixture
def clock() -> list[float]:
    """Seconds, to be set."""
    return [100.0]


@pytest.fixture
def showing(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> Showing:
    """Begin a round that is shown on a stream, if on any."""

    def begin(stream: io.StringIO | None) -> FirstPass:
        monkeypatch.setattr("sys.stderr", stream)
        return FirstPass(PLAN, lambda: clock[0])

    return begin


def test_a_short_round_shows_nothing(showing: Showing) -> None:
    """It is over when each weight was lent."""
    screen = Screen()
    shown = showing(screen)

    assert [shown.goes_on(name) for name in NAMES] == [*[True] * 31, False]
    assert screen.getvalue() == ""


def test_a_long_round_is_drawn_until_it_is_over(showing: Showing, clock: list[float]) -> None:
    """Then the line is empty again; other text may be written over it at any time."""
    screen = Screen()
    shown = showing(screen)
    for name in NAMES[:15]:
        shown.goes_on(name)
    clock[0] += 2
    for name in NAMES[15:]:
        shown.goes_on(name)
    last = HALF.replace("-", "#").replace("1 of", "2 of")

    assert screen.getvalue() == f"\r{HALF}\r" + f"\r{' ' * len(last)}\r"


def test_a_picture_is_drawn_ten_times_a_second_at_most(
    showing: Showing, clock: list[float]
) -> None:
    """A terminal may be slow."""
    screen = Screen()
    shown = showing(screen)
    for name in NAMES[:-1]:
        shown.goes_on(name)
        clock[0] += 0.05

    assert screen.getvalue().count("fastload: ") <= 0.05 * len(NAMES) * 10


def test_a_file_gets_lines(showing: Showing, clock: list[float]) -> None:
    """One each ten seconds, and one at the end."""
    file = io.StringIO()
    shown = showing(file)
    for name in NAMES:
        shown.goes_on(name)
        clock[0] += 0.5
    lines = file.getvalue().splitlines()

    assert len(lines) == 3
    assert all(line.startswith("fastload: reading weights [#") for line in lines)
    assert lines[-1].endswith("] 2 of 2 MiB")


def test_a_call_of_a_part_of_a_model_ends_with_its_round(showing: Showing) -> None:
    """A weight that is used twice in a row begins no round."""
    shown = showing(None)

    assert shown.goes_on(NAMES[3])
    assert shown.goes_on(NAMES[3])
    assert shown.goes_on(NAMES[4])
    assert not shown.goes_on(NAMES[3])


@pytest.mark.parametrize("stream", [None, Broken(), "closed"])
def test_where_nothing_can_be_shown_nothing_is(
    showing: Showing, clock: list[float], stream: io.StringIO | str | None
) -> None:
    """And nothing fails: the round is given up."""
    if stream == "closed":
        stream = Screen()
        stream.close()
    shown = showing(stream)  # type: ignore[arg-type]
    assert shown.goes_on(NAMES[0])
    clock[0] += 2

    assert not shown.goes_on(NAMES[1])


def test_a_watched_lender_lends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows its first round, not the next."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(first_pass, "_PATIENCE_S", 0.0)
    lender = lender_over(tmp_path, PLAN, PLAN.smallest_budget, WatchedLender)
    values = [int(array_over(*lender.lend(name, Wait.FOR_OTHERS))[-1]) for name in NAMES]
    first = screen.getvalue()
    lender.lend(NAMES[0], Wait.FOR_OTHERS)

    assert values == list(range(len(NAMES)))
    assert first.startswith("\rfastload: reading weights [")
    assert first.endswith(" \r")
    assert screen.getvalue() == first
