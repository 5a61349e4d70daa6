"""What differs between two descriptions of a model, and the assertion that nothing does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

#: More differences than that help nobody to read a failure.
_SHOWN: Final = 12
_VALUE_WIDTH: Final = 160
_ABSENT: Final = "<absent>"

#: What a test asserts in one go: aspects of a description that belong together.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "identity": ("load", "structure", "config", "weights"),
    "compile_state": ("compile state",),
    "behaviour": ("call", "behaviour", "saved again"),
    "surroundings": ("randomness", "names", "switches", "messages"),
}


def differences(stock: Any, ours: Any, place: str = "") -> Iterator[str]:
    """Yield each place where two descriptions differ, with both values.

    Example:
        >>> list(differences({"name": "a", "n": 1}, {"name": "b", "n": 1}))
        ["name: stock 'a', ours 'b'"]
    """
    if isinstance(stock, dict) and isinstance(ours, dict):
        for key in [*stock, *(key for key in ours if key not in stock)]:
            inner = f"{place}.{key}" if place else str(key)
            yield from differences(stock.get(key, _ABSENT), ours.get(key, _ABSENT), inner)
    elif isinstance(stock, list) and isinstance(ours, list) and len(stock) == len(ours):
        for index, (left, right) in enumerate(zip(stock, ours, strict=True)):
            yield from differences(left, right, f"{place}[{index}]")
    elif stock != ours:
        yield f"{place}: stock {_short(stock)}, ours {_short(ours)}"


def assert_same(
    stock: Mapping[str, Any], ours: Mapping[str, Any], aspects: Iterable[str], state: str
) -> None:
    """Assert that two descriptions agree in the *aspects* that both of them tell of.

    Args:
        stock: what the stock loader's model is like.
        ours: what fastload's is like.
        aspects: keys of the descriptions to look at.
        state: how the model was loaded, for the message.

    Raises:
        AssertionError: they differ; the message lists where.
    """
    # What only one side tells of is left to the aspect "load", or was left out to save time.
    told = [aspect for aspect in aspects if aspect in stock and aspect in ours]
    found = [line for a in told for line in differences(stock[a], ours[a], a)]
    more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    listed = "".join(f"\n  {line}" for line in found[:_SHOWN])
    assert not found, f"{state}: {len(found)} differences from stock:{listed}{more}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_WIDTH else f"{text[:_VALUE_WIDTH]}..."
