"""Where fastload may leave TensorFlow to its first touch: on versions whose import it knows."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow")
KNOWN = {f"2.{minor}" for minor in range(15, 22)}
IS_KNOWN = ".".join(tf.__version__.split(".")[:2]) in KNOWN
needs_deferral = pytest.mark.skipif(not IS_KNOWN, reason="it is imported as ever")
