"""A lock for each entry, so that one process at a time converts a model. Only this knows filelock.

The lock avoids double work. It is `publish.replacing` that keeps readers safe, and they take no
lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastload.cache.entry import CacheEntry
from fastload.errors import CacheLockTimeoutError, CacheUnwritableError


@contextmanager
def entry_lock(entry: CacheEntry, timeout_s: float, *, waited_s: float = 0) -> Iterator[None]:
    """Hold the lock of *entry* in the block, against other processes and other threads.

    The block may end in another thread than the one in which it began.

    Inside, look for the twin again: another holder of the lock may have written it. The operating
    system releases the lock of a process that dies.

    Args:
        entry: the entry to be written; its cache folder exists.
        timeout_s: how long to wait, in seconds; 0 tries once.
        waited_s: how long the caller has waited already.

    Raises:
        CacheLockTimeoutError: the lock was not released in time.
        CacheUnwritableError: the lock file cannot be created, or the file system has no locks.
    """
    # Imported here because a hit takes no lock and the import takes some 30 ms.
    from filelock import FileLock, Timeout

    # A new lock object for each call: a shared one would admit a second thread.
    # It may become a standard stream where those are closed: what is printed to it harms nobody.
    lock = FileLock(entry.lock_path, mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=max(0.0, timeout_s - waited_s))
    except Timeout:
        raise CacheLockTimeoutError(entry.lock_path, timeout_s) from None
    except (OSError, NotImplementedError) as error:
        reason = f"no lock can be taken: {getattr(error, 'strerror', None) or error}"
        raise CacheUnwritableError(entry.cache.root, reason) from error
    try:
        yield
    finally:
        try:
            lock.release()
        except OSError:  # once more: a lock that this process keeps is waited for by all others
            lock.release()
