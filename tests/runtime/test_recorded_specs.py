"""Which recorded output specs are worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.runtime.core.keras import keras_of
from fastload.runtime.keras2 import output_specs
from fastload.runtime.keras2.output_specs import SpecCache
from fastload.runtime.keras2.recorded_specs import RecordedSpecs
from tests.small_models import package_of

pytest.importorskip("tensorflow")


@pytest.mark.parametrize(
    ("calls", "seconds", "is_kept"), [(8, 0.0, True), (7, 0.01, False), (2, 0.5, True)]
)
def test_many_calls_are_kept_and_slow_ones(
    calls: int, seconds: float, is_kept: bool, cache_root: Path
) -> None:
    """A recurrent layer takes as long as a hundred others."""
    package = package_of(2)
    pytest.importorskip(package)
    cache = CacheDir(root=cache_root)
    cache.ensure()
    entry = CacheEntry(cache=cache, name="0" * 32)
    spec_cache = SpecCache({})
    spec_cache.seconds = seconds
    for number in range(calls):
        spec_cache.learn(str(number), {})
    RecordedSpecs.of(entry, keras_of(package)).write(spec_cache)

    assert bool(list(cache_root.glob("*.calls-*.json"))) is is_kept


@pytest.mark.parametrize("name", ["m.h5", "m"])
def test_the_code_of_calls_that_differ_in_sizes_alone_is_noted_once(
    name: str, cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To note what a recurrent layer runs takes a quarter of what it runs, each time."""
    keras = pytest.importorskip(package_of(2))
    layers = keras.layers
    made = [layers.Bidirectional(layers.SimpleRNN(size, return_sequences=True)) for size in (3, 2)]
    keras.Sequential([keras.Input((5, 4)), *made, *map(layers.Dense, (3, 2))]).save(
        path := str(tmp_path / name)
    )
    noted = []
    stock = output_specs.recording

    def recorded() -> Any:
        noted.append(None)
        return stock()

    monkeypatch.setattr(output_specs, "recording", recorded)
    fastload.load_model(path, keras=package_of(2), strict=True)

    assert 0 < len(noted) <= 2  # of each class at most one; Keras 2.8 has no specs of wrappers
