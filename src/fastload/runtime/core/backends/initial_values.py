"""Initial values that nobody misses: a variable may wait for its weights in their stead."""

from __future__ import annotations

from typing import Any, Final

_LIBRARY: Final = "keras."


def can_come_later(initializer: Any, base: type[Any]) -> bool:
    """Say whether *initializer* gives the same value later, and leaves nothing behind.

    Keras's own do, with a number for a seed: they draw from a state of their own each time. One
    that is seeded by a generator moves it on; what a class of a user's does, nobody knows.

    Args:
        initializer: what Keras was given.
        base: Keras's base class of initializers.
    """
    return (
        isinstance(initializer, base)
        and type(initializer).__module__.startswith(_LIBRARY)
        and isinstance(getattr(initializer, "seed", 0), int)
    )
