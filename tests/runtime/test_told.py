"""Whether code that is run once, and passed over later, tells the user something."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import pytest

from fastload.runtime.core.told import Told, hearing


def warn() -> None:
    warnings.warn("of this", stacklevel=1)


def warn_of_old() -> None:
    warnings.warn("of that", DeprecationWarning, stacklevel=2)


def log() -> None:
    logging.getLogger("some.library").warning("this")


def log_detail() -> None:
    logging.getLogger("some.library").info("that")


def is_heard(tell: Callable[[], None]) -> bool:
    told = Told()
    with hearing(told):
        tell()
    return told.heard > 0


@pytest.mark.parametrize(
    ("tell", "expected"), [(warn, True), (warn_of_old, False), (log, True), (log_detail, False)]
)
def test_what_this_process_filters_out_is_heard(
    tell: Callable[[], None], expected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "some.library")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert is_heard(tell) is expected
    assert not caplog.records


def test_a_warning_that_is_shown_is_heard_and_names_its_place() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for tell in (warn, warn_of_old):
            tell()
            assert is_heard(tell)

    lines = [(each.filename, each.category) for each in caught]
    assert lines == [(__file__, UserWarning)] * 2 + [(__file__, DeprecationWarning)] * 2
    assert caught[0].lineno == caught[1].lineno
