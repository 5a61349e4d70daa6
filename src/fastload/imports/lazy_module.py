"""A module that runs on its first access, with the lock and the errors of an import.

`StandInLoader` is in the place of the stock loader until a module is run.

Programs that may never import TensorFlow import this module, so it imports nothing that a bare
interpreter has not imported.
"""

import _frozen_importlib
import _imp
import sys
from _thread import get_ident

from fastload.imports.frames import as_importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

#: Attributes that the import system sets before it runs a module. Tools that iterate over
#: `sys.modules` (`inspect`, `coverage`, reloaders) read only these, and `import` reads the spec.
_SET_BEFORE = frozenset(
    ("__cached__", "__file__", "__loader__", "__name__", "__package__", "__spec__")
)
_get_import_lock: "Any" = getattr(_frozen_importlib, "_get_module_lock", None)
#: The locks of all modules that are being imported, as weak references by name.
_import_locks: "Any" = getattr(_frozen_importlib, "_module_locks", None)
_DeadlockError: "Any" = getattr(_frozen_importlib, "_DeadlockError", ())
_plain_get = ModuleType.__getattribute__

#: False if the import locks of this Python are not as expected; then nothing may be deferred.
SUPPORTED = _get_import_lock is not None and isinstance(_import_locks, dict)


class LazyModule(ModuleType):
    """A module that has not run yet. The first access runs it and makes it a plain module.

    These do not count as an access: what the import system sets beforehand, `__class__`, pickling,
    and `__warningregistry__`, which `assertWarns` reads from every module and which a module cannot
    have before it has run.
    """

    def __getattribute__(self, name: str) -> "Any":
        if name in _SET_BEFORE:
            return _plain_get(self, name)
        if name == "__class__":
            # `isinstance` reads it from any object: that must not run the module.
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
        # cloudpickle and dill recognize modules by their exact type, which is another one before
        # the module has run.
        return __import__, (_plain_get(self, "__name__"), None, None, ("__name__",))


class _Pending:
    """The state of a module that has not run, kept as the `loader_state` of its spec.

    Attributes:
        before: the module's namespace before it ran, to be restored after an error.
        stock_state: the original `loader_state`.
        runner: the thread that runs the module and holds the import lock.
    """

    __slots__ = ("before", "runner", "stock_state")

    def __init__(self, before: "dict[str, Any]", stock_state: object) -> None:
        self.before = before
        self.stock_state = stock_state
        self.runner: int | None = None


def defer(module: ModuleType, spec: "ModuleSpec") -> None:
    """Defer running *module* with `spec.loader` until the first access."""
    spec.loader_state = _Pending(dict(module.__dict__), spec.loader_state)
    module.__class__ = LazyModule


def defer_after(spec: "ModuleSpec", work: "Callable[[], None]") -> "ModuleType | None":
    """Create the module of *spec*, call *work*, and defer running it until the first access.

    During *work* the module seems to be running, and other threads wait for it as for an import. If
    *work* raises, the module runs at once.

    Returns:
        The module; None if another thread has imported it meanwhile.
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
    spec._initializing = True  # noqa: SLF001 - makes other threads wait
    try:
        work()
    except Exception:  # noqa: BLE001 - an ordinary import raises the error, if it fails as well
        pending.runner = None
        run(module)
    finally:
        pending.runner = None
        spec._initializing = False  # noqa: SLF001
    pending.before = dict(_plain_get(module, "__dict__"))


def run(module: ModuleType, *, unless: "Callable[[], bool] | None" = None) -> None:
    """Run *module* now, if it has not run yet; wait while another thread runs it.

    Args:
        module: any module.
        unless: called when no other thread runs the module; if it returns True, nothing is run.
    """
    if type(module) is LazyModule:
        _run(module, unless)


def is_running_here(module: "ModuleType | None") -> bool:
    """Return whether *module* is deferred and this thread is running it."""
    if type(module) is not LazyModule:
        return False
    pending = _plain_get(module, "__spec__").loader_state
    return isinstance(pending, _Pending) and pending.runner == get_ident()


def is_importing_here(name: str) -> bool:
    """Return whether this thread is importing the module called *name*."""
    reference = _import_locks.get(name)
    return reference is not None and _is_mine(reference())


def _is_mine(lock: "Any") -> bool:
    return getattr(lock, "owner", None) == get_ident()


def _run(module: LazyModule, unless: "Callable[[], bool] | None" = None) -> None:
    """Run *module*, unless this thread is running it already; wait while another thread runs it.

    The lock is the import lock of the module. With a lock of our own, two threads could wait for
    each other: one runs this module, which imports a second one, and the other imports the second
    one, which uses this module.
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
    """Release the locks of a search: the common one, and those of modules not yet created.

    The thread that runs a package imports its modules. It must not wait for a thread that has only
    begun to look for one of them, and that waits for the package.

    Returns:
        Functions that acquire the locks again, to be called in order.
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
    """Release the lock that is held while finders are called; return whether this thread had it."""
    try:
        _imp.release_lock()
    except RuntimeError:
        return False
    return True


def _depth(item: "tuple[str, object]") -> int:
    """The depth of a module: its lock is taken before the locks of the packages that it is in."""
    return item[0].count(".")


def _run_once(
    module: LazyModule, spec: "Any", pending: _Pending, unless: "Callable[[], bool] | None"
) -> None:
    lock = _get_import_lock(spec.name)
    try:
        lock.acquire()
    except _DeadlockError:
        return  # As in a circular import in two threads: use the module as far as it has run.
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
    """Restore *module* after an error, so that the next access tries again."""
    namespace = _plain_get(module, "__dict__")
    for name in namespace.keys() - pending.before.keys():
        del namespace[name]
    namespace.update(pending.before)
    pending.runner = None


class StandInLoader:
    """Looks like the stock loader, and puts it back in its place before the module is run."""

    def __init__(self, stock: "Any") -> None:
        self._stock = stock

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._stock, name)

    def __repr__(self) -> str:
        return repr(self._stock)

    def __eq__(self, other: object) -> bool:
        return bool(self._stock == _stock_of(other))

    def __hash__(self) -> int:
        return hash(self._stock)

    @property  # type: ignore[misc]
    def __class__(self) -> "type[Any]":
        """The class of the stock loader, for programs that call `isinstance`."""
        return type(self._stock)

    @property
    def __dict__(self) -> "dict[str, Any]":  # type: ignore[override]
        """The attributes of the stock loader: loaders of Python are equal where these are."""
        attributes: dict[str, Any] = self._stock.__dict__
        return attributes

    def __reduce_ex__(self, protocol: "Any") -> "Any":
        # A copy, or a pickled loader, is the stock loader's.
        return self._stock.__reduce_ex__(protocol)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Create what the stock loader creates."""
        created: ModuleType | None = self._stock.create_module(spec)
        return created

    @as_importlib
    def exec_module(self, module: "ModuleType") -> None:
        """Run *module* as the stock loader does."""
        self._give_place_back(module)
        self._stock.exec_module(module)

    def _give_place_back(self, module: "ModuleType") -> "ModuleSpec":
        spec = module.__spec__
        assert spec is not None  # noqa: S101 - for mypy: the import system has set it
        spec.loader = module.__loader__ = self._stock
        return spec


def _stock_of(loader: object) -> object:
    return loader._stock if isinstance(loader, StandInLoader) else loader  # noqa: SLF001
