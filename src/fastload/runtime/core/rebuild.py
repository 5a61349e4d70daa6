"""One rebuild of a model: variables that wait for their weights, patches that make them wait.

While a rebuild runs in a context (thread or async task), Keras's own code creates the variables; a
patch of the one function through which Keras creates them returns blank ones instead of random
ones. Other threads that make layers at the same moment pass through the patch unchanged, and the
patch is removed when the last rebuild ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastload import unfinished
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core.blank_variables import fill, make_blank
from fastload.runtime.core.zero_copy import BlankSheet
from fastload.unfinished import Change

if TYPE_CHECKING:
    from fastload.runtime.core.put_off import PutOff


@dataclass(slots=True)
class Rebuild:
    """The state of one rebuild.

    Attributes:
        sheet: where blank variables lie.
        blanks: every variable of TensorFlow that started blank, unless they linger.
        zeros: what blank variables hold on backends other than TensorFlow.
        lent: tensors over the twin, by address, where each goes to one variable only.
        unfilled: on these backends, what gives a variable without weights its initial value.
        spec_cache: recorded output specs of layer calls; None where all calls are traced.
        argspecs: signatures of functions that Keras inspected.
        may_be_read: code of a program takes part. On TensorFlow blank variables notice reads;
            elsewhere there are none then.
        undo: what puts back the value of each variable that was assigned, in order; None where the
            variables are of a new model.
        put_off: assignments to variables that have a value; None with `undo`.
        wrapping: switches the wrapping of kernels; None until the first operation, see
            `bookkeeping`.
        lingers: code of a program builds a model, and weights may come much later: variables of
            TensorFlow stay blank when the block is left.
    """

    sheet: BlankSheet = field(default_factory=BlankSheet)
    blanks: list[Any] = field(default_factory=list)
    zeros: dict[Any, Any] = field(default_factory=dict)
    lent: dict[int, Any] = field(default_factory=dict)
    unfilled: list[Callable[[], None]] = field(default_factory=list)
    spec_cache: Any = None
    argspecs: dict[Any, Any] = field(default_factory=dict)
    may_be_read: bool = False
    undo: list[Callable[[], None]] | None = None
    put_off: PutOff | None = None
    wrapping: Callable[[bool], None] | None = None
    lingers: bool = False

    def make_blank(self, variable: Any, initial_value: Callable[[], Any]) -> None:
        """Make a new variable of TensorFlow blank until it is assigned or read."""
        make_blank(variable, initial_value, lingers=self.lingers)
        if not self.lingers:
            self.blanks.append(variable)

    def put_back(self) -> None:
        """Give every variable that was assigned the value that it had before."""
        if self.put_off is not None:
            self.put_off.drop()
        while self.undo:
            self.undo.pop()()

    def fill_forgotten(self) -> None:
        """Give every variable that got no weights the initial value that stock gives it."""
        for variable in self.blanks:
            fill(variable)
        for fill_one in self.unfilled:
            fill_one()


_current: ContextVar[Rebuild | None] = ContextVar("fastload_rebuild", default=None)


def current_rebuild() -> Rebuild | None:
    """Return the rebuild that runs in this context, or None."""
    return _current.get()


@dataclass(frozen=True, slots=True)
class Patch:
    """A function of Keras's or TensorFlow's that is replaced during a rebuild.

    Attributes:
        holder: the class or module that holds it.
        name: its attribute name.
        make: returns the replacement of the stock function that it is given.
    """

    holder: Any
    name: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]


def available(*short_cuts: Callable[[], Sequence[Patch]]) -> list[Patch]:
    """Return the patches of those *short_cuts* whose private names this version has."""
    found: list[Patch] = []
    for short_cut in short_cuts:
        with suppress(UnsupportedRuntimeError):
            found += short_cut()
    return found


_lock = unfinished.lock()
#: By holder and name: the rebuilds that run with a patch, what it replaced, and by what.
_users: dict[tuple[int, str], set[int]] = {}
_replaced: dict[tuple[int, str], tuple[Any, Any]] = {}


@contextmanager
def rebuilding(rebuild: Rebuild, patches: Sequence[Patch]) -> Iterator[None]:
    """Run the block as *rebuild*, with *patches* in place; fill what is still blank at the end."""
    take_out = partial(_take_out, rebuild, patches)
    with Change(take_out), Change(partial(_current.set, _current.get())):
        for patch in patches:
            _put_in_place(rebuild, patch)
        _current.set(rebuild)
        yield
        rebuild.fill_forgotten()


@contextmanager
def patched(patches: Sequence[Patch]) -> Iterator[None]:
    """Run the block with *patches* in place, which know by themselves when to act."""
    user = object()
    with Change(partial(_take_out, user, patches)):
        for patch in patches:
            _put_in_place(user, patch)
        yield


def _put_in_place(user: object, patch: Patch) -> None:
    key = (id(patch.holder), patch.name)
    with _lock:
        _users.setdefault(key, set()).add(id(user))
        if key not in _replaced:
            stock = vars(patch.holder)[patch.name]
            made = patch.make(stock)
            _replaced[key] = stock, made
            setattr(patch.holder, patch.name, made)


def _take_out(user: object, patches: Sequence[Patch]) -> None:
    """Put back what no other rebuild needs replaced, whatever was replaced so far."""
    with _lock:
        for patch in patches:
            key = (id(patch.holder), patch.name)
            users = _users.get(key, set())
            users.discard(id(user))
            if not users and key in _replaced:
                stock, made = _replaced[key]
                if vars(patch.holder).get(patch.name) is made:  # a program may have patched too
                    setattr(patch.holder, patch.name, stock)
                del _replaced[key]


#: What Keras's initializers hold besides numbers.
_STATE: Final = frozenset({"_random_generator", "_used"})
_AXES: Final = frozenset({"input_axes", "output_axes"})
#: Checked when the initializer is made.
_WORDS: Final = frozenset({"mode", "distribution"})
_LARGEST_SEED: Final = 2**31
#: Those that need a matrix.
_OF_MATRICES: Final = ("Identity", "Orthogonal", "STFT")


def can_come_later(initializer: Any, base: type[Any], shape: Sequence[int], dtype: str) -> bool:
    """Say whether *initializer* returns the same value when called later, without side effects.

    Keras's own do if their seed is a number: they draw from a state of their own each time. One
    that is seeded by a generator advances it, and a custom class may do anything.

    Args:
        initializer: the initializer of a variable.
        base: Keras's base class of initializers.
        shape: the variable's shape.
        dtype: the name of the variable's dtype.
    """
    is_seeded = isinstance(getattr(initializer, "seed", 0), int)
    return is_seeded and is_own(initializer, base) and is_sound(initializer, shape, dtype)


def is_sound(initializer: Any, shape: Sequence[int], dtype: str) -> bool:
    """Say whether one of Keras's initializers makes a value for sure: one that fails, fails now.

    A configuration may have given it anything.
    """
    values = vars(initializer)
    if "seed" in values and "float" not in dtype:
        return False
    if type(initializer).__name__.startswith(_OF_MATRICES) and not _is_matrix(shape):
        return False
    return all(_is_sound(name, value) for name, value in values.items())


def _is_matrix(shape: Sequence[int]) -> bool:
    return len(shape) == 2 and all(shape)  # noqa: PLR2004


def _is_sound(name: str, value: Any) -> bool:
    if name in _STATE or name in _WORDS or (name in _AXES and value is None):
        return True
    if name.endswith("seed"):
        return value is None or (type(value) is int and 0 <= value < _LARGEST_SEED)
    return type(value) in (int, float, bool) and abs(value) < _LARGEST_SEED


def is_own(initializer: Any, base: type[Any]) -> bool:
    """Say whether *initializer* is of a class of Keras's, which nobody has changed."""
    kind: Any = type(initializer)
    is_known = isinstance(initializer, base) and is_within(kind.__module__, base)
    return is_known and is_code_of(kind.__call__, base)


def is_code_of(function: Any, base: type[Any]) -> bool:
    """Say whether *function* was written in the package of *base*; a wrapper was not."""
    return is_within(getattr(function, "__globals__", {}).get("__name__", ""), base)


def is_within(module: str, base: type[Any]) -> bool:
    """Say whether *module* is in the package of *base*."""
    return module.partition(".")[0] == base.__module__.partition(".")[0]
