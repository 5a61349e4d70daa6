"""Which Python code took part in making something, and whether it is the code of this process.

What was made by running Python code (a trace, recorded output specs) may be used in another process
if that would run the same code on the same values. `recording` notes the code that runs, a
`CodeRecord` where it was found and what it could read there, and `require_here` says whether all
that is the same here: in the places of functions the same code, with its defaults and closures, and
in the modules and classes around them the same constants, functions and classes.

`docs/decisions/0025-what-a-stored-trace-depends-on.md` has the reasoning.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import CodeType
from typing import Any, Final

from fastload.imports.collector import paused_collector
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.code_facts import Facts, holder_at

#: Raised when what a record notes changes: older ones are not found.
CODE_VERSION: Final = 5


class OtherCodeError(Exception):
    """Other code would run in this process, or it is not known which."""


@dataclass(slots=True, kw_only=True)
class Ran:
    """The code that ran in a block.

    Attributes:
        codes: known when the block has ended.
        is_known: whether it could be noted: a program that is being profiled leaves no room.
    """

    codes: frozenset[CodeType] = frozenset()
    is_known: bool = False


@contextmanager
def recording() -> Iterator[Ran]:
    """Note which code runs in the block, in this thread, but for what runs at collections."""
    # Imported here: what is kept is used without.
    from _lsprof import Profiler
    from inspect import CO_OPTIMIZED

    ran, profiler = Ran(), Profiler(subcalls=False, builtins=False)
    with paused_collector():
        with suppress(ValueError):  # Python 3.12 and later: another profiler is there
            if sys.getprofile() is None:
                profiler.enable()
                ran.is_known = True
        try:
            yield ran
        finally:
            if ran.is_known:  # otherwise it would end the program's own
                profiler.disable()
            ran.codes = frozenset(
                each.code
                for each in profiler.getstats()
                # Bodies of modules and classes, on an import, leave what counts in their places.
                if isinstance(each.code, CodeType) and each.code.co_flags & CO_OPTIMIZED
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A module or a class in which code that ran was found, or something that it reads.

    Attributes:
        module: the module.
        path: the qualified name of the class; empty for the module itself.
        names: what counts there.
        number: what stands for their values; see `code_facts`.
    """

    module: str
    path: str
    names: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRecord:
    """The code that took part in making something, and what it read.

    Attributes:
        names: by which it reads attributes.
        places: where it was found.
        state: what stands for the objects that it was given.
        known_as: its name, where it was read from a file.
    """

    names: frozenset[str]
    places: tuple[Place, ...]
    state: int
    known_as: str = ""

    @classmethod
    def of(
        cls, ran: Ran, objects: Iterable[Any] = (), books: frozenset[str] = frozenset()
    ) -> CodeRecord:
        """Return the record of what ran.

        Args:
            ran: what ran.
            objects: what it was given besides: instances, which count by class and attributes.
            books: names of attributes of theirs that do not count.

        Raises:
            OtherCodeError: some of it is not known, or found nowhere, so that nobody could compare
                it.
        """
        # Imported here: what is kept is used without.
        from fastload.runtime.core.code_places import Places

        if not ran.is_known:
            raise OtherCodeError("the program is profiled")
        objects = list(objects)
        found = Places(ran.codes, {type(each) for each in objects})
        try:
            collected = found.collect()
        except LookupError as error:
            raise OtherCodeError(str(error)) from error
        except Exception as error:  # modules may be anything; what is made does without a record
            raise OtherCodeError(f"it is not known: {type(error).__name__}: {error}") from error
        facts = Facts(found.names)
        places = tuple(
            Place(
                module=module,
                path=path,
                names=tuple(names),
                number=facts.of_holder(holder_at(module, path), names),
            )
            for module, path, names in collected
        )
        state = Facts(found.names - books).of_objects(objects)
        return cls(names=found.names, places=places, state=state)

    def require_here(
        self, objects: Iterable[Any] = (), books: frozenset[str] = frozenset()
    ) -> None:
        """Check that the same code would run in this process, and read the same.

        Args:
            objects: as in `of`.
            books: as in `of`.

        Raises:
            OtherCodeError: it would not.
        """
        if Facts(self.names - books).of_objects(objects) != self.state:
            raise OtherCodeError("what the code is given is not what it was")
        facts = Facts(self.names)
        for place in self.places:
            holder = holder_at(place.module, place.path)
            if holder is None:
                holder = _imported(place)
            if facts.of_holder(holder, place.names) != place.number:
                raise OtherCodeError(f"{place.module} {place.path} is not what it was")

    @property
    def name(self) -> str:
        """What no record of other code has: 16 hexadecimal digits."""
        return self.known_as or hashlib.sha256(self.to_json()).hexdigest()[:16]

    def told(self) -> dict[str, Any]:
        """Return it as a value that JSON can hold."""
        places = [[each.module, each.path, list(each.names), each.number] for each in self.places]
        return {"names": sorted(self.names), "places": places, "state": self.state}

    def to_json(self) -> bytes:
        """Return it as a JSON document."""
        return json.dumps(self.told(), separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, content: bytes) -> CodeRecord:
        """Return the record that *content* describes.

        Raises:
            ValueError, TypeError, KeyError: it describes none.
        """
        name = hashlib.sha256(content).hexdigest()[:16]
        return replace(cls.of_told(json.loads(content)), known_as=name)

    @classmethod
    def of_told(cls, told: Mapping[str, Any]) -> CodeRecord:
        """Return the record that `told` gave.

        Raises:
            ValueError, TypeError, KeyError: it gave none.
        """
        return cls(
            names=frozenset(told["names"]),
            places=tuple(
                Place(module=module, path=path, names=tuple(names), number=number)
                for module, path, names, number in told["places"]
            ),
            state=told["state"],
        )


def _imported(place: Place) -> Any:
    """Import the module of a place, as the code would do; return what is at the place.

    Raises:
        OtherCodeError: there is nothing.
    """
    try:
        importlib.import_module(place.module)
    except Exception as error:  # whatever it is, the code would meet it
        raise OtherCodeError(f"{place.module} cannot be imported") from error
    holder = holder_at(place.module, place.path)
    if holder is None:
        raise OtherCodeError(f"{place.module} has no {place.path}")
    return holder
