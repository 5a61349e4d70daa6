"""A lighter `import tensorflow`: no garbage collection meanwhile, and some modules only when used.

`add` before TensorFlow is imported; the finder takes itself away when the import is done. Programs
that may never import TensorFlow import this module, so it imports nothing itself that a bare
interpreter has not imported already. See docs/decisions/0013-lighter-import.md for the list.
"""

import sys
from _thread import get_ident

from fastload.hooks import lazy_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

#: What only `tf.compat` imports and what something finds by a name, without importing it:
#: an operation, statistics of operations, messages, and symbols that `tf_export` lists. These are
#: loaded when `tf.compat` is deferred, so that nothing is missing where names are looked up.
_REGISTERED_BY_COMPAT = (
    "tensorflow.python.util.module_wrapper",
    "tensorflow.lite.experimental.microfrontend.python.ops.audio_microfrontend_op",
    "tensorflow.lite.profiling.proto.model_runtime_info_pb2",
    "tensorflow.lite.profiling.proto.profiling_info_pb2",
    "tensorflow.compiler.mlir.lite.converter_flags_pb2",
    "tensorflow.compiler.mlir.lite.metrics.converter_error_data_pb2",
    "tensorflow.compiler.mlir.lite.model_flags_pb2",
    "tensorflow.python.feature_column.feature_column_lib",
    "tensorflow.python.ops.losses.losses",
    "tensorflow.python.ops.metrics_impl",
    "tensorflow.python.ops.rnn",
    "tensorflow.python.ops.rnn_cell_impl",
    "tensorflow.python.platform.app",
    "tensorflow.python.platform.resource_loader",
    "tensorflow.python.profiler.model_analyzer",
    "tensorflow.python.profiler.option_builder",
    "tensorflow.python.profiler.profiler",
    "tensorflow.python.profiler.tfprof_logger",
    "tensorflow.python.proto_exports",
    "tensorflow.python.saved_model.main_op_impl",
    "tensorflow.python.saved_model.method_name_updater",
    "tensorflow.python.saved_model.simple_save",
    "tensorflow.python.tpu.bfloat16",
    "tensorflow.python.tpu.feature_column",
    "tensorflow.python.tpu.feature_column_v2",
    "tensorflow.python.tpu.tpu_optimizer",
    "tensorflow.python.training.quantize_training",
    "tensorflow.python.user_ops.user_ops",
)

#: For each TensorFlow version that was compared with its stock import: the modules that load when
#: they are first touched, each with the modules to load in its stead. No other version defers.
#: Keras 2.15 touches `tf.compat` of TensorFlow 2.15 at once, so that has an empty list.
DEFERRED: "dict[str, dict[str, tuple[str, ...]]]" = {
    "2.15": {},
    "2.21": {
        "matplotlib.patches": (),
        "matplotlib.pyplot": (),
        # Not `compat.v1` itself, which puts another object in its place in `sys.modules`.
        "tensorflow._api.v2.compat": _REGISTERED_BY_COMPAT,
        "tensorflow._api.v2.lite": (),
    },
}
_LEAST_OF_A_PROGRAM = 1000
_TENSORFLOW = "tensorflow"
_VERSIONS = "tensorflow.python.framework.versions"


def add() -> None:
    """Make the coming `import tensorflow` of this process lighter. Again: no effect."""
    imported = sys.modules.get(_TENSORFLOW)
    is_running = getattr(getattr(imported, "__spec__", None), "_initializing", False)
    if _finder not in sys.meta_path and (imported is None or is_running):
        sys.meta_path.insert(0, _finder)


def remove() -> None:
    """Take the finder away. What is deferred already still loads when it is touched."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _LightImport:
    """The finder: of `tensorflow`, and while that is imported, of the modules that can wait.

    Attributes:
        importing_thread: the thread that imports TensorFlow; what other threads import is theirs.
    """

    def __init__(self) -> None:
        self.importing_thread: int | None = None

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """Return the spec that the other finders have, with a loader of ours, or None."""
        if name == _TENSORFLOW:
            return self._wrapped(name, path, target, _QuietLoader)
        if self.importing_thread == get_ident() and name in _deferred_now():
            return self._wrapped(name, path, target, _DeferringLoader)
        return None

    def _wrapped(
        self,
        name: str,
        path: "Sequence[str] | None",
        target: "ModuleType | None",
        loader_class: "type[_Loader]",
    ) -> "ModuleSpec | None":
        spec = self._stock_spec(name, path, target)
        if spec is None or not hasattr(spec.loader, "exec_module"):
            return None
        spec.loader = loader_class(spec.loader, self)  # type: ignore[assignment]
        return spec

    def _stock_spec(self, *sought: "Any") -> "ModuleSpec | None":
        """Ask the finders after this one; those before it have been asked."""
        finders = sys.meta_path
        for finder in finders[finders.index(self) + 1 if self in finders else 0 :]:
            if not hasattr(finder, "find_spec"):
                return None  # A finder of the old kind: the import system knows how to ask it.
            spec = finder.find_spec(*sought)
            if spec is not None:
                return spec
        return None


class _Loader:
    """Stands in for a stock loader until a module is run, then gives it its place back."""

    def __init__(self, stock: "Any", finder: _LightImport) -> None:
        self._stock = stock
        self._finder = finder

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._stock, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Create what the stock loader creates."""
        created: ModuleType | None = self._stock.create_module(spec)
        return created

    def _give_place_back(self, module: "ModuleType") -> "ModuleSpec":
        spec = module.__spec__
        assert spec is not None  # noqa: S101 - the import system sets it, but the type says maybe
        spec.loader = module.__loader__ = self._stock
        return spec


class _QuietLoader(_Loader):
    """Runs TensorFlow's module with the garbage collector paused."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run *module*; if that worked, the finder has done its work."""
        self._give_place_back(module)
        is_paused = _pause_collector()
        self._finder.importing_thread = get_ident()
        try:
            self._stock.exec_module(module)
        finally:
            self._finder.importing_thread = None
            if is_paused:
                _resume_collector()
        remove()


class _DeferringLoader(_Loader):
    """Leaves a module to its first touch."""

    def exec_module(self, module: "ModuleType") -> None:
        """Defer *module*, and load what others look up by name."""
        spec = self._give_place_back(module)
        in_its_stead = _deferred_now()[spec.name]
        lazy_module.defer(module, spec)
        try:
            for name in in_its_stead:
                __import__(name)
        except Exception:  # noqa: BLE001 - TensorFlow is not as expected: what is stock will do
            vars(module)


def _deferred_now() -> "dict[str, tuple[str, ...]]":
    """The list for the TensorFlow that is being imported; empty until it has told its version."""
    versions = sys.modules.get(_VERSIONS)
    version = getattr(versions, "__version__", "") if lazy_module.SUPPORTED else ""
    return DEFERRED.get(".".join(str(version).split(".")[:2]), {})


def _pause_collector() -> bool:
    """Stop automatic collections; return whether there were any to stop."""
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    return was_enabled


def _resume_collector() -> None:
    """Start collections again, with what the import allocated where collections had brought it.

    That is the oldest generation. Without the move, the next collection would go through all of
    it, and twice more on its way there.
    """
    import gc

    # What a program has frozen must stay so. It cannot freeze less than all there is, some
    # thousands; the few hundred of Python 3.12 are its own.
    if gc.get_freeze_count() < _LEAST_OF_A_PROGRAM:
        gc.freeze()
        gc.unfreeze()
    gc.enable()


_finder = _LightImport()
