"""(Being built.)"""


def add() -> None:
    """Nothing yet."""


def remove() -> None:
    """Nothing yet."""
