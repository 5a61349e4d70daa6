"""Nobody waits for ever, and who is kept from its work is not taken for idle."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from fastload.lazy_weights import standstill
from fastload.lazy_weights.standstill import Moment, Patience, is_at_work

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def task(folder: Path, number: int, stat: str) -> None:
    (folder / str(number)).mkdir()
    (folder / str(number) / "stat").write_text(stat)


@on_linux
@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("7 (python) S 1 7", False),
        ("7 (python) R 1 7", True),
        ("7 (python) D 1 7", True),
        ("7 (a) R (b) S 1 7", False),
    ],
)
def test_a_thread_is_at_work_where_it_does_not_sleep(
    stat: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running, waiting for a core, or for the disk; whatever it is called."""
    monkeypatch.setattr(standstill, "_TASKS", tmp_path)
    task(tmp_path, threading.get_native_id(), "1 (python) R 1 1")
    (tmp_path / "99999998").mkdir()  # it ended just now
    task(tmp_path, 99999999, stat)

    assert is_at_work() == expected


@on_linux
def test_a_process_that_computes_is_not_idle() -> None:
    """One that waits is."""
    moment = Moment(0)
    while time.monotonic() < moment._time + 0.05:
        pass
    computed, moment = moment.is_idle, Moment(0)
    time.sleep(0.05)

    assert not computed
    assert moment.is_idle


def test_patience_begins_again_when_something_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """But who waited for long is worn all the same."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiting = Patience(0)
    now += standstill.PATIENCE_S - 1
    early = waiting.is_over(0), waiting.is_over(1), waiting.is_worn
    now += 2
    later = waiting.is_over(1)
    now += standstill.PATIENCE_S

    assert early == (False, False, True)
    assert (later, waiting.is_over(1)) == (False, True)


def test_a_weight_that_was_used_is_waited_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other work goes on, many quiet moments in a row are needed."""
    monkeypatch.setattr(Moment, "is_idle", False)
    waiting, moment = Patience(0), Moment(0)
    quiet = [waiting.is_quiet(moment, is_used=False) for _ in range(standstill._QUIET_MOMENTS)]
    used = waiting.is_quiet(moment, is_used=True)

    assert quiet == [False] * (standstill._QUIET_MOMENTS - 1) + [True]
    assert (used, waiting.is_quiet(moment, is_used=False)) == (False, False)
