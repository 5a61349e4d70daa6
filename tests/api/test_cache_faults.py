"""Every call that touches the cache fails in turn, and every load gives what stock gives."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.conftest import SRC, SavedOnce
from tests.needs import NEEDS_LENDING
from tests.small_models import (
    INPUTS,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    Form,
    assert_same_arrays,
)

tf = pytest.importorskip("tensorflow")
if sys.platform == "win32":
    pytest.skip("the calls are those of POSIX", allow_module_level=True)

from tests.api.faulty_calls import FaultyCalls  # noqa: E402 - it imports fcntl

ERRNOS = (
    *(errno.EACCES, errno.EIO, errno.ENOSPC, errno.EROFS),
    *(errno.EMFILE, errno.ENOENT, errno.ESTALE, errno.ENOMEM),
)
IS_ROOT = os.geteuid() == 0


def of_model(form: Form) -> Callable[[Path], list[Any]]:
    def load(path: Path) -> list[Any]:
        model = fastload.load_model(path, keras=form.package)
        return [*model.get_weights(), model.predict(INPUTS, verbose=0)]

    return load


def of_lazy_model(path: Path) -> list[Any]:
    model = fastload.load_model(path, keras=SAVED_MODEL.package, weights="lazy")
    return [*model.get_weights(), model.predict(INPUTS, verbose=0)]


def of_objects(path: Path) -> list[Any]:
    function = fastload.load_saved_model(str(path)).signatures["serving_default"]
    return [each.numpy() for each in function(tf.constant(INPUTS)).values()]


def of_predictor(path: Path) -> list[Any]:
    return [each.numpy() for each in tf.nest.flatten(fastload.load_predictor(str(path))(INPUTS))]


KINDS: dict[str, tuple[Form, Callable[[Path], list[Any]]]] = {
    "model": (SAVED_MODEL, of_model(SAVED_MODEL)),
    "lazy": (SAVED_MODEL, of_lazy_model),
    "objects": (SAVED_MODEL, of_objects),
    "predictor": (SAVED_MODEL, of_predictor),
    "keras2": (KERAS2_HDF5, of_model(KERAS2_HDF5)),
    "keras3": (KERAS3_ARCHIVE, of_model(KERAS3_ARCHIVE)),
}
MARKS = {"keras3": pytest.mark.slow, "model": pytest.mark.slow, "lazy": NEEDS_LENDING}


def without_fastload(load: Callable[[Path], list[Any]], path: Path) -> list[Any]:
    with fastload.disabled():
        return load(path)


def check_each_call(
    load: Callable[[Path], list[Any]],
    path: Path,
    prepared: Path | None,
    cache_root: Path,
    errnos: tuple[int, ...],
) -> int:
    """Have each call that touches the cache fail in turn; return how many there are.

    Args:
        load: returns arrays that say what was loaded.
        path: the model.
        prepared: what the cache holds before each load; None for nothing.
        cache_root: the cache.
        errnos: with which errors; the first call takes the first of them, and so on.
    """
    expected = without_fastload(load, path)
    number, is_last = 0, False
    while not is_last:
        number += 1
        shutil.rmtree(cache_root, ignore_errors=True)
        if prepared is not None:
            shutil.copytree(prepared, cache_root)
        calls = FaultyCalls(cache_root, number, errnos[number % len(errnos)])
        with pytest.MonkeyPatch.context() as patch:
            calls.install(patch)
            loaded = load(path)
        is_last = len(calls.calls) < number
        try:
            assert_same_arrays(expected, loaded)
        except AssertionError as error:
            raise AssertionError(f"{calls.calls[number - 1]}: {errnos}") from error
    return number - 1


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


@pytest.fixture(
    params=[
        pytest.param(ERRNOS, id="in turn"),
        *(
            pytest.param((each,), id=errno.errorcode[each], marks=pytest.mark.full)
            for each in ERRNOS
        ),
    ]
)
def errnos(request: pytest.FixtureRequest) -> tuple[int, ...]:
    """The errors to fail with: one after the other; in full runs, each at every call."""
    found: tuple[int, ...] = request.param
    return found


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=MARKS.get(kind, ())) for kind in KINDS],
)
def test_a_hit_survives_every_fault(
    saved_once: SavedOnce,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    errnos: tuple[int, ...],
    kind: str,
) -> None:
    """The twin is there and the model lies still, as on most loads."""
    form, load = KINDS[kind]
    path = saved_once(form)
    monkeypatch.setattr("fastload.source.fingerprint.WRITE_BACK_NS", 0)
    load(path)
    load(path)
    prepared = cache_root.rename(cache_root.with_name("prepared"))

    assert check_each_call(load, path, prepared, cache_root, errnos) > 10
    assert outcome() == "hit"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["keras2", "objects", pytest.param("model", marks=pytest.mark.full)]
)
def test_a_miss_survives_every_fault(
    saved_once: SavedOnce, cache_root: Path, errnos: tuple[int, ...], kind: str
) -> None:
    """There is no cache yet: all of it is created, and the twin is written."""
    form, load = KINDS[kind]

    assert check_each_call(load, saved_once(form), None, cache_root, errnos) > 50
    assert outcome() == "miss"


def test_a_bypass_survives_every_fault(
    cache_root: Path, tmp_path: Path, errnos: tuple[int, ...]
) -> None:
    """The model cannot be converted, which is remembered."""
    module = tf.Module()
    module.weight = tf.Variable(INPUTS)
    tf.saved_model.save(module, str(tmp_path / "m"))
    (tmp_path / "m" / "debug").mkdir(exist_ok=True)
    (tmp_path / "m" / "debug" / "saved_model_debug_info.pb").touch()

    def load(path: Path) -> list[Any]:
        return [fastload.load_saved_model(str(path)).weight.numpy()]

    assert check_each_call(load, tmp_path / "m", None, cache_root, errnos) > 20
    assert outcome() == "bypass"


PROGRAM = """
import sys
import fastload
from tests.small_models import INPUTS
form, path = sys.argv[1:]
for load in range(2):
    model = fastload.load_model(path, keras=form)
    report = fastload.last_load()
    print(report.outcome.value, report.code)
    assert str(fastload.explain(path, keras=form).code) == report.code
with fastload.disabled():
    stock = fastload.load_model(path, keras=form)
    expected = fastload.load_predictor(path, keras=form).predict(INPUTS)
assert all((a == b).all() for a, b in zip(stock.get_weights(), model.get_weights(), strict=True))
assert str(fastload.load_predictor(path, keras=form).predict(INPUTS)) == str(expected)
"""
#: Root goes through every door but with these taken away.
_DOORS = "-dac_override,-dac_read_search"


def run_without_doors(form: Form, path: Path, cache: Path) -> str:
    """Load *path* twice in a process that permissions hold for; return how it went."""
    command = [sys.executable, "-c", PROGRAM, form.package, str(path)]
    if IS_ROOT:
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot be kept out here")
        command = ["setpriv", "--bounding-set", _DOORS, "--inh-caps", _DOORS, *command]
    paths = os.pathsep.join([str(SRC), str(SRC.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "FASTLOAD_CACHE_DIR": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


#: The mode of the folder, the model, and whether a warm cache is in it.
LOCKED = [(0o600, KERAS3_ARCHIVE, True), (0o400, SAVED_MODEL, False)]
LOCKED += [(0o200, KERAS3_ARCHIVE, False), (0o000, SAVED_MODEL, True)]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "form", "has_cache"), LOCKED, ids=lambda value: str(value)[:9])
def test_a_folder_that_cannot_be_entered(
    saved_once: SavedOnce, cache_root: Path, mode: int, form: Form, has_cache: bool
) -> None:
    """Of this user, without the right to enter it."""
    locked = cache_root.with_name("locked")
    locked.mkdir()
    if has_cache:
        fastload.warm(saved_once(form), keras=form.package)
        cache_root.rename(locked / "cache")
    locked.chmod(mode)
    try:
        printed = run_without_doors(form, saved_once(form), locked / "cache")
    finally:
        locked.chmod(0o700)

    assert printed.split() == ["bypass", "FL101"] * 2


@pytest.mark.skipif(not IS_ROOT, reason="only root may give files away")
def test_a_folder_of_another_user_that_cannot_be_entered(
    saved_once: SavedOnce, tmp_path: Path
) -> None:
    """Such as root's."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    os.chown(locked, 54321, 54321)

    printed = run_without_doors(SAVED_MODEL, saved_once(SAVED_MODEL), locked / "cache")

    assert printed.split() == ["bypass", "FL101"] * 2


def test_a_relative_folder_without_a_working_folder(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder was removed while the program ran."""
    form = SAVED_MODEL
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", "cache")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    loaded = fastload.load_model(saved_once(form), keras=form.package)
    found = outcome()
    monkeypatch.undo()

    assert found == "bypass"
    assert len(loaded.get_weights()) == 6
