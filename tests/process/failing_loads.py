"""Loads in which one call of the C library fails: `failing_loads.py KIND KERAS STATE MODEL EVERY`.

To be run with `failing_calls.c` preloaded, named by FAILING_CALLS. STATE is `cold`, for loads that
write the twin, or `warm`. Of the calls that touch the cache, each EVERY-th fails once, with one
errno after the other. Each load is in a process of its own. Prints a line of JSON for each.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from forked_loads import in_fork
from stopped_loads import digest, loaders

import fastload

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOMEM)


def trial(load: Callable[[], str], number: int, with_errno: int) -> list[str]:
    """Load while the call of that *number* fails; return what came of it, and what failed."""
    calls = ctypes.CDLL(os.environ["FAILING_CALLS"])
    calls.failed_call.restype = ctypes.c_char_p
    calls.fail_call(os.environ["FASTLOAD_CACHE_DIR"].encode(), number, with_errno)
    found = load()
    report = fastload.last_load()
    count, name = calls.calls_so_far(), calls.failed_call().decode()
    calls.fail_call(b"", 0, 0)
    assert report is not None
    return [found, name, str(count), report.outcome.value, load()]


def main(kind: str, package: str, state: str, model: str, every: str) -> None:
    """Have each call fail."""
    __import__(package)
    cache, path = Path(os.environ["FASTLOAD_CACHE_DIR"]), Path(model)

    def load() -> str:
        return digest(loaders(package)[kind](path), may_run=True)

    def by_stock() -> list[str]:
        with fastload.disabled():
            return [load()]

    [expected] = in_fork(by_stock)
    prepared = cache.with_name("prepared")
    if state == "warm":
        in_fork(lambda: [load(), load()])
        cache.rename(prepared)
    number, is_last = 1, False
    while not is_last:
        shutil.rmtree(cache, ignore_errors=True)
        if prepared.exists():
            shutil.copytree(prepared, cache)
        with_errno = ERRNOS[number % len(ERRNOS)]
        found = in_fork(lambda number=number, error=with_errno: trial(load, number, error))
        is_last = len(found) == 5 and not found[1]
        wrong = found if len(found) != 5 or {found[0], found[4]} != {expected} else []
        if not is_last:
            told = {"call": number, "what": found[1:4], "errno": errno.errorcode[with_errno]}
            sys.stdout.write(json.dumps({**told, "wrong": wrong}) + "\n")
            sys.stdout.flush()
        number += int(every)


if __name__ == "__main__":
    os.environ["FASTLOAD_LOCK_TIMEOUT"] = "1"
    faulthandler.register(signal.SIGALRM, chain=True)
    main(*sys.argv[1:])
