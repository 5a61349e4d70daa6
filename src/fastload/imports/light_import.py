"""A faster `import tensorflow`: without garbage collections, and with some modules deferred.

Call `add` before TensorFlow is imported. Programs that may never import TensorFlow import this
module, so it imports nothing that a bare interpreter has not imported. See
docs/decisions/0013-lighter-import.md for what is done, and why nothing else differs.

It must have no `from __future__`: `compile` inherits the future statements of the module that calls
it, and `typing`, for which `with_memo` calls it, has none.
"""

import sys
from _thread import get_ident

from fastload.imports import lazy_module
from fastload.imports.collector import paused_collector
from fastload.imports.frames import as_importlib
from fastload.imports.lazy_module import StandInLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

#: Modules that only `tf.compat` imports, but that register something which others look up by name:
#: an operation, statistics of operations, messages, and symbols that `tf_export` lists. They are
#: imported when `tf.compat` is deferred, so that nothing is missing in those registries.
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

#: For each TensorFlow version that was compared with its stock import: the modules to be deferred,
#: each with the modules to import in its place. No other version defers any.
#: Keras 2.15 uses `tf.compat` of TensorFlow 2.15 at once, so nothing is deferred there. What that
#: of the next ones registers was not looked up.
DEFERRED: "dict[str, dict[str, tuple[str, ...]]]" = {
    **{version: {} for version in ("2.15", "2.16", "2.17", "2.18", "2.19", "2.20")},
    "2.21": {
        "matplotlib.patches": (),
        "matplotlib.pyplot": (),
        # Not `compat.v1` itself, which puts another object in its place in `sys.modules`.
        "tensorflow._api.v2.compat": _REGISTERED_BY_COMPAT,
        "tensorflow._api.v2.lite": (),
    },
}
_TENSORFLOW = "tensorflow"
_VERSIONS = "tensorflow.python.framework.versions"


def add() -> None:
    """Make the next `import tensorflow` of this process faster. Again: no effect."""
    imported = sys.modules.get(_TENSORFLOW)
    is_running = getattr(getattr(imported, "__spec__", None), "_initializing", False)
    if imported is None or is_running:
        _finder.is_armed = True
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)


def remove() -> None:
    """Leave an import of TensorFlow that has not begun as it is in stock.

    Modules that are deferred already still run on first access. The finder stays on `sys.meta_path`
    and finds nothing: if it were removed, a thread that iterates over the list could skip one.
    """
    _finder.is_armed = False


class _LightImport:
    """A finder for `tensorflow` and, while that is imported, for the modules to be deferred.

    Attributes:
        is_armed: the next import of TensorFlow will be made faster.
        importing_thread: the thread that imports TensorFlow; imports of others are left alone.
    """

    def __init__(self) -> None:
        self.is_armed = False
        self.importing_thread: int | None = None

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """Return the spec of the other finders with a loader of ours, or None."""
        loader_class = self._loader_class(name)
        spec = None if loader_class is None else self._stock_spec(name, path, target)
        if loader_class is None or spec is None or not hasattr(spec.loader, "exec_module"):
            return None
        spec.loader = loader_class(spec.loader, self)  # type: ignore[assignment]
        return spec

    def _loader_class(self, name: str) -> "type[_Loader] | None":
        if name == _TENSORFLOW:
            return _QuietLoader if self.is_armed else None
        if self.importing_thread == get_ident() and name in _deferred_now():
            return _DeferringLoader
        return None

    def _stock_spec(self, *sought: "Any") -> "ModuleSpec | None":
        """Return the spec of the finders after this one; those before it were asked already."""
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 if self in finders else 0 :]:
            if not hasattr(finder, "find_spec"):
                return None  # A finder of the old kind, which the import system knows how to use.
            spec: ModuleSpec | None = finder.find_spec(*sought)
            if spec is not None:
                return spec
        return None


class _Loader(StandInLoader):
    """Stands in for a stock loader, for a finder."""

    def __init__(self, stock: "Any", finder: _LightImport) -> None:
        super().__init__(stock)
        self._finder = finder


class _QuietLoader(_Loader):
    """Runs the module `tensorflow` without garbage collections, and with a memo for `typing`."""

    @as_importlib
    def exec_module(self, module: "ModuleType") -> None:
        """Run *module*; if it raises nothing, the finder is no longer needed."""
        self._give_place_back(module)
        self._finder.importing_thread = get_ident()
        try:
            with paused_collector(makes_old=True):
                with_memo(self._stock.exec_module, module)
        finally:
            self._finder.importing_thread = None
        remove()


class _DeferringLoader(_Loader):
    """Defers a module until its first access."""

    def exec_module(self, module: "ModuleType") -> None:
        """Defer *module*, and import the modules that register something."""
        spec = self._give_place_back(module)
        in_its_stead = _deferred_now()[spec.name]
        lazy_module.defer(module, spec)
        try:
            for name in in_its_stead:
                __import__(name)
        except Exception:  # noqa: BLE001 - this TensorFlow differs: run the module, as in stock
            vars(module)


def _deferred_now() -> "dict[str, tuple[str, ...]]":
    """The row of `DEFERRED` for the TensorFlow that is being imported; empty before it is known."""
    return DEFERRED.get(_version(), {}) if lazy_module.SUPPORTED else {}


def _version() -> str:
    """The version of TensorFlow, such as `2.21`; empty before the import has come to it."""
    version = getattr(sys.modules.get(_VERSIONS), "__version__", "")
    return ".".join(str(version).split(".")[:2])


_finder = _LightImport()

_NAME = "compile"
#: What `typing.ForwardRef` passes to `compile` after the text.
_OF_A_REFERENCE = ("<string>", "eval")


@as_importlib
def with_memo(work: "Callable[..., object]", *arguments: "Any") -> None:
    """Call *work* with *arguments* while `typing` has a `compile` with a memo.

    Only if `typing` is known to allow that. The name is removed afterwards, unless something else
    has been bound to it meanwhile.
    """
    import typing

    names = vars(typing)
    if not _is_as_known(names):
        work(*arguments)
        return
    names[_NAME] = ours = _remembering()
    try:
        work(*arguments)
    finally:
        if names.get(_NAME) is ours:
            del names[_NAME]


def _is_as_known(names: "dict[str, Any]") -> bool:
    """Return whether `ForwardRef` compiles texts as in Python 3.13 and earlier."""
    init = getattr(vars(names["ForwardRef"]).get("__init__"), "__code__", None)
    return _NAME not in names and _NAME in getattr(init, "co_names", ())


def _remembering() -> "Callable[..., Any]":
    codes: dict[str, Any] = {}

    def remembering_compile(source: "Any", *how: "Any", **options: "Any") -> "Any":
        if how != _OF_A_REFERENCE or options or type(source) is not str:
            return compile(source, *how, **options)
        code = codes.get(source)
        if code is None:
            code = codes[source] = compile(source, *how)
        return code

    return remembering_compile
