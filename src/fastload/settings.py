"""What the environment asks of a load.

Read once per call, from an argument. Whether programs are served at all is asked before that, by
`hooks`, with the flags of `flags`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fastload.flags import DEFER, flag

WeightsMode = Literal["auto", "mapped", "eager", "lazy"]

_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)
_WEIGHTS: Final[dict[str, WeightsMode]] = {
    "auto": "auto",
    "mapped": "mapped",
    "eager": "eager",
    "lazy": "lazy",
}

#: Conversions of the largest models take minutes on slow disks; a waiter gives up later than that.
DEFAULT_LOCK_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment asks for.

    Attributes:
        disabled: `FASTLOAD_DISABLE`: every load goes to the stock loader.
        cache_dir: `FASTLOAD_CACHE_DIR`, or None for the platform's cache folder.
        cache_max_size_bytes: `FASTLOAD_CACHE_MAX_SIZE` (`20GiB`), or None for no limit.
        strict: `FASTLOAD_STRICT`: raise instead of going to the stock loader.
        lock_timeout_s: `FASTLOAD_LOCK_TIMEOUT` in seconds.
        weights: `FASTLOAD_WEIGHTS`: `auto`, `mapped`, `eager` or `lazy`.
        memory_budget_bytes: `FASTLOAD_MEMORY_BUDGET` (`256MiB`): of lazy weights, which it makes
            the default; None for all that fits.
        defer: `FASTLOAD_DEFER`: a process that only predicts leaves TensorFlow's package to its
            first touch; on unless it is `0`.
        progress: `FASTLOAD_PROGRESS`: show the first pass over lazy weights.
        run: `FASTLOAD_RUN`, which `fastload run --stats` sets: its name in the statistics.
        log_level: `FASTLOAD_LOG` (`info`, `debug`, ...), or None to leave `logging` alone.
    """

    disabled: bool = False
    cache_dir: Path | None = None
    cache_max_size_bytes: int | None = None
    strict: bool = False
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    weights: WeightsMode = "auto"
    memory_budget_bytes: int | None = None
    defer: bool = True
    progress: bool = False
    run: str | None = None
    log_level: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from *environ*.

        Raises:
            ValueError: a variable has a value that cannot be understood; the message names both.

        Example:
            >>> Settings.from_env({"FASTLOAD_STRICT": "1"}).strict
            True
        """
        folder = environ.get("FASTLOAD_CACHE_DIR")
        budget = _size(environ, "FASTLOAD_MEMORY_BUDGET")
        return cls(
            disabled=flag(environ, "FASTLOAD_DISABLE"),
            cache_dir=Path(folder).expanduser() if folder else None,
            cache_max_size_bytes=_size(environ, "FASTLOAD_CACHE_MAX_SIZE"),
            strict=flag(environ, "FASTLOAD_STRICT"),
            lock_timeout_s=_seconds(environ, "FASTLOAD_LOCK_TIMEOUT", DEFAULT_LOCK_TIMEOUT_S),
            weights=_weights(environ, "lazy" if budget else "auto"),
            memory_budget_bytes=budget,
            defer=flag(environ, DEFER, unset=True),
            progress=flag(environ, "FASTLOAD_PROGRESS"),
            run=environ.get("FASTLOAD_RUN") or None,
            log_level=environ.get("FASTLOAD_LOG", "").strip().upper() or None,
        )


def parse_size(text: str) -> int:
    """Return the bytes that *text* means: a number with an optional unit (powers of 1,024).

    Raises:
        ValueError: *text* is not a size.

    Example:
        >>> parse_size("512MiB")
        536870912
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a size: {text!r} (write 512MiB, 20G or a number of bytes)")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def weights_mode(text: str) -> WeightsMode:
    """Return the way of reading weights that *text* names.

    Raises:
        ValueError: it names none.

    Example:
        >>> weights_mode("eager")
        'eager'
    """
    if text not in _WEIGHTS:
        raise ValueError(f"weights={text!r} is not understood: use auto, mapped, eager or lazy")
    return _WEIGHTS[text]


def weights_choice(
    settings: Settings, weights: str | None, memory_budget: int | str | None
) -> tuple[WeightsMode, int | None]:
    """Return how weights are read, and the bytes that lazy ones may take.

    Args:
        settings: what the environment asks for.
        weights: of the call; None for what the environment says, or for `lazy` with a budget.
        memory_budget: of the call; None for what the environment says.

    Raises:
        ValueError: one is not understood, or there is a budget for weights that are not lazy.
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
        ValueError: it is no size, or not a positive one.

    Example:
        >>> budget_bytes("256MiB")
        268435456
    """
    nbytes = parse_size(size) if isinstance(size, str) else size
    if nbytes is not None and nbytes <= 0:
        raise ValueError(f"memory_budget={size!r} is no positive number of bytes")
    return nbytes


def _size(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "").strip()
    try:
        return parse_size(value) if value else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


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
    value = environ.get(name, "").strip().lower() or default
    if value not in _WEIGHTS:
        modes = "auto, mapped, eager or lazy"
        raise ValueError(f"{name}={environ[name]!r} is not understood: use {modes}")
    return _WEIGHTS[value]
