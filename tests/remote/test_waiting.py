"""Nobody waits longer than said for a call, and what it did comes out as it was."""

from __future__ import annotations

import threading
import time

import pytest

from fastload.remote.waiting import Call


def test_a_call_returns_and_raises_what_the_function_does() -> None:
    error = KeyError("x")

    def fails() -> None:
        raise error

    assert Call(lambda: 7).result(5) == 7
    with pytest.raises(KeyError) as found:
        Call(fails).result(5)
    assert found.value is error


def test_time_counts_from_the_beginning() -> None:
    """Calls that were begun together are waited for together."""
    over = threading.Event()
    calls = [Call(over.wait) for _ in range(5)]
    begun_s = time.monotonic()
    for call in calls:
        with pytest.raises(TimeoutError, match=r"within 0\.5 s"):
            call.result(0.5)
    took_s = time.monotonic() - begun_s
    over.set()

    assert took_s < 1.5


@pytest.mark.timeout(60)
def test_a_wait_of_a_microsecond_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in ten thousand of `queue.SimpleQueue.get` does not, in Python 3.10 to 3.12."""
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    for _ in range(30_000):
        begun_s = time.monotonic()
        call: Call[None] = Call(lambda: None)
        with pytest.raises(TimeoutError):
            call.result(time.monotonic() - begun_s + 1e-6)


def test_what_is_there_is_returned_however_late_it_is_asked_for() -> None:
    """A disk that is slow to take parts is no fault of the store."""
    call = Call(lambda: b"part")
    time.sleep(0.2)

    assert call.result(0.0) == b"part"


def test_a_call_that_is_left_behind_keeps_nothing_from_ending() -> None:
    """Its thread is no thread that a process waits for."""
    over = threading.Event()
    Call(lambda: over.wait(30))
    threads = [each for each in threading.enumerate() if each.name == "fastload-store"]
    over.set()

    assert threads
    assert all(each.daemon for each in threads)


def test_a_thread_that_cannot_be_had_is_an_error_of_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it is asked for, so that it becomes a fault of the store and fails no load."""
    error = RuntimeError("can't start new thread")

    def fails(_: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", fails)
    call = Call(lambda: 7)
    with pytest.raises(RuntimeError) as found:
        call.result(5)

    assert found.value is error
