"""A module that runs its code when it is first touched, with the lock and the errors of an import.

Programs that may never import TensorFlow import this module, so it imports nothing itself that a
bare interpreter has not imported already.
"""

import _frozen_importlib
import _imp
import sys
from _thread import get_ident

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
#: Of all modules that are being imported, as weak references by name.
_import_locks: "Any" = getattr(_frozen_importlib, "_module_locks", None)
_DeadlockError: "Any" = getattr(_frozen_importlib, "_DeadlockError", ())
_plain_get = ModuleType.__getattribute__

#: False where Python has no import locks as known here; then nothing may be deferred.
SUPPORTED = _get_import_lock is not None and isinstance(_import_locks, dict)


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
        runner: the thread that is running the module, and holds the import lock.
    """

    __slots__ = ("before", "runner", "stock_state")

    def __init__(self, before: "dict[str, Any]", stock_state: object) -> None:
        self.before = before
        self.stock_state = stock_state
        self.runner: int | None = None


def defer(module: ModuleType, spec: "ModuleSpec") -> None:
    """Leave running *module*, as `spec.loader` does it, to the first touch."""
    spec.loader_state = _Pending(dict(module.__dict__), spec.loader_state)
    module.__class__ = LazyModule


def defer_after(spec: "ModuleSpec", work: "Callable[[], None]") -> "ModuleType | None":
    """Make the module of *spec*, do *work*, and leave running the module to its first touch.

    To *work* the module seems to be running, and other threads wait as they do for an import of it.
    If *work* raises, the module runs at once.

    Returns:
        The module; None if another thread has imported it by now.
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
    pending.runner = get_ident()
    spec._initializing = True  # noqa: SLF001 - other threads wait where it is set
    try:
        work()
    except Exception:  # noqa: BLE001 - not as expected: an ordinary import says what is wrong
        pending.runner = None
        run(module)
    finally:
        pending.runner = None
        spec._initializing = False  # noqa: SLF001
    pending.before = dict(_plain_get(module, "__dict__"))


def run(module: ModuleType, *, unless: "Callable[[], bool] | None" = None) -> None:
    """Run *module* now, if it has not run yet; wait while another thread is at it.

    Args:
        module: any module.
        unless: asked when no other thread is at it: not to run it after all.
    """
    if type(module) is LazyModule:
        _run(module, unless)


def is_running_here(module: "ModuleType | None") -> bool:
    """Say whether *module* is deferred and this thread is running it."""
    if type(module) is not LazyModule:
        return False
    pending = _plain_get(module, "__spec__").loader_state
    return isinstance(pending, _Pending) and pending.runner == get_ident()


def is_importing_here(name: str) -> bool:
    """Say whether this thread is importing the module called *name*."""
    reference = _import_locks.get(name)
    return reference is not None and _is_mine(reference())


def _is_mine(lock: "Any") -> bool:
    return getattr(lock, "owner", None) == get_ident()


def _run(module: LazyModule, unless: "Callable[[], bool] | None" = None) -> None:
    """Run *module*, unless this thread is at it already; wait while another thread runs it.

    The lock is the one that an import of the module takes. With a lock of our own, two threads
    could wait for each other: one that runs this module and imports a second one, and one that
    imports the second one, which touches this module.
    """
    spec = _plain_get(module, "__spec__")
    pending = spec.loader_state
    if not isinstance(pending, _Pending) or pending.runner == get_ident():
        return
    let_go = _let_go()
    try:
        _run_once(module, spec, pending, unless)
    finally:
        for acquire in let_go:
            acquire()


def _let_go() -> "list[Callable[[], object]]":
    """Release the locks of a search: the common one, and those of modules not yet made.

    The thread that runs a package imports its modules. It must not wait for a thread which has
    only begun to look for one of them, and which waits for the package.

    Returns:
        What takes them again, one after the other.
    """
    common: list[Callable[[], object]] = []
    while _release_common():
        common.append(_imp.acquire_lock)
    taken = []
    for name, reference in sorted(_import_locks.copy().items(), key=_depth, reverse=True):
        lock = reference()
        while name not in sys.modules and _is_mine(lock):
            lock.release()
            taken.append(lock.acquire)
    return taken + common


def _release_common() -> bool:
    """Release the lock under which Pythons ask the finders; say whether this thread had it."""
    try:
        _imp.release_lock()
    except RuntimeError:
        return False
    return True


def _depth(item: "tuple[str, object]") -> int:
    """A module is looked for before the packages that it is in: the order of its locks."""
    return item[0].count(".")


def _run_once(
    module: LazyModule, spec: "Any", pending: _Pending, unless: "Callable[[], bool] | None"
) -> None:
    lock = _get_import_lock(spec.name)
    try:
        lock.acquire()
    except _DeadlockError:
        return  # As in a circular import over two threads: the module is seen as far as it ran.
    try:
        if spec.loader_state is pending and not (unless and unless()):
            _run_locked(module, spec, pending)
    finally:
        lock.release()


def _run_locked(module: LazyModule, spec: "Any", pending: _Pending) -> None:
    pending.runner = get_ident()
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
    pending.runner = None
