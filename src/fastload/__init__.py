"""fastload: open TensorFlow and Keras models at the speed of mapping a file.

    import fastload

    model = fastload.load_model("path/to/model")

The first load of a model writes an HDF5 twin into a cache; every later load, in any process, maps
it. What comes back is the model that `tf.keras.models.load_model` returns; `load_saved_model` does
so for `tf.saved_model.load`, and `load_predictor` gives inference without a model. Importing it
imports nothing else: `FASTLOAD=1` imports it at the start of every Python process.
"""

from time import time_ns as _time_ns

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from fastload.api.blank import blank
    from fastload.api.explain import Explanation, explain
    from fastload.api.load_model import load_model
    from fastload.api.load_predictor import load_predictor
    from fastload.api.load_saved_model import load_saved_model
    from fastload.api.load_weights import load_weights
    from fastload.api.warm import warm
    from fastload.bench.profile import LoadProfile, profile_load
    from fastload.fleet.ref import Ref, ref
    from fastload.hooks.installation import disabled, enabled, install, is_installed, uninstall
    from fastload.lazy_weights.accounts import LayerResidency, Residency
    from fastload.lazy_weights.budget import set_memory_budget
    from fastload.lazy_weights.residency import residency
    from fastload.predictor.predictor import Predictor
    from fastload.registry import custom_objects, register
    from fastload.report import LoadReport, Outcome, last_load
    from fastload.runtime.keras3.saved_function_layer import (
        SavedFunctionLayer as SavedFunctionLayer,
    )
    from fastload.signature import TensorSpec

__all__ = [
    "Explanation",
    "LayerResidency",
    "LoadProfile",
    "LoadReport",
    "Outcome",
    "Predictor",
    "Ref",
    "Residency",
    "TensorSpec",
    "blank",
    "custom_objects",
    "disabled",
    "enabled",
    "explain",
    "install",
    "is_installed",
    "last_load",
    "load_model",
    "load_predictor",
    "load_saved_model",
    "load_weights",
    "profile_load",
    "ref",
    "register",
    "residency",
    "set_memory_budget",
    "uninstall",
    "warm",
]

__version__ = "0.1.0"

#: When this process began, as far as fastload knows: the time of its first import.
STARTED_NS = _time_ns()

_HOME = {
    "Explanation": "api.explain",
    "LayerResidency": "lazy_weights.accounts",
    "LoadProfile": "bench.profile",
    "LoadReport": "report",
    "Outcome": "report",
    "Predictor": "predictor.predictor",
    "Ref": "fleet.ref",
    "Residency": "lazy_weights.accounts",
    # Not in `__all__`: its module imports Keras 3.
    "SavedFunctionLayer": "runtime.keras3.saved_function_layer",
    "TensorSpec": "signature",
    "blank": "api.blank",
    "custom_objects": "registry",
    "disabled": "hooks.installation",
    "enabled": "hooks.installation",
    "explain": "api.explain",
    "install": "hooks.installation",
    "is_installed": "hooks.installation",
    "last_load": "report",
    "load_ipython_extension": "hooks.ipython",
    "load_model": "api.load_model",
    "load_predictor": "api.load_predictor",
    "load_saved_model": "api.load_saved_model",
    "load_weights": "api.load_weights",
    "profile_load": "bench.profile",
    "ref": "fleet.ref",
    "register": "registry",
    "residency": "lazy_weights.residency",
    "set_memory_budget": "lazy_weights.budget",
    "uninstall": "hooks.installation",
    "unload_ipython_extension": "hooks.ipython",
    "warm": "api.warm",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module the first time that it is asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from fastload.imports.collector import paused_collector

    # Where TensorFlow is imported, a collection in the midst of these takes longer than a load.
    with paused_collector(makes_old=True):
        value = getattr(import_module(f"fastload.{_HOME[name]}"), name)
    if hasattr(value, "__code__"):
        # TensorFlow's mark for what AutoGraph leaves alone, as it does with the stock loaders.
        value.autograph_info__ = {}
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, those not yet imported included."""
    return sorted({*globals(), *__all__})
