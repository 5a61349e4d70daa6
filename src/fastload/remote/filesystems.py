"""The file systems of fsspec: which one an address is of, and bounded reads of it.

Only this imports fsspec.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from fastload.remote.waiting import Call
from fastload.settings import without_secret

#: How often a part is asked for, and how long it is waited between.
_TRIES: Final = 3
_PAUSE_S: Final = 0.2
#: Of what a library says of an error.
_MOST_WORDS: Final = 300
#: The file system of each address, in this process: those of others are of no use after a fork.
_opened: Final[dict[tuple[int, str], Any]] = {}


def protocol_of(url: str) -> str:
    """Return the scheme of an address; of one in others, the outermost.

    Example:
        >>> protocol_of("zip://model.keras::s3://bucket/models.zip")
        'zip'
    """
    return url.partition("::")[0].partition("://")[0].lower()


def require_known(url: str) -> None:
    """Check that something here speaks to such addresses.

    Raises:
        ImportError: fsspec, or what it needs for them, is not installed.
        ValueError: fsspec knows no such scheme.
    """
    try:
        # Imported here: most users have no store.
        import fsspec
    except ImportError as error:
        raise ImportError("it needs fsspec: install 'tf-fastload[remote]'") from error
    for each in url.split("::"):
        if "://" in each:
            fsspec.get_filesystem_class(protocol_of(each))  # which imports: that has no time limit


def open_filesystem(url: str, timeout_s: float) -> tuple[Any, str]:
    """Return the file system of an address, and the address as that takes it.

    Whether anybody answers there shows when it is asked.

    Raises:
        Exception: whatever fsspec raises; `TimeoutError` where it takes too long.
    """
    require_known(url)
    import fsspec.core

    key = (os.getpid(), url)
    if key not in _opened:
        made = Call(lambda: fsspec.core.url_to_fs(url, skip_instance_cache=True))
        _opened[key] = made.result(timeout_s)
    filesystem, root = _opened[key]
    return filesystem, root


def read_part(filesystem: Any, path: str, start: int, end: int) -> bytes:
    """Return the bytes of an object from *start* to *end*; asked for more than once, if need be.

    Raises:
        ValueError: something else came.
        Exception: whatever the file system raises.
    """
    for number in range(_TRIES):
        try:
            return _read(filesystem, path, start, end)
        except FileNotFoundError:
            raise
        except Exception:
            if number == _TRIES - 1:
                raise
            time.sleep(_PAUSE_S)
    raise AssertionError  # pragma: no cover - the last try returned or raised


def words(error: BaseException) -> str:
    """Return what a library's error says, without a password, in so far as it fits a message."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return without_secret(text)[:_MOST_WORDS]


def _read(filesystem: Any, path: str, start: int, end: int) -> bytes:
    if end == start:
        return b""
    content = filesystem.cat_file(path, start=start, end=end)
    if not isinstance(content, bytes) or len(content) != end - start:
        what = f"{type(content).__name__} of {len(content)}"
        raise ValueError(f"{what} came where {end - start} bytes were asked for")
    return content
