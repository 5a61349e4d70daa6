"""Tests of the store need fsspec, which comes with the extra `remote`."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("fsspec") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.remote.faulty_store import faulty, nothing_is_known_of_stores, stall

    __all__ = ["faulty", "nothing_is_known_of_stores", "stall"]
