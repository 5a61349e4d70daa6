"""A bucket behind a proxy that fails as stores do: no load fails, and none is wrong.

`nox -s store` runs it: it needs s3fs, and moto for the server.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import RemoteSourceError
from fastload.remote import faults
from fastload.report import LoadReport, Outcome
from tests.conftest import SRC, RunPython, SavedOnce
from tests.remote import s3_proxy
from tests.remote.s3_proxy import Asked, Proxy
from tests.small_models import INPUTS, SAVED_MODEL, SavedModel, assert_same_model, copy_model

fsspec = pytest.importorskip("fsspec", exc_type=ImportError)
pytest.importorskip("s3fs", exc_type=ImportError)
pytest.importorskip("moto", exc_type=ImportError)
tf = pytest.importorskip("tensorflow")

pytestmark = [
    pytest.mark.slow,
    # Of the libraries that speak to the bucket, when connections are cut.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BUCKET, URL = "fastload-twins", "s3://fastload-twins/of/tests"
TIMEOUT_S = 3.0
#: What a load takes besides the store, on a machine with other work.
REST_S = 20.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """A bucket in a server of its own, reached through a proxy."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    credentials = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with s3_proxy.running(port) as made, pytest.MonkeyPatch.context() as patched:
            for name, value in credentials.items():
                patched.setenv(name, value)
            patched.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.port}")
            _until_it_answers(port)
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
            yield made
    finally:
        server.kill()
        server.wait()


def _until_it_answers(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server did not start")


@pytest.fixture(autouse=True)
def bucket(proxy: Proxy, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket that works, for this test alone; whoever loads uses it."""
    proxy.fault = s3_proxy.passes
    proxy.asked.clear()
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    if filesystem.exists(f"{BUCKET}/of"):
        filesystem.rm(f"{BUCKET}/of", recursive=True)
    monkeypatch.setenv("FASTLOAD_REMOTE", URL)
    monkeypatch.setenv("FASTLOAD_REMOTE_TIMEOUT", str(TIMEOUT_S))
    yield filesystem
    proxy.fault = s3_proxy.passes


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go to a machine with an empty cache, in a process that knows no fault of the store."""
    count = iter(range(100))

    def go() -> Path:
        faults._away_until_s.clear()
        faults._told.clear()
        cache = tmp_path / f"machine {next(count)}"
        monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(cache))
        return cache

    return go


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """The end of the test, for which faults wait."""
    made = threading.Event()
    yield made
    made.set()


def loaded(model: SavedModel) -> Any:
    return fastload.load_model(model.path, keras=model.form.package)


def warm(model: SavedModel) -> None:
    fastload.warm(model.path, keras=model.form.package, publish=True)


def report() -> LoadReport:
    found = fastload.last_load()
    assert found is not None
    return found


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [each for each in caplog.records if each.name.startswith("fastload")]
    return [each.getMessage() for each in ours if each.levelno == logging.WARNING]


def test_a_bucket_serves_the_next_machine(
    model: SavedModel, another_machine: Callable[[], Path], bucket: Any
) -> None:
    """By `warm --publish`, and by a load that may write."""
    warm(model)
    another_machine()

    assert_same_model(model.load_stock(), loaded(model))
    assert report().store == URL


def test_a_load_that_may_write_does_and_never_twice(
    saved_model: SavedModel,
    another_machine: Callable[[], Path],
    bucket: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")
    monkeypatch.setenv("FASTLOAD_REMOTE_KEY", "of the fleet")
    loaded(saved_model)
    first = {path: bucket.cat_file(path) for path in bucket.find(f"{BUCKET}/of")}
    another_machine()
    loaded(saved_model)

    assert report().store == URL
    second = {path: bucket.cat_file(path) for path in bucket.find(f"{BUCKET}/of")}
    assert first
    assert {path: second[path] for path in first} == first


FAULTS: dict[str, s3_proxy.Fault] = {
    "stops": s3_proxy.stops,
    "is overloaded": s3_proxy.overloaded,
    "forbids": s3_proxy.forbidden,
    "is a login page": s3_proxy.a_login_page,
    "truncates": s3_proxy.truncates,
    "sends half": s3_proxy.of_objects(lambda body: body[: len(body) // 2]),
    "sends nothing": s3_proxy.of_objects(lambda _: b""),
    "corrupts": s3_proxy.of_objects(lambda body: body[:-1] + bytes([body[-1] ^ 1])),
    "lies": s3_proxy.of_objects(lambda body: bytes(len(body))),
}


@pytest.mark.parametrize("fault", [*FAULTS, "stalls", "stalls half-way", "trickles", "is wiped"])
def test_a_bucket_that_fails_is_done_without(
    fault: str,
    saved_model: SavedModel,
    proxy: Proxy,
    bucket: Any,
    *,
    over: threading.Event,
    another_machine: Callable[[], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The model that stock loads, in bounded time; and one line says why."""
    warm(saved_model)
    expected = saved_model.load_stock()

    def wipes(asked: Asked) -> None:
        if asked.is_for_object and bucket.exists(f"{BUCKET}/of"):
            proxy.fault = s3_proxy.passes
            bucket.rm(f"{BUCKET}/of", recursive=True)
        s3_proxy.passes(asked)

    more = {
        "stalls": s3_proxy.stalls(over),
        "stalls half-way": s3_proxy.stalls(over, in_objects=True),
        "trickles": s3_proxy.trickles(over),
        "is wiped": wipes,
    }
    another_machine()
    proxy.fault = {**FAULTS, **more}[fault]
    begun = time.monotonic()
    assert_same_model(expected, loaded(saved_model))
    first_s = time.monotonic() - begun

    assert (report().outcome, report().store) == (Outcome.MISS, None)
    assert first_s < 2 * TIMEOUT_S + REST_S
    # The library takes such a page for a list of nothing.
    assert len(warned(caplog)) == (fault != "is a login page")
    assert all("[FL10" in each for each in warned(caplog))


def test_a_bucket_that_cannot_be_written_fails_no_load(
    saved_model: SavedModel,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")
    proxy.fault = s3_proxy.read_only

    assert_same_model(saved_model.load_stock(), loaded(saved_model))
    assert report().outcome is Outcome.MISS
    assert len(warned(caplog)) == 1


def test_no_load_fails_in_a_storm(
    saved_model: SavedModel,
    proxy: Proxy,
    over: threading.Event,
    another_machine: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request meets another fault, or none."""
    monkeypatch.setenv("FASTLOAD_REMOTE_TIMEOUT", "0.5")
    warm(saved_model)
    expected = saved_model.load_stock()
    chance, number = random.Random(5), 24
    choices = [*FAULTS.values(), s3_proxy.stalls(over), s3_proxy.stalls(over, in_objects=True)]

    def fault(asked: Asked) -> None:
        (s3_proxy.passes if chance.random() < 0.75 else chance.choice(choices))(asked)

    proxy.fault = fault
    outcomes = []
    for _ in range(number):
        another_machine()
        assert_same_model(expected, loaded(saved_model))
        outcomes.append((report().outcome, report().store))

    assert outcomes.count((Outcome.HIT, URL)) + outcomes.count((Outcome.MISS, None)) == number
    assert 0 < outcomes.count((Outcome.HIT, URL)) < number


def large_model(path: Path) -> Path:
    """Save a SavedModel of 32 MB."""
    module = tf.Module()
    module.weight = tf.Variable(np.random.default_rng(1).random((4, 2_000_000), dtype="float32"))
    signature = tf.TensorSpec((None, 4), tf.float32, name="x")
    run = tf.function(lambda x: x @ module.weight[:, :8], input_signature=[signature])
    module.run = run
    tf.saved_model.save(module, str(path), signatures=run)
    return path


def test_a_process_that_was_killed_is_gone_on_with(
    tmp_path: Path, proxy: Proxy, another_machine: Callable[[], Path], run_python: RunPython
) -> None:
    """Real processes: one puts it there, one is killed half-way, one fetches the rest."""
    path = large_model(tmp_path / "large")
    program = (
        "import sys, fastload\n"
        "fastload.load_predictor(sys.argv[1])\n"
        "print(fastload.last_load().outcome.value, fastload.last_load().store)\n"
    )
    told = run_python(program, path, FASTLOAD_REMOTE_MODE="readwrite")
    assert told == "miss None"
    cache = another_machine()
    served = iter(range(10**6))
    hold = threading.Event()

    def slow(asked: Asked) -> None:
        if asked.is_for_object and "/h5." in asked.path and next(served) >= 3:
            hold.wait(60)
        s3_proxy.passes(asked)

    proxy.fault = slow
    command = [sys.executable, "-c", program, str(path)]
    environment = os.environ | {"PYTHONPATH": str(SRC), "FASTLOAD_REMOTE_TIMEOUT": "60"}
    fetching = subprocess.Popen(command, env=environment)
    try:
        has_begun = _wait_for(lambda: any(e.stat().st_size for e in cache.glob("*.incoming")))
    finally:
        os.kill(fetching.pid, signal.SIGKILL)
        fetching.wait()
        hold.set()
    assert has_begun
    (left,) = cache.glob("*.incoming")
    had = left.stat().st_size // (4 * 2**20)
    proxy.fault = s3_proxy.passes
    proxy.asked.clear()
    assert run_python(program, path) == f"hit {URL}"
    parts = [path for _, path in proxy.asked if "/h5." in path and "list-type" not in path]
    assert len(parts) == 8 - had
    assert list(cache.glob("*.incoming")) == []


def _wait_for(happens: Callable[[], bool]) -> bool:
    for _ in range(600):
        if happens():
            return True
        time.sleep(0.1)
    return False


def test_processes_wait_side_by_side(
    saved_once: SavedOnce,
    tmp_path: Path,
    proxy: Proxy,
    over: threading.Event,
    another_machine: Callable[[], Path],
) -> None:
    """Three that load the same model at once, from a bucket that stalls half-way, wait once."""
    path = copy_model(saved_once(SAVED_MODEL), tmp_path / "m")
    np.save(tmp_path / "x.npy", INPUTS)
    warm(SavedModel(form=SAVED_MODEL, path=path))
    another_machine()
    proxy.fault = s3_proxy.stalls(over, in_objects=True)
    program = (
        "import sys, json, fastload\n"
        "fastload.load_predictor(sys.argv[1])\n"
        "told = fastload.last_load()\n"
        "print(json.dumps([told.outcome.value, told.phases['twin']]))\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [json.loads(each.communicate(timeout=300)[0]) for each in running]

    assert sorted(outcome for outcome, _ in told) == ["hit", "hit", "miss"]
    assert max(seconds for _, seconds in told) < 2 * TIMEOUT_S + REST_S


ASKS = """
import os, sys
from fastload.errors import StoreAwayError
from fastload.loading.request import current_settings
from fastload.remote.store import open_store
def ask():
    try:
        print(len(open_store(current_settings().remote).files(sys.argv[1])), flush=True)
    except StoreAwayError as error:
        print("away", flush=True)
ask()
if len(sys.argv) > 2:
    child = os.fork()
    if not child:
        ask()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_child_of_a_fork_asks_anew(
    saved_model: SavedModel, bucket: Any, run_python: RunPython
) -> None:
    """The threads and connections of its parent are of no use to it."""
    warm(saved_model)
    (entry, *_) = {path.split("/")[-2] for path in bucket.find(f"{BUCKET}/of")}
    first, of_the_child = run_python(ASKS, entry, "fork").splitlines()

    assert int(first) > 0
    assert of_the_child == first


def test_a_process_ends_though_the_store_stalls(
    proxy: Proxy, over: threading.Event, run_python: RunPython
) -> None:
    """What was left behind does not keep it."""
    proxy.fault = s3_proxy.stalls(over)
    begun_s = time.monotonic()

    assert run_python(ASKS, "ab" * 16) == "away"
    assert time.monotonic() - begun_s < TIMEOUT_S + 10


def at_address(bucket: Any, path: Path) -> str:
    """Put a model into the bucket, and return its address."""
    bucket.put(str(path), f"{BUCKET}/of/models/{path.name}", recursive=path.is_dir())
    return f"s3://{BUCKET}/of/models/{path.name}"


def test_a_model_in_a_bucket_is_fetched_once(
    model: SavedModel, proxy: Proxy, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket says what proves its content; the twin's own store has no part in it."""
    monkeypatch.delenv("FASTLOAD_REMOTE")
    url = at_address(bucket, model.path)
    fetched = []
    for _ in range(2):
        proxy.asked.clear()
        found = fastload.load_model(url, keras=model.form.package)
        assert_same_model(model.load_stock(), found)
        read = [path for verb, path in proxy.asked if verb == "GET" and "list-type" not in path]
        fetched.append(read != [])
    assert (fetched, report().outcome) == ([True, False], Outcome.HIT)


@pytest.mark.parametrize("fault", sorted({*FAULTS} - {"corrupts", "lies"}))
def test_a_model_in_a_bucket_that_fails_is_told_of(
    fault: str,
    saved_model: SavedModel,
    proxy: Proxy,
    bucket: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a bounded time, and never as another model; then it is there again."""
    monkeypatch.delenv("FASTLOAD_REMOTE")
    url = at_address(bucket, saved_model.path)
    proxy.fault = FAULTS[fault]
    began = time.monotonic()
    with pytest.raises((RemoteSourceError, OSError)):  # a login page is what stock refuses
        fastload.load_saved_model(url)
    assert time.monotonic() - began < 2 * TIMEOUT_S + REST_S
    proxy.fault = s3_proxy.passes
    fastload.load_saved_model(url)
    assert report().outcome is Outcome.MISS


def test_what_a_bucket_sent_wrong_is_not_remembered(
    saved_model: SavedModel, proxy: Proxy, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTLOAD_REMOTE")
    url, right = at_address(bucket, saved_model.path), fastload.ref(saved_model.path).digest
    proxy.fault = FAULTS["corrupts"]
    with contextlib.suppress(RemoteSourceError):
        assert fastload.ref(url).digest != right
    proxy.fault = s3_proxy.passes
    assert fastload.ref(url).digest == right
