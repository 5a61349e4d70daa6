"""Where fastload may leave TensorFlow to its first touch: on versions whose import it knows."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow")
IS_KNOWN = ".".join(tf.__version__.split(".")[:2]) in {"2.15", "2.21"}
needs_deferral = pytest.mark.skipif(not IS_KNOWN, reason="it is imported as ever")
