"""One conversion at a time for each entry. The only module that knows filelock.

The lock saves work; `publish.replacing` is what keeps readers safe, and readers take no lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastload.cache.entry import CacheEntry
from fastload.errors import CacheLockTimeoutError, CacheUnwritableError


@contextmanager
def entry_lock(entry: CacheEntry, timeout_s: float) -> Iterator[None]:
    """Hold the lock of *entry* against other processes and against other threads of this one.

    Look again for the twin once inside: whoever held the lock before may have made it. The system
    frees the lock of a process that dies.

    Args:
        entry: the entry to be written; its cache folder exists.
        timeout_s: how long to wait, in seconds; 0 tries once.

    Raises:
        CacheLockTimeoutError: another holder did not let go in time.
        CacheUnwritableError: the lock file cannot be made, or the file system has no locks.
    """
    # Imported here: a hit takes no lock, and the import costs some 30 ms.
    from filelock import FileLock, Timeout

    # A lock object for each call: sharing one would let a second thread in as if it were the first.
    lock = FileLock(entry.lock_path)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        raise CacheLockTimeoutError(entry.lock_path, timeout_s) from None
    except (OSError, NotImplementedError) as error:
        reason = f"no lock can be taken: {getattr(error, 'strerror', None) or error}"
        raise CacheUnwritableError(entry.cache.root, reason) from error
    try:
        yield
    finally:
        lock.release()
