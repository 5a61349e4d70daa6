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
#: Keras 3.0 and 3.1 open no files that are open, and ignore `custom_objects=` of HDF5 files; those
#: and 3.2 fail at copies and some slices, and open no archive of a `Bidirectional` layer.
IS_FIRST_KERAS_3 = is_before("3.2") and not is_before("3.0")
IS_EARLY_KERAS_3 = is_before("3.3") and not is_before("3.0")
NEEDS_MATURE_KERAS_3 = pytest.mark.skipif(IS_EARLY_KERAS_3, reason="this Keras 3 fails at it")


def skip_in_first_keras_3(generation: int) -> None:
    """Skip the test of a Keras of *generation* where it is one of the first of Keras 3."""
    if generation == 3 and IS_FIRST_KERAS_3:
        pytest.skip("this Keras 3 fails at it")


#: For tests of the `.keras` format of Keras 2; 2.12 has it, and writes a SavedModel unless asked.
NEEDS_ARCHIVES = pytest.mark.skipif(is_before("2.13"), reason="this Keras writes no archives")
