"""Compare weights of the zoo's models with stock's: `weights_worker.py GENERATION FOLDER NAME...`

Each model is saved as weights in each form that its Keras writes, and loaded into another model of
the same builder: by stock, and by fastload where the twin is missing, there, and read whole. One
JSON line for each form and state says what differs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.build import give_seeded_weights
from zoo.catalogue import Kit, ZooModel, catalogue, kit

import fastload

_OLD_NS = 1_500_000_000_000_000_000
#: How a twin is met, and what the report says of it.
_STATES = {"cold": ("mapped", "miss"), "warm": ("mapped", "hit"), "eager": ("eager", "hit")}
_MOST_CHARACTERS = 300


def main() -> None:
    """Compare each model that is named, and print a line for each form and state."""
    generation, folder, *names = sys.argv[1:]
    tools = kit(generation, Path(folder), Path(folder))
    for name in names:
        if not catalogue()[name].formats[generation]:
            continue
        place = Path(folder, name)
        place.mkdir()
        for told in _compared(replace(tools, folder=place), catalogue()[name], generation):
            sys.stdout.write(json.dumps({"name": name, **told}) + "\n")


def _compared(tools: Kit, entry: ZooModel, generation: str) -> Iterator[dict[str, Any]]:
    try:
        source, target = _built(tools, entry), _built(tools, entry)
    except Exception as error:  # a layer that needs TensorFlow
        yield {"form": "", "unsaved": f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]}
        return
    for number, (form, save) in enumerate(_forms(generation).items()):
        # Older Kerases write the same bytes under each name.
        os.environ["FASTLOAD_CACHE_DIR"] = str(tools.folder / f"cache-{number}")
        path = tools.folder / f"weights{form.partition(' ')[0]}"
        path.unlink(missing_ok=True)
        try:
            save(source, path)
        except Exception as error:  # stock cannot write such a model in this form
            yield {"form": form, "unsaved": f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]}
            continue
        for file in (path, *path.parent.glob("weights_*.h5")):
            os.utime(file, ns=(_OLD_NS, _OLD_NS))
        expected = _after(target, partial(target.load_weights, path))
        for state, (mode, outcome) in _STATES.items():
            load = partial(fastload.load_weights, target, path, weights=mode)
            found = _after(target, load)
            report = fastload.last_load()
            yield {
                "form": form,
                "state": state,
                "differs": _difference(expected, found),
                "as_expected": report.outcome.value == outcome,
                "outcome": report.outcome.value,
                "reason": report.reason,
                "raised": expected[1],
            }


def _built(tools: Kit, entry: ZooModel) -> Any:
    tools.keras.backend.clear_session()
    tools.keras.utils.set_random_seed(1)
    model = entry.build(tools)
    give_seeded_weights(model)
    return model


def _forms(generation: str) -> dict[str, Callable[[Any, Path], None]]:
    whole = {".keras": _whole, ".h5 of a model": _whole}
    trees = {".weights.h5": lambda model, path: model.save_weights(path)}
    if generation == "keras3":
        return {**trees, ".weights.json": _shards, ".h5 of weights": _layers, **whole}
    return {**trees, ".h5 of weights": trees[".weights.h5"], **whole}


def _whole(model: Any, path: Path) -> None:
    model.save(path)


def _shards(model: Any, path: Path) -> None:
    """Save in about three shards, of which none is shorter than the longest variable."""
    sizes = [np.asarray(each).nbytes for each in _variables(model)]
    model.save_weights(path, max_shard_size=max(*sizes, sum(sizes) / 3) / 2**30)


def _layers(model: Any, path: Path) -> None:
    import h5py

    legacy = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(path, "w") as file:
        legacy.save_weights_to_hdf5_group(file, model)


def _after(model: Any, load: Callable[[], Any]) -> tuple[list[Any], str, list[str]]:
    """Return the variables of a model after *load*, what that raised, and what it warned of."""
    for number, variable in enumerate(_variables(model)):
        if "float" in str(variable.dtype):
            shape = tuple(variable.shape)
            variable.assign(np.full(shape, 1 + number % 7, "float32").astype(_dtype(variable)))
    raised = ""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            assert load() is None
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
    return [np.asarray(each) for each in _variables(model)], raised, [str(w.message) for w in given]


def _dtype(variable: Any) -> Any:
    return np.asarray(variable).dtype


def _variables(model: Any) -> list[Any]:
    optimizer = getattr(model, "optimizer", None)
    slots = getattr(optimizer, "variables", [])
    found = [*model.weights, *(slots() if callable(slots) else slots)]
    return [each for each in found if hasattr(each, "assign")]


def _difference(expected: tuple[list[Any], str, list[str]], found: Any) -> str | None:
    for what, theirs, ours in zip(("error", "warnings"), expected[1:], found[1:], strict=True):
        if theirs != ours:
            return f"{what}: {ours} and not {theirs}"
    for index, (theirs, ours) in enumerate(zip(expected[0], found[0], strict=True)):
        if _facts(theirs) != _facts(ours):
            return f"variable {index}: {ours} and not {theirs}"
    return None


def _facts(values: Any) -> tuple[Any, ...]:
    return values.dtype, values.shape, values.tobytes()


if __name__ == "__main__":
    main()
