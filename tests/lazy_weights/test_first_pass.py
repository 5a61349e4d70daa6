"""The first pass over the weights is shown if it takes long, and nothing fails for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from fastload import progress
from fastload.lazy_weights.first_pass import FirstPass, WatchedLender
from fastload.lazy_weights.lender import array_over
from fastload.lazy_weights.places import Wait
from tests.lazy_weights.lenders import lender_over, plan_of_layers

PLAN = plan_of_layers(32)
NAMES = [weight.name for weight in PLAN.lent]
#: What terminals understand: go up a line and erase it, for one.
ERASES_A_LINE = "\x1b[1A\x1b[2K"
SHOWS_CURSOR, HIDES_CURSOR = "\x1b[?25h", "\x1b[?25l"


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
    """Begin a pass that is shown on a stream, if on any."""
    monkeypatch.setenv("TERM", "xterm")

    def begin(stream: io.StringIO | None) -> FirstPass:
        monkeypatch.setattr("sys.stderr", stream)
        return FirstPass(PLAN, lambda: clock[0])

    return begin


def test_a_short_pass_shows_nothing(showing: Showing) -> None:
    """It is over when each weight was lent."""
    screen = Screen()
    shown = showing(screen)

    assert [shown.goes_on(name) for name in NAMES] == [*[True] * 31, False]
    assert screen.getvalue() == ""


def test_a_long_pass_is_drawn_until_it_is_over(showing: Showing, clock: list[float]) -> None:
    """Then the line is erased. The cursor is never hidden for longer than a drawing takes."""
    screen = Screen()
    shown = showing(screen)
    for name in NAMES[:15]:
        shown.goes_on(name)
    clock[0] += 2
    shown.goes_on(NAMES[15])
    half = screen.getvalue()
    for name in NAMES[16:]:
        shown.goes_on(name)

    assert "fastload: reading weights " in half
    assert "1.0/2.0 MiB" in half
    assert half.rindex(SHOWS_CURSOR) > half.rindex(HIDES_CURSOR)
    assert screen.getvalue().endswith(ERASES_A_LINE)


def test_the_bar_is_drawn_ten_times_a_second_at_most(showing: Showing, clock: list[float]) -> None:
    """A terminal may be slow."""
    screen = Screen()
    shown = showing(screen)
    for name in NAMES[:-1]:
        shown.goes_on(name)
        clock[0] += 0.05

    # Once more when it starts.
    assert 1 < screen.getvalue().count("fastload: ") <= 0.05 * len(NAMES) * 10 + 1


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_a_file_gets_lines(
    showing: Showing, clock: list[float], monkeypatch: pytest.MonkeyPatch, terminal: str
) -> None:
    """One each ten seconds, and one at the end; so does a terminal that cannot erase."""
    file = Screen() if terminal == "dumb" else io.StringIO()
    shown = showing(file)
    monkeypatch.setenv("TERM", terminal)
    for name in NAMES:
        shown.goes_on(name)
        clock[0] += 0.5
    lines = file.getvalue().splitlines()

    assert len(lines) == 3
    assert all(line.startswith("fastload: reading weights ") for line in lines)
    assert lines[-1].endswith(" 2.0/2.0 MiB")


def test_the_pass_of_a_call_that_uses_a_part_ends_with_it(showing: Showing) -> None:
    """A weight that is used twice in a row begins no second pass."""
    shown = showing(None)

    assert shown.goes_on(NAMES[3])
    assert shown.goes_on(NAMES[3])
    assert shown.goes_on(NAMES[4])
    assert not shown.goes_on(NAMES[3])


@pytest.mark.parametrize("stream", [Broken(), "closed"])
def test_a_broken_stderr_ends_the_display_only(
    showing: Showing, clock: list[float], stream: io.StringIO | str
) -> None:
    """The pass is shown no more, and nothing fails."""
    if stream == "closed":
        stream = Screen()
        stream.close()
    shown = showing(stream)  # type: ignore[arg-type]
    assert shown.goes_on(NAMES[0])
    clock[0] += 2

    assert not shown.goes_on(NAMES[1])


def test_a_process_without_stderr_shows_nothing(showing: Showing, clock: list[float]) -> None:
    shown = showing(None)
    assert shown.goes_on(NAMES[0])
    clock[0] += 2

    assert shown.goes_on(NAMES[1])


def test_a_watched_lender_lends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows its first pass, not the next."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    lender = lender_over(tmp_path, PLAN, PLAN.smallest_budget, WatchedLender)
    values = [int(array_over(*lender.lend(name, Wait.FOR_OTHERS))[-1]) for name in NAMES]
    first = screen.getvalue()
    lender.lend(NAMES[0], Wait.FOR_OTHERS)

    assert values == list(range(len(NAMES)))
    assert "fastload: reading weights " in first
    assert first.endswith(ERASES_A_LINE)
    assert screen.getvalue() == first
