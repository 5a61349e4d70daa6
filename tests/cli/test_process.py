"""The command as a process: what it imports, what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastload
from fastload.cli.main import _wants_traceback

from .conftest import HDF5_SIGNATURE, Twins

SRC = Path(__file__).resolve().parents[2] / "src"
HEAVY = frozenset({"tensorflow", "keras", "tf_keras", "h5py"})
_RUN = """
import sys
from fastload.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("loaded:", *sorted(sys.modules), file=sys.stderr)
"""


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return _run(["-m", "fastload"], words, environment)


def _run(
    start: list[str], words: tuple[object, ...], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *start, *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(SRC)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def modules_after(*words: object) -> set[str]:
    """Return the packages that a command has imported when it ends."""
    told = _run(["-c", _RUN], words, {}).stderr.rpartition("loaded:")[2]
    return {name.partition(".")[0] for name in told.split()}


@pytest.mark.parametrize(
    ("verb", "options", "is_light"),
    [
        ("ls", [], True),
        ("stats", [], True),
        ("prune", ["--dry-run"], True),
        ("info", ["ENTRY"], True),
        ("info", ["MODEL"], False),
        ("rm", ["ENTRY"], True),
        ("verify", ["--all"], False),
        ("explain", ["MODEL"], False),
        ("estimate", ["MODEL"], False),
    ],
)
def test_no_verb_but_warm_imports_tensorflow_or_h5py(
    twins: Twins, tmp_path: Path, verb: str, options: list[str], is_light: bool
) -> None:
    """Those that look at no weights do without numpy as well; `explain` tries a conversion."""
    model = tmp_path / "model.h5"
    places = {"ENTRY": twins.add_for(model, "a" * 64).name, "MODEL": str(model)}
    loaded = modules_after(verb, *(places.get(word, word) for word in options))

    assert "fastload" in loaded
    assert loaded.isdisjoint(HEAVY - {"h5py" if verb == "explain" else ""})
    assert not (is_light and "numpy" in loaded)


def test_json_imports_nothing_that_prints_for_people() -> None:
    """It would be a third of the time."""
    assert modules_after("ls", "--json").isdisjoint({"rich", "humanize"})


def test_ls_takes_little_more_than_what_prints_it(twins: Twins) -> None:
    """Of the processor, for others may be in the way; machines differ, so neither in seconds."""
    for number in range(20):
        twins.add(f"{number:064x}")
    run("ls")

    printing = _least_cpu_s("-c", "import click, humanize, rich.console, rich.table")

    assert _least_cpu_s("-m", "fastload", "ls") < 4 * printing  # a half of that, by itself


def _least_cpu_s(*start: str) -> float:
    """Return what a process takes at its best of five, user and system."""
    took = []
    for _ in range(5):
        before = os.times()
        _run(list(start), (), {})
        after = os.times()
        took.append(sum(after[part] - before[part] for part in (2, 3)))
    return min(took)


def test_the_version_is_that_of_the_package() -> None:
    """On standard output."""
    assert run("--version").stdout == f"fastload {fastload.__version__}\n"


@pytest.mark.parametrize("verb", ["info", "rm", "verify"])
def test_an_error_is_one_line_with_its_code(cache_root: Path, verb: str) -> None:
    """On standard error, with exit status 1 and without a traceback."""
    result = run(verb, "/no/such/model")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"fastload: [FL401] '/no/such/model' has no twin in the cache folder '{cache_root}'\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["info", "/no/such/model"], "FL401", 1),
        (["info"], "usage", 2),
        (["prune", "--max-size", "big"], "usage", 2),
        (["nonsense"], "usage", 2),
    ],
)
def test_with_json_an_error_is_a_document_too(
    cache_root: Path, words: list[str], code: str, status: int
) -> None:
    """Nothing else is on standard output, and the exit status is the same."""
    result = run(*words, "--json")
    plain = run(*words)

    assert set(json.loads(result.stdout)["error"]) == {"code", "message"}
    assert json.loads(result.stdout)["error"]["code"] == code
    assert (result.returncode, plain.returncode) == (status, status)


def test_a_variable_that_makes_no_sense_is_named(cache_root: Path) -> None:
    """It is no bug, so there is no traceback."""
    result = run("ls", FASTLOAD_CACHE_MAX_SIZE="huge")

    assert result.returncode == 1
    assert result.stderr.startswith("fastload: [FL000] ValueError: FASTLOAD_CACHE_MAX_SIZE: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "environment"),
    [(["--debug", "info", "x.h5"], {}), (["info", "x.h5"], {"FASTLOAD_LOG": "debug"})],
)
def test_where_an_error_came_from_is_shown_on_request(
    cache_root: Path, words: list[str], environment: dict[str, str]
) -> None:
    """By an option, or by the variable that asks for all messages."""
    result = run(*words, **environment)

    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "EntryNotFoundError: [FL401]" in result.stderr


def test_a_reader_that_leaves_early_is_no_error_to_tell(twins: Twins) -> None:
    """As in `fastload ls | head -1`."""
    for number in range(3):
        twins.add(f"{number:064x}")
    command = [sys.executable, "-m", "fastload", "ls", "--json"]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()

    assert told == b""


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="Linux has one")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["stats"], "FL000"),
        (["stats", "--json"], "FL000"),
        (["info", "/no/such/model", "--json"], "FL401"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else words,
)
def test_an_output_that_takes_nothing_is_one_line(
    cache_root: Path, words: list[str], code: str, unbuffered: str
) -> None:
    """On standard error, with status 1: Python has nothing to add at its end."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fastload", *words],
            env=os.environ | {"PYTHONPATH": str(SRC), "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.startswith(f"fastload: [{code}] ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes in POSIX")
@pytest.mark.parametrize(
    ("encoding", "name", "shown"),
    [
        ("utf-8:strict", b"m\xff.h5", b"m\\udcff.h5"),
        ("utf-8:strict", "m\N{SNOWMAN}.h5".encode(), "m\N{SNOWMAN}.h5".encode()),
        ("ascii:strict", "m\N{SNOWMAN}.h5".encode(), b"m\\u2603.h5"),
        ("ascii:surrogateescape", "m\N{SNOWMAN}.h5".encode(), b"m\\u2603.h5"),
        ("utf-8:surrogateescape", b"m\xff.h5", b"m\xff.h5"),
        ("ascii:replace", "m\N{SNOWMAN}.h5".encode(), b"m?.h5"),
    ],
)
def test_a_name_that_the_output_cannot_encode_is_printed(
    cache_root: Path, encoding: str, name: bytes, shown: bytes
) -> None:
    """With backslashes, but for what the user, or Python by itself, does about it."""
    done = subprocess.run(
        [sys.executable, "-m", "fastload", "explain", name],
        env=os.environ | {"PYTHONPATH": str(SRC), "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(shown + b": load_model: bypass")


def test_the_settings_fail_no_report_of_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reading them raises: the error that is told is another one."""
    monkeypatch.setattr("fastload.cli.main.Settings.from_env", lambda _: 1 / 0)

    assert not _wants_traceback()


def test_the_console_script_leads_to_the_same_place() -> None:
    """The distribution's metadata names it."""
    pyproject = (SRC.parent / "pyproject.toml").read_text()
    assert 'fastload = "fastload.cli.main:main"' in pyproject


def test_warm_without_a_model_to_open_fails_with_its_reason(
    cache_root: Path, tmp_path: Path
) -> None:
    """The error belongs to the path, so that others have their turn."""
    (tmp_path / "text").write_text("hello")
    (tmp_path / "hdf5.h5").write_bytes(HDF5_SIGNATURE)
    result = run("warm", tmp_path / "text", "--json")
    (told,) = json.loads(result.stdout)["models"]

    assert result.returncode == 1
    assert told["error"]["code"] == "FL201"
    assert told["outcome"] is None
