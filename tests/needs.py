"""Marks of tests that need more than the oldest versions have."""

from __future__ import annotations

import pytest

from tests.installed import is_before

#: For tests whose weights are lent: fastload says why not with an older numpy.
NEEDS_LENDING = pytest.mark.skipif(
    is_before("1.24", "numpy"), reason="no weights are lent with a numpy before 1.24"
)
#: Up to Keras 3.6, its archives of a layer that is called again later do not open.
LOSES_LATER_CALLS = is_before("3.7")
#: For tests of the `.keras` format of Keras 2; 2.12 has it, and writes a SavedModel unless asked.
NEEDS_ARCHIVES = pytest.mark.skipif(is_before("2.13"), reason="this Keras writes no archives")
