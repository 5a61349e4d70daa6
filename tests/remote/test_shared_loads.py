"""What one machine put into the store serves the next; whatever a store does, models load."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload import progress
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.errors import (
    ModelNotHereError,
    StoreAwayError,
    StoreObjectError,
    TwinCorruptError,
)
from fastload.fleet import ref as fleet_ref
from fastload.loading.request import current_settings
from fastload.remote import faults, fetching
from fastload.remote.publishing import publish_entry
from fastload.remote.store import open_store
from fastload.report import LoadReport, Outcome
from fastload.twin.index import read_index
from tests.conftest import RunPython, SavedOnce
from tests.remote.faulty_store import TIMEOUT_S, URL, Faulty, Stall, works
from tests.small_models import (
    INPUTS,
    KERAS2_ARCHIVE,
    KERAS3_ARCHIVE,
    SavedModel,
    assert_same_model,
    copy_model,
    package_of,
)

tf = pytest.importorskip("tensorflow")


@pytest.fixture(autouse=True)
def _nothing_is_shared() -> None:
    fleet_ref._shared.clear()


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go to a machine with an empty cache."""
    count = iter(range(9))

    def go() -> Path:
        cache = tmp_path / f"machine {next(count)}"
        monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(cache))
        return cache

    return go


def warm(model: SavedModel) -> LoadReport:
    return fastload.warm(model.path, keras=model.form.package, publish=True)


def publish(model: SavedModel) -> CacheEntry:
    """Put the twin of a model into the store, in less time than warming it takes."""
    loaded(model)
    return publish_twin()


def publish_twin() -> CacheEntry:
    """Put the twin that was loaded into the store."""
    twin, settings = report().twin, current_settings()
    assert twin is not None
    assert settings.remote is not None
    entry = CacheEntry(cache=CacheDir(root=twin.parent), name=twin.stem)
    publish_entry(open_store(settings.remote), entry)
    return entry


def report() -> LoadReport:
    found = fastload.last_load()
    assert found is not None
    return found


def loaded(model: SavedModel) -> Any:
    return fastload.load_model(model.path, keras=model.form.package)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    of_the_store = [each for each in caplog.records if "[FL10" in each.getMessage()]
    return [each.getMessage() for each in of_the_store if each.levelno == logging.WARNING]


def test_what_one_machine_warmed_serves_another(
    model: SavedModel, faulty: type[Faulty], another_machine: Callable[[], Path]
) -> None:
    """With all that is beside the twin; and it is asked for once."""
    warm(model)
    there = {path.rpartition("/")[2].rsplit(".", 1)[0] for path in faulty.objects()}
    cache = another_machine()
    assert "fetches it from the store" in str(fastload.explain(model.path).reason)
    found = loaded(model)

    assert_same_model(model.load_stock(), found)
    assert (report().outcome, report().store, report().layer) == (Outcome.HIT, URL, None)
    assert f"hit from the store {URL} in" in str(report())
    assert {
        path.name.split(".", 1)[1] for path in cache.glob("*.*") if path.suffix != ".TAG"
    } >= there
    asked = len(faulty.asked)
    loaded(model)
    assert (report().outcome, report().store, len(faulty.asked)) == (Outcome.HIT, None, asked)


def test_the_store_is_written_by_loads_if_they_may(
    model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the first load alone, once, and with the functions that a later one made."""
    loaded(model)
    assert faulty.objects() == {}
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")
    another_machine()
    loaded(model)
    first = faulty.objects()
    assert report().outcome is Outcome.MISS
    assert len([path for path in first if "/h5." in path]) == 1
    another_machine()
    fastload.load_predictor(model.path, keras=model.form.package).predict(INPUTS)
    assert report().store == URL
    second = faulty.objects()

    assert {path: second[path] for path in first} == first
    assert any(".flat." in path for path in second.keys() - first.keys())


def test_a_reference_opens_without_the_model(
    model: SavedModel, faulty: type[Faulty], another_machine: Callable[[], Path]
) -> None:
    publish(model)
    ref = fastload.ref(model.path, keras=model.form.package)
    expected = model.load_stock()
    shutil.rmtree(model.path) if model.path.is_dir() else model.path.unlink()
    another_machine()

    assert_same_model(expected, ref.load_model())
    assert report().store == URL


@pytest.mark.parametrize("compiled", [True, False])
def test_a_migrated_model_comes_without_its_file(
    compiled: bool,
    saved_once: SavedOnce,
    tmp_path: Path,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
) -> None:
    """Keras 3 refuses the file, which is found out from the store alone."""
    keras = package_of(3)
    path = copy_model(saved_once(KERAS2_ARCHIVE), tmp_path / "m.keras")
    ref = fastload.ref(path, keras=keras)
    expected = fastload.load_model(path, keras=keras, compile=compiled)
    publish_twin()
    path.unlink()
    cache = another_machine()

    assert_same_model(expected, ref.load_model(compile=compiled))
    assert report().outcome is Outcome.HIT
    assert len(list(cache.glob("*.h5"))) == 1


def test_another_process_takes_it_from_a_folder(
    saved_model: SavedModel,
    cache_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_python: RunPython,
) -> None:
    """A real store, a process of its own, and no model: what a node of a fleet has."""
    monkeypatch.setenv("FASTLOAD_REMOTE", (tmp_path / "shared").as_uri())
    warm(saved_model)
    ref = fastload.ref(saved_model.path)
    expected = ref.load_predictor().predict(INPUTS)
    shutil.rmtree(saved_model.path)
    program = (
        "import sys, json, numpy, fastload\n"
        "ref = fastload.Ref.from_json(sys.argv[1])\n"
        "found = ref.load_predictor().predict(numpy.load(sys.argv[2]))\n"
        "numpy.save(sys.argv[3], found)\n"
        "print(json.dumps([fastload.last_load().outcome.value, fastload.last_load().store]))\n"
    )
    np.save(tmp_path / "x.npy", INPUTS)
    told = run_python(
        program,
        *(ref.to_json(), tmp_path / "x.npy", tmp_path / "y.npy"),
        FASTLOAD_CACHE_DIR=str(tmp_path / "other cache"),
    )

    assert json.loads(told) == ["hit", (tmp_path / "shared").as_uri()]
    assert np.load(tmp_path / "y.npy").tobytes() == np.asarray(expected).tobytes()
    names = [path.name for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".partial")]


@pytest.mark.slow
def test_a_predictor_of_the_store_needs_no_keras(
    saved_once: SavedOnce,
    cache_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_python: RunPython,
) -> None:
    """The function that is kept beside the twin comes with it, in time."""
    path = saved_once(KERAS3_ARCHIVE)
    program = (
        "import sys, json, fastload\n"
        "found = fastload.load_predictor(sys.argv[1])\n"
        "told = fastload.last_load()\n"
        "print(json.dumps([told.outcome.value, told.store, 'keras' in sys.modules]))\n"
    )
    store = (tmp_path / "shared").as_uri()
    run_python(
        "import sys, fastload; fastload.warm(sys.argv[1], publish=True)",
        path,
        FASTLOAD_REMOTE=store,
    )
    for folder, expected in (("one", ["hit", store, False]), ("one", ["hit", None, False])):
        told = run_python(
            program, path, FASTLOAD_REMOTE=store, FASTLOAD_CACHE_DIR=str(tmp_path / folder)
        )
        assert json.loads(told) == expected
    (tmp_path / "empty").mkdir()
    told = run_python(
        program,
        path,
        FASTLOAD_REMOTE=(tmp_path / "empty").as_uri(),
        FASTLOAD_CACHE_DIR=str(tmp_path / "two"),
    )
    assert json.loads(told) == ["miss", None, True]


# --- faults -------------------------------------------------------------------------------------


def away(*_: object) -> Any:
    raise ConnectionError("no route")


def forbidden(*_: object) -> Any:
    raise PermissionError("403")


def strange(*_: object) -> Any:
    raise RuntimeError


def on_parts(change: Callable[[bytes], Any]) -> Any:
    """Have what comes of an object's bytes changed."""

    def fault(name: str, does: Callable[[], Any], path: str) -> Any:
        return change(does()) if name == "cat_file" else does()

    return fault


def flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def wiped(_: bytes) -> Any:
    raise FileNotFoundError("wiped")


def listing(change: Callable[[list[dict[str, Any]]], Any]) -> Any:
    def fault(name: str, does: Callable[[], Any], path: str) -> Any:
        return change(does()) if name == "ls" else does()

    return fault


def shorter(found: list[dict[str, Any]]) -> Any:
    return [{**each, "size": each["size"] // 2} for each in found]


def longer(found: list[dict[str, Any]]) -> Any:
    return [{**each, "size": each["size"] + 5000} for each in found]


def many(found: list[dict[str, Any]]) -> Any:
    return found * 2000


FAULTS = {
    "away": (away, "FL106"),
    "forbidden": (forbidden, "FL106"),
    "strange": (strange, "FL106"),
    "truncates": (on_parts(lambda content: content[:-1]), "FL106"),
    "sends too much": (on_parts(lambda content: content + b"x"), "FL106"),
    "corrupts": (on_parts(flipped), "FL107"),
    "wiped": (on_parts(wiped), "FL106"),
    "half objects": (listing(shorter), "FL107"),
    "long objects": (listing(longer), "FL106"),
    "lists too much": (listing(many), "FL106"),
    "lists nonsense": (listing(lambda _: [{"name": 7}]), "FL106"),
    "lists None": (listing(lambda _: None), "FL106"),
    "answers in text": (on_parts(lambda content: "x" * len(content)), "FL106"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_is_done_without(
    fault: str,
    saved_model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The model is converted here, nothing of the store is left, and it is told once."""
    model = saved_model
    publish(model)
    cache = another_machine()
    faulty.fault, code = staticmethod(FAULTS[fault][0]), FAULTS[fault][1]
    before = faulty.objects()
    found = loaded(model)

    assert_same_model(model.load_stock(), found)
    assert (report().outcome, report().store) == (Outcome.MISS, None)
    (warning,) = warned(caplog)
    assert warning.startswith(f"[{code}]")
    assert list(cache.glob("*incoming")) + list(cache.glob("*partial")) == []
    assert faulty.objects() == before


@pytest.mark.parametrize("operation", ["ls", "cat_file"])
def test_a_store_that_stalls_is_waited_for_once(
    operation: str,
    saved_model: SavedModel,
    faulty: type[Faulty],
    *,
    stall: Stall,
    another_machine: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Later loads of the process do not ask it, until a minute is over."""
    model = saved_model
    publish(model)

    def fault(name: str, does: Callable[[], Any], path: str) -> Any:
        return stall() if name == operation else does()

    faulty.fault = staticmethod(fault)
    for number in range(3):
        another_machine()
        begun, asked = time.monotonic(), len(faulty.asked)
        assert_same_model(model.load_stock(), loaded(model))
        assert report().outcome is Outcome.MISS
        assert (len(faulty.asked) > asked) is (number == 0)
        assert time.monotonic() - begun < TIMEOUT_S + 10
    assert len(warned(caplog)) == 1
    faulty.fault = staticmethod(works)
    faults._away_until_s[URL] = time.monotonic() - 1
    another_machine()
    loaded(model)
    assert report().store == URL


def test_a_reference_waits_no_longer_either(
    saved_model: SavedModel,
    faulty: type[Faulty],
    stall: Stall,
    another_machine: Callable[[], Path],
) -> None:
    """It fails, as it would without a store; and goes on later where it stopped."""
    publish(saved_model)
    ref = fastload.ref(saved_model.path)
    shutil.rmtree(saved_model.path)
    cache = another_machine()
    parts = iter(range(10**6))

    def fault(name: str, does: Callable[[], Any], path: str) -> Any:
        is_late = name == "cat_file" and "/h5." in path and next(parts) >= 3
        return stall() if is_late else does()

    faulty.fault = staticmethod(fault)
    with pytest.raises(ModelNotHereError):
        ref.load_predictor()
    (left,) = cache.glob("*.incoming")
    assert left.stat().st_size == 3 * 2000

    faults._away_until_s.clear()
    faulty.fault = staticmethod(works)
    twin = next(len(content) for path, content in faulty.objects().items() if "/h5." in path)
    before = len(faulty.asked)
    ref.load_predictor()
    asked = [path for name, path in faulty.asked[before:] if name == "cat_file" and "/h5." in path]
    assert len(asked) == -(-(twin - 3 * 2000) // 2000)
    assert report().store == URL
    assert list(cache.glob("*.incoming")) == []


def test_a_beginning_that_is_damaged_is_fetched_again(
    saved_model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A power cut may leave anything."""
    publish(saved_model)
    cache = another_machine()
    (path,) = (path for path in faulty.objects() if "/h5." in path)
    entry, name = path.split("/")[-2:]
    digest = name.removeprefix("h5.")
    cache.mkdir(mode=0o700)
    (cache / "CACHEDIR.TAG").write_bytes((cache.parent / "cache" / "CACHEDIR.TAG").read_bytes())
    for content in (b"\0" * 5000, b"\0" * 10**6):
        for each in cache.glob(f"{entry}.*"):
            each.unlink()
        (cache / f"{entry}.h5.{digest[:32]}.incoming").write_bytes(content)
        loaded(saved_model)
        assert report().store == URL
    assert warned(caplog) == []


def other_models_twin(faulty: type[Faulty]) -> None:
    """Put another model's twin, with its own digest, in the place of each twin there is."""
    twins = [path for path in faulty.objects() if "/h5." in path]
    one, other = twins
    for here, there in ((one, other), (other, one)):
        name = f"{here.rpartition('/')[0]}/{there.rpartition('/')[2]}"
        faulty.store[name] = faulty.store[there]
    for path in twins:
        del faulty.store[path]


def test_another_models_twin_is_refused(
    saved_model: SavedModel,
    saved_once: SavedOnce,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Though its object is what its name says."""
    publish(saved_model)
    publish(SavedModel(form=saved_model.form, path=saved_once(saved_model.form, seed=2)))
    other_models_twin(faulty)
    another_machine()

    assert_same_model(saved_model.load_stock(), loaded(saved_model))
    assert report().outcome is Outcome.MISS
    assert "twin of another model" in warned(caplog)[0]


def test_a_twin_that_was_damaged_before_it_got_a_name_is_refused(
    saved_model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else each load would fetch it again, and find that out while it restores."""
    entry = publish(saved_model)
    (path,) = (path for path in faulty.objects() if "/h5." in path)
    content = bytearray(faulty.store.pop(path).getvalue())
    (document, *_) = read_index(entry.path).documents
    content[document.offset] ^= 1
    faulty.pipe_file(
        faulty(), f"{path.rpartition('/')[0]}/h5.{sha256(content).hexdigest()}", bytes(content)
    )
    another_machine()

    assert_same_model(saved_model.load_stock(), loaded(saved_model))
    assert report().outcome is Outcome.MISS
    assert "does not match its digest" in warned(caplog)[0]


def test_a_wrong_twin_does_not_hide_the_right_one(
    saved_model: SavedModel, faulty: type[Faulty], another_machine: Callable[[], Path]
) -> None:
    """Two of an entry: the one that is not what its name says is passed over."""
    publish(saved_model)
    (path,) = (path for path in faulty.objects() if "/h5." in path)
    faulty.store[f"{path.rpartition('/')[0]}/h5.{'0' * 64}"] = faulty.store[path]
    another_machine()
    loaded(saved_model)

    assert report().store == URL


def test_a_fetch_that_takes_long_is_shown(
    saved_model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish(saved_model)
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    another_machine()
    loaded(saved_model)
    assert "fetching" not in capfd.readouterr().err
    monkeypatch.setenv("FASTLOAD_PROGRESS", "1")
    another_machine()
    loaded(saved_model)

    assert "fastload: fetching a twin" in capfd.readouterr().err


def test_what_is_beside_a_twin_is_bounded(
    saved_model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store may say that there is any number of files of any length."""
    entry = publish(saved_model)
    folder = next(path.rpartition("/")[0] for path in faulty.objects())
    for number, size in enumerate((700, 600, 300, 1200)):
        content = bytes(size)
        name = f"{folder}/code{number}.json.{sha256(content).hexdigest()}"
        faulty.pipe_file(faulty(), name, content)
    monkeypatch.setattr(fetching, "_MOST_BESIDE_BYTES", 1000)
    monkeypatch.setattr(fetching, "MOST_BESIDE_IN_ALL_BYTES", 1000)
    for path in [path for path in faulty.store if "/h5." not in path and "/code" not in path]:
        del faulty.store[path]
    cache = another_machine()
    loaded(saved_model)

    assert report().store == URL
    found = {path.name.removeprefix(f"{entry.name}.") for path in cache.glob("*.code?.json")}
    assert found == {"code0.json", "code2.json"}


# --- a key --------------------------------------------------------------------------------------


def test_with_a_key_only_what_is_signed_is_used(
    saved_model: SavedModel,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Unsigned, signed by another, signed for another entry: all are converted here instead."""
    publish(saved_model)
    monkeypatch.setenv("FASTLOAD_REMOTE_KEY", "ours")
    another_machine()
    loaded(saved_model)
    assert (report().outcome, report().store) == (Outcome.MISS, None)
    assert "not signed with FASTLOAD_REMOTE_KEY" in warned(caplog)[0]

    publish(saved_model)  # beside what is not signed
    another_machine()
    loaded(saved_model)
    assert report().store == URL
    for key in ("theirs", "our", "ours "):
        monkeypatch.setenv("FASTLOAD_REMOTE_KEY", key)
        another_machine()
        loaded(saved_model)
        assert report().store is None
    monkeypatch.delenv("FASTLOAD_REMOTE_KEY")  # who has none takes either
    another_machine()
    loaded(saved_model)
    assert report().store == URL


def test_a_signature_does_not_move_to_another_entry(
    saved_model: SavedModel,
    saved_once: SavedOnce,
    faulty: type[Faulty],
    another_machine: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE_KEY", "ours")
    publish(saved_model)
    publish(SavedModel(form=saved_model.form, path=saved_once(saved_model.form, seed=2)))
    other_models_twin(faulty)
    another_machine()
    before = len(faulty.asked)

    assert_same_model(saved_model.load_stock(), loaded(saved_model))
    assert report().outcome is Outcome.MISS
    assert [name for name, _ in faulty.asked[before:]] == ["ls"]


def test_the_key_is_shown_nowhere(
    saved_model: SavedModel, faulty: type[Faulty], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE_KEY", "a-secret")
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")
    loaded(saved_model)

    assert "a-secret" not in repr(fastload.last_load())
    assert "a-secret" not in repr(current_settings())
    assert all("a-secret" not in path for path in faulty.objects())


# --- putting twins there ------------------------------------------------------------------------


def test_a_store_that_cannot_be_written_fails_no_load(
    saved_model: SavedModel,
    faulty: type[Faulty],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`warm --publish`, which was asked to write, says so."""

    def fault(name: str, does: Callable[[], Any], path: str) -> Any:
        return forbidden() if name == "put_file" else does()

    faulty.fault = staticmethod(fault)
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")
    assert_same_model(saved_model.load_stock(), loaded(saved_model))
    assert report().outcome is Outcome.MISS
    assert len(warned(caplog)) == 1
    with pytest.raises(StoreAwayError, match="PermissionError: 403"):
        warm(saved_model)


def test_nothing_is_written_twice(saved_model: SavedModel, faulty: type[Faulty]) -> None:
    """Nor in the place of what somebody else put there; a half one is told of."""
    warm(saved_model)
    before = faulty.objects()
    warm(saved_model)  # which may learn more
    after = faulty.objects()
    assert {path: after[path] for path in before} == before
    put = [path for name, path in faulty.asked if name == "put_file"]
    assert len(put) == len(set(put)) == len(after)

    faulty.fault = staticmethod(listing(shorter))
    with pytest.raises(StoreObjectError, match="remove it"):
        warm(saved_model)
    assert faulty.objects().items() >= after.items()


def test_no_damaged_twin_gets_there(saved_model: SavedModel, faulty: type[Faulty]) -> None:
    """Who fetched it could not tell."""
    entry = publish(saved_model)
    faulty.store.clear()
    content = bytearray(entry.path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    entry.path.chmod(0o600)
    entry.path.write_bytes(content)
    settings = current_settings().remote
    assert settings is not None
    with pytest.raises(TwinCorruptError):
        publish_entry(open_store(settings), entry)

    assert faulty.objects() == {}


# --- settings -----------------------------------------------------------------------------------


def test_an_address_that_nothing_here_knows_fails_no_load(
    saved_model: SavedModel,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE", "nosuch://bucket")
    loaded(saved_model)

    assert report().outcome is Outcome.MISS
    (warning,) = warned(caplog)
    assert "nosuch" in warning


def test_without_threads_models_load(
    saved_model: SavedModel,
    faulty: type[Faulty],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A container may have a limit, which TensorFlow has used up."""
    starts = threading.Thread.start

    def fails(thread: threading.Thread) -> None:
        if thread.name == "fastload-store":
            raise RuntimeError("can't start new thread")
        starts(thread)

    monkeypatch.setattr(threading.Thread, "start", fails)
    loaded(saved_model)

    assert report().outcome is Outcome.MISS
    assert "can't start new thread" in warned(caplog)[0]


def test_without_fsspec_models_load(
    saved_model: SavedModel,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE", URL)
    for name in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, name, None)
    loaded(saved_model)

    assert report().outcome is Outcome.MISS
    assert "tf-fastload[remote]" in warned(caplog)[0]


def test_to_publish_nowhere_is_an_error(saved_model: SavedModel, cache_root: Path) -> None:
    with pytest.raises(ValueError, match="FASTLOAD_REMOTE"):
        warm(saved_model)


def test_a_blank_address_is_none(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with other variables."""
    monkeypatch.setenv("FASTLOAD_REMOTE", " ")
    loaded(saved_model)

    assert report().outcome is Outcome.MISS
