"""The surroundings of a load, to make its model in them at any later time.

A model is made of what the file says and of what the process is like: which dtype Keras uses,
which names are taken, whether a strategy or a graph is active. A model that is made later than it
is loaded is made in a thread of its own, where nothing is active, with Keras as it was.
"""

from __future__ import annotations

import contextvars
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastload.runtime import eager
from fastload.runtime.conditions import execution
from fastload.runtime.effects import Effects, States, states, under
from fastload.runtime.flavour import KERAS2, Flavour
from fastload.runtime.global_state import seeded_tensorflow
from fastload.runtime.model_classes import layer_names
from fastload.runtime.tensorflow import first_module

_BACKEND: Final = ("floatx", "epsilon", "image_data_format")
#: `_others_run` of `kernels` knows threads of that name for ours.
_THREAD: Final = "fastload restore"
#: What it changes meanwhile is of the process.
_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a model was loaded.

    Attributes:
        chosen: its Keras.
        settings: Keras's settings then, by name.
        states: names and generators as they were before.
    """

    chosen: Flavour
    settings: Mapping[str, Any]
    states: States

    @classmethod
    def now(cls, chosen: Flavour) -> Moment:
        """Return this moment."""
        return cls(chosen=chosen, settings=_settings(chosen), states=states(chosen))

    @property
    def digest(self) -> str:
        """What decides how functions are executed, as 16 hexadecimal digits.

        Raises:
            UnsupportedRuntimeError: TensorFlow is not as expected.
        """
        return hashlib.sha256(execution().encode()).hexdigest()[:16]

    def trial(self, build: Callable[[], Any], use: Callable[[Any, Effects | None], Any]) -> Any:
        """Return what *use* returns of what *build* makes now, and of what that left behind.

        That is None if it cannot be told; all of it is undone.
        """

        def work() -> Any:
            then = {**self.states, "keras": None}  # so that it draws as where nobody seeded Keras
            with _lock, seeded_tensorflow(), under(self.chosen, then):
                before = states(self.chosen)
                made = build()
                after = states(self.chosen)
                return use(made, Effects.of(before, after, layer_names(made)))

        return in_a_thread(work)

    def again(self, build: Callable[[], Any], effects: Effects) -> Any:
        """Return what *build* makes then; *effects* are known to be its, and are left out now."""

        def work() -> Any:
            with (
                _lock,
                under(self.chosen, self.states, effects.parts),
                _set(self.chosen, self.settings),
            ):
                return build()

        return in_a_thread(work)


def is_plain(chosen: Flavour) -> bool:
    """Say whether a model made here and now is like one made anywhere.

    It is not where a scope gives it other names, dtypes or another device.
    """
    context = eager.context()
    if context.device_name or context.scope_name or _policy(chosen) is not None:
        return False
    if chosen.name == KERAS2:
        return True
    state = first_module("keras.src.backend.common.global_state")
    return state is not None and not state.get_global_attribute("name_scope_stack", default=[])


def in_a_thread(work: Callable[[], Any]) -> Any:
    """Return what *work* returns, from a thread of its own, where no scope is active."""
    done: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=_THREAD)
    thread.start()
    thread.join()
    if failed:
        raise failed.pop()
    return done.pop()


@contextmanager
def _set(chosen: Flavour, settings: Mapping[str, Any]) -> Iterator[None]:
    """Run the block with *settings* of Keras."""
    now = _settings(chosen)
    changed = {name: value for name, value in settings.items() if now[name] != value}
    if chosen.name != KERAS2:  # which keeps it by thread, and may have made it of another floatx
        changed["policy"] = settings["policy"]
    try:
        _change(chosen, changed)
        yield
    finally:
        _change(chosen, {name: now[name] for name in changed})


def _settings(chosen: Flavour) -> dict[str, Any]:
    backend = chosen.keras.backend
    found = {name: getattr(backend, name)() for name in _BACKEND}
    return {**found, "policy": _policy(chosen)}


def _change(chosen: Flavour, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if name == "policy":
            _set_policy(chosen, value)
        else:
            getattr(chosen.keras.backend, f"set_{name}")(value)


def _policy(chosen: Flavour) -> str | None:
    """Return the name of the dtype policy; None for that of `floatx`, which goes with it."""
    keras = chosen.keras
    policy = (
        keras.mixed_precision.global_policy()
        if chosen.name == KERAS2
        else keras.config.dtype_policy()
    )
    return None if policy.name == keras.backend.floatx() else str(policy.name)


def _set_policy(chosen: Flavour, name: str | None) -> None:
    keras = chosen.keras
    if chosen.name == KERAS2:
        keras.mixed_precision.set_global_policy(name)
    else:
        keras.config.set_dtype_policy(name or keras.backend.floatx())
