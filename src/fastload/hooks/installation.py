"""`install`, `uninstall`, `enabled`, `disabled`: whether calls of stock loaders are served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastload import switch, unfinished
from fastload.flags import BLANK, DISABLE, LAZY_IMPORT, MIGRATE, OPT_IN, flag
from fastload.hooks import patching
from fastload.imports import light_import

_lock: Final = unfinished.lock()
_installed = False
_scopes = 0
_environment_before: dict[str, str | None] = {}


def install(*, migrate: bool = False, blank: bool = False) -> None:
    """Serve every call of a stock loader in this process, and in processes that it starts.

    From then on, `load_model` of Keras, `tf.keras` and `tf_keras`, under every public name, and
    `tf.saved_model.load` do what `load_model` and `load_saved_model` of this package do. TensorFlow
    may be imported before or after; nothing is imported now, but what another thread is importing
    at the moment is waited for. Names that were bound earlier, by `from ... import load_model`, are
    served too if the stock function calls another one that can be patched: `fastload doctor` lists
    those that are not. Processes that are started later are served too, because `FASTLOAD=1` is set
    for them.

    Calling it again changes nothing but *migrate* and *blank*. With `FASTLOAD_DISABLE=1` it does
    nothing.

    Args:
        migrate: also answer Keras 3's `load_model` where it refuses a model of Keras 2, with a
            Keras 3 model that is made of it, as `fastload.load_model` does; `FASTLOAD_MIGRATE=1`.
        blank: build models as in `fastload.blank` in functions that load their weights right after:
            `keras.applications`, and presets of KerasHub; `FASTLOAD_BLANK=1`.

    Raises:
        ValueError: the value of an environment variable is not understood.

    Example:
        >>> import fastload
        >>> fastload.install()
        >>> fastload.is_installed()
        True
        >>> fastload.uninstall()
    """
    global _installed, _environment_before  # noqa: PLW0603 - the hooks are the process's
    if flag(os.environ, DISABLE):
        return
    patching.watch_imports(_is_on)
    with _lock:
        if flag(os.environ, LAZY_IMPORT, unset=True):
            light_import.add()
        patching.put_in_place(_is_on)
        if not _installed:
            _environment_before = {name: os.environ.get(name) for name in (OPT_IN, MIGRATE, BLANK)}
            os.environ[OPT_IN] = "1"
        if migrate:
            os.environ[MIGRATE] = "1"
        if blank:
            os.environ[BLANK] = "1"
        _installed = True


def uninstall() -> None:
    """Put the stock functions back; this process, and processes that it starts, are not served.

    Loads that are running are not affected. Calling it again changes nothing.

    Example:
        >>> import fastload
        >>> fastload.uninstall()
        >>> fastload.is_installed()
        False
    """
    global _installed  # noqa: PLW0603
    with _lock:
        if not _installed:
            return
        _installed = False
        light_import.remove()
        _restore_environment()
        if not _scopes:
            patching.take_out()


def is_installed() -> bool:
    """Return whether calls of stock loaders are served in this process."""
    return _installed


@contextmanager
def enabled() -> Iterator[None]:
    """Serve calls of stock loaders in the block, in this thread or async task only.

    Example:
        >>> import fastload
        >>> with fastload.enabled():
        ...     pass  # calls of tf.keras.models.load_model are served here
    """
    _enter()
    try:
        with switch.switched(on=True):
            yield
    finally:
        _leave()


@contextmanager
def disabled() -> Iterator[None]:
    """Use the stock loaders in the block, in this thread or async task only.

    Calls of fastload's own functions, such as `fastload.load_model`, use them too.

    Example:
        >>> import fastload
        >>> with fastload.disabled():
        ...     pass  # every load uses the stock loader here
    """
    with switch.switched(on=False):
        yield


def _is_on() -> bool:
    """Return whether a call of a stock loader is served now, in this thread or async task."""
    if switch.is_loading() or flag(os.environ, DISABLE):
        return False
    choice = switch.choice()
    return _installed if choice is None else choice


def _enter() -> None:
    global _scopes  # noqa: PLW0603
    patching.watch_imports(_is_on)
    with _lock:
        patching.put_in_place(_is_on)
        _scopes += 1


def _leave() -> None:
    global _scopes  # noqa: PLW0603
    with _lock:
        _scopes -= 1
        if not _scopes and not _installed:
            patching.take_out()


def _restore_environment() -> None:
    """Undo the change of the environment, which processes inherit that are started later."""
    for name, before in _environment_before.items():
        if before is None:
            os.environ.pop(name, None)
        else:  # FASTLOAD was set before, perhaps to 1
            os.environ[name] = "0" if name == OPT_IN else before
