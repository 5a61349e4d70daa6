"""Objects that materialize on first access, and nothing tells them apart afterwards."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fastload.runtime.core.materialize import (
    materialized_on_access,
    once_materialized,
    taking_state,
)


class Thing:
    """What an object becomes."""

    def __init__(self, value: int) -> None:
        self.value = value

    def doubled(self) -> int:
        return 2 * self.value


class Maker:
    """Makes a thing, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Thing:
        self.calls += 1
        return Thing(21)


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def thing(maker: Maker) -> Any:
    return materialized_on_access(Thing, taking_state(maker), {"label": "given"})


@pytest.mark.parametrize(
    "look",
    [
        lambda thing: thing.value,
        lambda thing: thing.doubled(),
        dir,
        vars,
        lambda thing: hasattr(thing, "missing"),
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
    ],
    ids=["attribute", "method", "dir", "vars", "missing", "copy", "deep copy", "pickle"],
)
def test_an_access_materializes_it(thing: Any, maker: Maker, look: Any) -> None:
    """Whichever kind of access it is."""
    look(thing)

    assert maker.calls == 1
    assert type(thing) is Thing
    assert vars(thing) == {"label": "given", "value": 21}


@pytest.mark.parametrize(
    "touch",
    [lambda thing: thing.label, lambda thing: isinstance(thing, Thing), type, id],
    ids=["given attribute", "isinstance", "type", "id"],
)
def test_what_it_was_given_is_no_access(thing: Any, maker: Maker, touch: Any) -> None:
    """References and given attributes do not materialize it."""
    touch(thing)

    assert maker.calls == 0


def test_what_somebody_set_stays(thing: Any) -> None:
    """Also where the thing itself has such an attribute."""
    thing.value = 5
    thing.mine = "mine"

    assert thing.doubled() == 10
    assert vars(thing)["mine"] == "mine"


def test_a_missing_attribute_is_reported_as_ever(thing: Any) -> None:
    """In the words of the final class."""
    with pytest.raises(AttributeError) as caught:
        _ = thing.missing
    with pytest.raises(AttributeError) as expected:
        _ = Thing(1).missing  # type: ignore[attr-defined]

    assert str(caught.value) == str(expected.value)


def test_a_failure_does_not_materialize_it() -> None:
    """The next access tries again."""
    results: list[Any] = [OSError("gone"), Thing(3)]

    def make() -> Thing:
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return result  # type: ignore[no-any-return]

    thing = materialized_on_access(Thing, taking_state(make), {"label": "given"})
    with pytest.raises(OSError, match="gone"):
        _ = thing.value

    assert thing.value == 3
    assert thing.label == "given"


def test_an_attribute_that_its_making_misses_is_not_one_that_it_lacks() -> None:
    thing = materialized_on_access(Thing, taking_state(lambda: Thing(21).missing), {})

    with pytest.raises(RuntimeError, match=r"'Thing' object cannot be made: .*missing"):
        getattr(thing, "value", None)


def test_an_access_from_within_its_making_ends() -> None:
    """It is not there yet, and says so."""

    def materialize(thing: Any) -> None:
        with pytest.raises(AttributeError, match="missing"):
            _ = thing.missing
        thing.value = 1

    assert materialized_on_access(Thing, materialize, {}).value == 1


def test_threads_wait_for_each_other() -> None:
    """All find the finished object, which is made once."""
    made = []

    def make() -> Thing:
        made.append(1)
        threading.Event().wait(0.05)
        return Thing(7)

    thing = materialized_on_access(Thing, taking_state(make), {})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: thing.doubled(), range(8)))

    assert found == [14] * 8
    assert made == [1]


def test_actions_wait_until_it_is_materialized(thing: Any, maker: Maker) -> None:
    """And are done at once afterwards."""
    done = []
    once_materialized(thing, lambda: done.append("first"))
    before = list(done)
    _ = thing.value
    once_materialized(thing, lambda: done.append("second"))

    assert before == []
    assert done == ["first", "second"]


def test_it_can_be_called_where_it_becomes_callable() -> None:
    """TensorFlow makes classes callable while it loads."""

    class Loaded:
        pass

    def materialize(loaded: Any) -> None:
        Loaded.__call__ = lambda self, x: x + 1  # type: ignore[attr-defined]

    loaded = materialized_on_access(Loaded, materialize, {}, becomes_callable=True)

    assert callable(loaded)
    assert loaded(1) == 2
    assert not callable(materialized_on_access(Thing, materialize, {}))


def test_a_copy_is_the_thing(thing: Any) -> None:
    """Of the final class, with the state."""
    copied = copy.deepcopy(thing)

    assert type(copied) is Thing
    assert vars(copied) == vars(thing)
