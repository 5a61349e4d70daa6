"""A module that runs its code when it is first touched, with the lock and the errors of an import.

Programs that may never import TensorFlow import this module, so it imports nothing itself that a
bare interpreter has not imported already.
"""

import _frozen_importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

#: What the import system sets before it runs a module. Tools that walk `sys.modules` (`inspect`,
#: `coverage`, reloaders) ask for these only, and `import` itself asks each time for the spec.
_SET_BEFORE = frozenset(
    ("__cached__", "__file__", "__loader__", "__name__", "__package__", "__spec__")
)
_get_import_lock: "Any" = getattr(_frozen_importlib, "_get_module_lock", None)
_DeadlockError: "Any" = getattr(_frozen_importlib, "_DeadlockError", ())
_plain_get = ModuleType.__getattribute__

#: False where Python has no import locks as known here; then nothing may be deferred.
SUPPORTED = _get_import_lock is not None


class LazyModule(ModuleType):
    """A module that has not run yet. The first touch runs it and makes it a plain module.

    Not touches: what the import system sets beforehand, `__class__`, pickling, and
    `__warningregistry__`, which `assertWarns` looks for in every module and which only a module
    that ran can have.
    """

    def __getattribute__(self, name: str) -> "Any":
        if name in _SET_BEFORE:
            return _plain_get(self, name)
        if name == "__class__":
            # `isinstance` asks for it, of any object: that must not run the module.
            return ModuleType
        if name in ("__reduce_ex__", "__warningregistry__"):
            return _plain_get(self, name)
        _run(self)
        return _plain_get(self, name) if type(self) is LazyModule else getattr(self, name)

    def __setattr__(self, name: str, value: "Any") -> None:
        _run(self)
        ModuleType.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        _run(self)
        ModuleType.__delattr__(self, name)

    def __reduce_ex__(self, protocol: "Any") -> "Any":
        # cloudpickle and dill find out by the exact type that something is a module, and this one
        # has not got that type yet when they look.
        return __import__, (_plain_get(self, "__name__"), None, None, ("__name__",))


class _Pending:
    """The state of a module that has not run, kept as the `loader_state` of its spec.

    Attributes:
        before: the module's namespace before it ran, to start again from after an error.
        stock_state: what `loader_state` was.
        running: whether a thread, which holds the import lock, is running the module.
    """

    __slots__ = ("before", "running", "stock_state")

    def __init__(self, before: "dict[str, Any]", stock_state: object) -> None:
        self.before = before
        self.stock_state = stock_state
        self.running = False


def defer(module: ModuleType, spec: "ModuleSpec") -> None:
    """Leave running *module*, as `spec.loader` does it, to the first touch."""
    spec.loader_state = _Pending(dict(module.__dict__), spec.loader_state)
    module.__class__ = LazyModule


def defer_after(spec: "ModuleSpec", work: "Callable[[], None]") -> "ModuleType | None":
    """Make the module of *spec*, do *work*, and leave running the module to its first touch.

    To *work* the module seems to be running, and other threads wait as they do for an import of it.

    Returns:
        The module; None if another thread has imported it by now. If *work* raises, there is none.
    """
    from importlib.util import module_from_spec

    lock = _get_import_lock(spec.name)
    lock.acquire()
    try:
        if spec.name in sys.modules:
            return None
        module = sys.modules[spec.name] = module_from_spec(spec)
        try:
            _do_before(module, spec, work)
        except BaseException:
            del sys.modules[spec.name]
            raise
        return module
    finally:
        lock.release()


def _do_before(module: ModuleType, spec: "Any", work: "Callable[[], None]") -> None:
    defer(module, spec)
    pending = spec.loader_state
    pending.running = spec._initializing = True  # noqa: SLF001 - other threads wait where it is set
    try:
        work()
    finally:
        pending.running = spec._initializing = False  # noqa: SLF001
    pending.before = dict(_plain_get(module, "__dict__"))


def run(module: ModuleType) -> None:
    """Run *module* now, if it has not run yet."""
    if type(module) is LazyModule:
        _run(module)


def _run(module: LazyModule) -> None:
    """Run *module*, unless this thread is at it already; wait while another thread runs it.

    The lock is the one that an import of the module takes. With a lock of our own, two threads
    could wait for each other: one that runs this module and imports a second one, and one that
    imports the second one, which touches this module.
    """
    spec = _plain_get(module, "__spec__")
    pending = spec.loader_state
    if not isinstance(pending, _Pending):
        return
    lock = _get_import_lock(spec.name)
    try:
        lock.acquire()
    except _DeadlockError:
        return  # As in a circular import over two threads: the module is seen as far as it ran.
    try:
        if spec.loader_state is pending and not pending.running:
            _run_locked(module, spec, pending)
    finally:
        lock.release()


def _run_locked(module: LazyModule, spec: "Any", pending: _Pending) -> None:
    pending.running = True
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _start_again(module, pending)
        raise
    spec.loader_state = pending.stock_state
    # A module may have given itself another class.
    if type(module) is LazyModule:
        ModuleType.__setattr__(module, "__class__", ModuleType)


def _start_again(module: LazyModule, pending: _Pending) -> None:
    """Make *module* untouched again after an error, so that the next touch tries again."""
    namespace = _plain_get(module, "__dict__")
    for name in namespace.keys() - pending.before.keys():
        del namespace[name]
    namespace.update(pending.before)
    pending.running = False
