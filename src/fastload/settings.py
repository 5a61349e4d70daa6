"""Settings of a load, read from the environment once for each call.

Whether programs are served at all is another question, which `hooks` asks earlier, with `flags`.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from fastload.flags import DEFER, MIGRATE, flag
from fastload.lean_dataclass import dataclass

WeightsMode = Literal["auto", "mapped", "eager", "lazy"]

_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)

#: The size of a cache without a limit.
UNLIMITED: Final = sys.maxsize
#: Longer than the conversion of the largest models takes on slow disks.
DEFAULT_LOCK_TIMEOUT_S: Final = 300.0
#: Longer than a store takes that is not away, and short beside a conversion.
DEFAULT_REMOTE_TIMEOUT_S: Final = 10.0

_ADDRESS: Final = re.compile(r"[A-Za-z][\w+.:-]*://.+")
#: A user's name and password in an address.
_SECRET: Final = re.compile(r"(?<=://)[^/@]*:[^@]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStore:
    """A store of twins that machines share.

    Attributes:
        url: `FASTLOAD_REMOTE`: its address, as fsspec takes it (`s3://bucket/prefix`).
        writes: `FASTLOAD_REMOTE_MODE` is `readwrite`: loads put there what they converted.
        key: `FASTLOAD_REMOTE_KEY`: what is stored is signed with it; None for no signatures.
        timeout_s: `FASTLOAD_REMOTE_TIMEOUT`: how long an answer is waited for, in seconds.
    """

    url: str
    writes: bool = False
    key: bytes | None = field(default=None, repr=False)
    timeout_s: float = DEFAULT_REMOTE_TIMEOUT_S

    @property
    def shown(self) -> str:
        """The address without a password.

        Example:
            >>> SharedStore(url="sftp://me:secret@host/twins").shown
            'sftp://host/twins'
        """
        return without_secret(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment variables say.

    Attributes:
        disabled: `FASTLOAD_DISABLE`: every load goes to the stock loader.
        cache_dir: `FASTLOAD_CACHE_DIR`, or None for the platform's cache folder. It begins with a
            tilde still where that stands for no folder.
        cache_path: `FASTLOAD_CACHE_PATH`: read-only layers below the cache, the first one first.
        cache_max_size_bytes: `FASTLOAD_CACHE_MAX_SIZE` (`5GiB`, `unlimited`), or None for a tenth
            of the disk, and no more than 20 GiB.
        strict: `FASTLOAD_STRICT`: raise an error instead of using the stock loader.
        lock_timeout_s: `FASTLOAD_LOCK_TIMEOUT` in seconds.
        remote: the shared store that `FASTLOAD_REMOTE` names; None for none.
        remote_timeout_s: `FASTLOAD_REMOTE_TIMEOUT`: how long a store, or a model's address, has for
            an answer, in seconds.
        weights: `FASTLOAD_WEIGHTS`: `auto`, `mapped`, `eager` or `lazy`.
        memory_budget_bytes: `FASTLOAD_MEMORY_BUDGET` (`256MiB`) of lazy weights, which become the
            default where it is set; None for no limit but the memory that is free.
        defer: `FASTLOAD_DEFER`: a process that only predicts does not import the whole of
            TensorFlow before it is used; on unless it is `0`.
        migrate: `FASTLOAD_MIGRATE`: calls of Keras 3's own `load_model` may be answered with a
            migrated model, where stock refuses one of Keras 2; `fastload.load_model` always may.
        progress: `FASTLOAD_PROGRESS`: show a bar while a model or a twin is fetched, and during
            the first pass over lazy weights.
        run: `FASTLOAD_RUN`, set by `fastload run --stats`: the name of the run in the statistics.
        log_level: `FASTLOAD_LOG` (`info`, `debug`, ...), or None to leave `logging` as it is.
    """

    disabled: bool = False
    cache_dir: Path | None = None
    cache_path: tuple[Path, ...] = ()
    cache_max_size_bytes: int | None = None
    strict: bool = False
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    remote: SharedStore | None = None
    remote_timeout_s: float = DEFAULT_REMOTE_TIMEOUT_S
    weights: WeightsMode = "auto"
    memory_budget_bytes: int | None = None
    defer: bool = True
    migrate: bool = False
    progress: bool = False
    run: str | None = None
    log_level: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from *environ*.

        Raises:
            ValueError: a value is not understood; the message names variable and value.

        Example:
            >>> Settings.from_env({"FASTLOAD_STRICT": "1"}).strict
            True
        """
        folder = environ.get("FASTLOAD_CACHE_DIR")
        budget = _size(environ, "FASTLOAD_MEMORY_BUDGET")
        return cls(
            disabled=flag(environ, "FASTLOAD_DISABLE"),
            cache_dir=_folder(folder) if folder else None,
            cache_path=_folders(environ.get("FASTLOAD_CACHE_PATH", "")),
            cache_max_size_bytes=_limit(environ, "FASTLOAD_CACHE_MAX_SIZE"),
            strict=flag(environ, "FASTLOAD_STRICT"),
            lock_timeout_s=_seconds(environ, "FASTLOAD_LOCK_TIMEOUT", DEFAULT_LOCK_TIMEOUT_S),
            remote=_remote(environ) if environ.get("FASTLOAD_REMOTE", "").strip() else None,
            remote_timeout_s=_remote_timeout(environ),
            weights=_weights(environ, "lazy" if budget else "auto"),
            memory_budget_bytes=budget,
            defer=flag(environ, DEFER, unset=True),
            migrate=flag(environ, MIGRATE),
            progress=flag(environ, "FASTLOAD_PROGRESS"),
            run=environ.get("FASTLOAD_RUN") or None,
            log_level=_log_level(environ),
        )


def without_secret(url: str) -> str:
    """Return an address without the name and the password of a user in it.

    Example:
        >>> without_secret("sftp://me:secret@host/model.keras")
        'sftp://host/model.keras'
    """
    return _SECRET.sub("", url)


def parse_size(text: str) -> int:
    """Return the bytes in *text*: a number with an optional unit (powers of 1,024).

    Raises:
        ValueError: *text* is not a size.

    Example:
        >>> parse_size("512MiB")
        536870912
    """
    match = _SIZE.fullmatch(text)
    nbytes = math.inf if match is None else float(match[1]) * _UNITS[match[2].upper()]
    if math.isinf(nbytes):  # also what so many digits come to
        raise ValueError(f"not a size: {text!r} (write 512MiB, 20G or a number of bytes)")
    return int(nbytes)


def weights_mode(text: str, name: str = "weights") -> WeightsMode:
    """Return *text* if it is a way of reading weights.

    Args:
        text: the value.
        name: the argument or variable that has it, for the message.

    Raises:
        ValueError: it is none.

    Example:
        >>> weights_mode("eager")
        'eager'
    """
    if text not in get_args(WeightsMode):
        raise ValueError(f"{name}={text!r} is not understood: use auto, mapped, eager or lazy")
    return cast(WeightsMode, text)


def weights_choice(
    settings: Settings, weights: str | None, memory_budget: int | str | None
) -> tuple[WeightsMode, int | None]:
    """Return how weights are read, and how many bytes lazy weights may take.

    Args:
        settings: the settings of the environment.
        weights: the argument of the call; None for `lazy` if the call has a budget, else for the
            environment's.
        memory_budget: the argument of the call; None for the environment's.

    Raises:
        ValueError: one is not understood, or the call has a budget for weights that are not lazy.
    """
    budget = budget_bytes(memory_budget)
    if weights is None:
        mode = settings.weights if budget is None else "lazy"
    else:
        mode = weights_mode(weights)
    if mode != "lazy":
        if budget is not None:
            raise ValueError(f"memory_budget= is for weights='lazy', not for {mode!r}")
        return mode, None
    return mode, settings.memory_budget_bytes if budget is None else budget


def budget_bytes(size: int | str | None) -> int | None:
    """Return the bytes of a `memory_budget=`; None stays None.

    Raises:
        ValueError: it is not a size, not positive, or not whole.

    Example:
        >>> budget_bytes("256MiB")
        268435456
    """
    nbytes = parse_size(size) if isinstance(size, str) else size
    if nbytes is not None and (nbytes <= 0 or nbytes != int(nbytes)):
        raise ValueError(
            f"memory_budget={size!r} is neither a positive whole number of bytes "
            "nor a size such as '256MiB'"
        )
    return nbytes if nbytes is None else int(nbytes)


def _folders(text: str) -> tuple[Path, ...]:
    return tuple(_folder(each) for each in text.split(os.pathsep) if each)


def _folder(text: str) -> Path:
    # Where there is no home folder, `Path` raises, and this leaves the tilde alone.
    return Path(os.path.expanduser(text))  # noqa: PTH111


def _size(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "").strip()
    try:
        return parse_size(value) if value else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _limit(environ: Mapping[str, str], name: str) -> int | None:
    is_unlimited = environ.get(name, "").strip().lower() == "unlimited"
    return UNLIMITED if is_unlimited else _size(environ, name)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    value = environ.get(name, "").strip()
    try:
        seconds = float(value) if value else default
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name}={value!r} is not understood: use a number of seconds")
    return seconds


def _weights(environ: Mapping[str, str], default: WeightsMode) -> WeightsMode:
    name = "FASTLOAD_WEIGHTS"
    return weights_mode(environ.get(name, "").strip().lower() or default, name)


def _log_level(environ: Mapping[str, str]) -> str | None:
    """Return the name of a level that `logging` knows, one that the program added included."""
    value = environ.get("FASTLOAD_LOG", "").strip()
    # That of a name is a number; that of any other text is a text.
    if value and not isinstance(logging.getLevelName(value.upper()), int):
        raise ValueError(f"FASTLOAD_LOG={value!r} is not understood: use info, debug, warning")
    return value.upper() or None


def _remote(environ: Mapping[str, str]) -> SharedStore:
    url = environ["FASTLOAD_REMOTE"].strip()
    if not _ADDRESS.fullmatch(url):
        raise ValueError(
            "FASTLOAD_REMOTE is not understood: use an address (s3://bucket/prefix, file:///folder)"
        )
    mode = environ.get("FASTLOAD_REMOTE_MODE", "").strip().lower() or "read"
    if mode not in {"read", "readwrite"}:
        raise ValueError(f"FASTLOAD_REMOTE_MODE={mode!r} is not understood: use read, readwrite")
    return SharedStore(
        url=url.rstrip("/"),
        writes=mode == "readwrite",
        key=os.fsencode(environ.get("FASTLOAD_REMOTE_KEY", "")) or None,
        timeout_s=_remote_timeout(environ),
    )


def _remote_timeout(environ: Mapping[str, str]) -> float:
    return _seconds(environ, "FASTLOAD_REMOTE_TIMEOUT", DEFAULT_REMOTE_TIMEOUT_S)
