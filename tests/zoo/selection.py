"""Which models of the zoo are looked at: the smoke models always, a sample of the quick ones in CI.

`python tests/zoo/selection.py SEED` prints the sample that ZOO_SAMPLE=SEED adds to a run.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.catalogue import catalogue

#: One for each way in which a load can differ: graph ends, nesting, buffers, recurrence, optimizer
#: slots, precision, tables, classes that are passed, that are missing, or of one's own, operations
#: without a layer, code in the config, other dtypes, and files that nobody can read.
SMOKE: Final = frozenset(
    {
        "functional_several_ends",
        "nested_two_levels",
        "convolution_norm_dropout",
        "lstm_with_dropout",
        "trained_with_adam",
        "trained_in_mixed_precision",
        "text_classifier",
        "passed_layer",
        "unknown_layer",
        "subclassed_with_config",
        "operations_as_layers",
        "keras_operations",
        "lambda_refused",
        "quantized_to_int8",
        "hdf5_under_archive_name",
    }
)


def sample(seed: str) -> frozenset[str]:
    """Return a quarter of the quick models that are not smoke models, the same for one *seed*."""
    names = [name for name, model in catalogue().items() if "quick" in model.tags]
    others = sorted(set(names) - SMOKE, key=lambda name: _drawn(seed, name))
    return frozenset(others[: len(others) // 4])


def _drawn(seed: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


if __name__ == "__main__":
    print("the smoke models:", *sorted(SMOKE))
    print("and the sample:", *sorted(sample(sys.argv[1])))
