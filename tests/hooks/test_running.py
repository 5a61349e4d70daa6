"""`fastload run`: a program as `python` runs it, with a Python that reads the start file or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fastload
from tests.conftest import SRC
from tests.hooks.conftest import plain_environment

SELF = (
    "import sys, os, json\n"
    "import __main__\n"
    "main = sys.modules['__main__']\n"
    "print(json.dumps([sys.argv, sys.path[0], main.__name__, getattr(main, '__file__', None),\n"
    "    str(main.__spec__ and main.__spec__.name), 'click' in sys.modules,\n"
    "    [entry for entry in sys.path if 'bootstrap_site' in entry]]))"
)
LOAD = "import sys, keras; keras.models.load_model(sys.argv[1])\n"


def python(
    *words: object, under: str = "", python: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python; *under* has the words of `fastload run` that come before its own."""
    return subprocess.run(
        [python or sys.executable, *under.split(), *map(str, words)],
        env=plain_environment() | {"PYTHONPATH": str(SRC)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


RUN = "-m fastload run"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program in a folder of its own."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "neighbour.py").write_text(SELF)
    (folder / "script.py").write_text(SELF)
    return folder / "script.py"


@pytest.mark.parametrize("how", ["script", "module", "code"])
@pytest.mark.parametrize("options", ["", " --stats"])
def test_a_program_sees_what_it_sees_under_python(how: str, options: str, script: Path) -> None:
    words = {
        "script": [script, "--stats", "-x", "a b"],
        "module": ["-m", "neighbour", "--help"],
        "code": ["-c", SELF, "-m", "x"],
    }[how]
    path = os.pathsep.join([str(SRC), str(script.parent)])
    plain = python(*words, PYTHONPATH=path)
    served = python(*words, under=RUN + options, PYTHONPATH=path)

    assert plain.returncode == 0, plain.stderr
    assert served.stdout == plain.stdout


def test_a_program_is_served(archive: Path, script: Path) -> None:
    """What a second run is told is in the next test."""
    script.write_text(LOAD)
    told = python(script, archive, under=f"{RUN} --stats").stderr

    assert "fastload: all loads: 0 hits, 1 missed, 0 left to stock" in told


@pytest.mark.slow
def test_a_program_is_served_where_python_reads_the_start_file(
    archive: Path, script: Path, opted_python: Path
) -> None:
    script.write_text(LOAD + "import os; print(os.environ.get('PYTHONPATH'), len(sys.path))\n")
    plain = python(script, archive, python=opted_python, PYTHONPATH="")
    served = python(script, archive, under=f"{RUN} --stats", python=opted_python, PYTHONPATH="")

    assert "1 missed" in served.stderr
    assert served.stdout == plain.stdout


@pytest.mark.slow
def test_stats_are_those_of_this_run_and_its_children(archive: Path, script: Path) -> None:
    """Other programs that load at the same time are not among them."""
    child = script.with_name("child.py")
    child.write_text(LOAD)
    script.write_text(
        LOAD + "import subprocess\n"
        f"subprocess.check_call([sys.executable, {str(child)!r}, sys.argv[1]])\n"
        "try: keras.models.load_model('nowhere.keras')\n"
        "except (ValueError, OSError): pass\n"
    )
    fastload.load_model(archive, keras="keras")
    told = python(script, archive, under=f"{RUN} --stats").stderr

    assert "fastload: all loads: 2 hits, 0 missed, 1 left to stock" in told
    assert f"fastload: {archive}: 2 hits, 0 missed, 0 left to stock" in told
    assert "fastload: bypass: " in told


@pytest.mark.parametrize("options", ["", " --stats"])
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("raise ValueError('x')", 1),
        ("import os; os._exit(7)", 7),
    ],
)
def test_the_exit_status_is_the_programs(
    options: str, ending: str, status: int, script: Path
) -> None:
    script.write_text(ending)
    done = python(script, under=RUN + options)

    assert done.returncode == status
    if "ValueError" in ending:
        plain = python(script).stderr
        assert done.stderr.startswith(plain)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_reaches_the_program(name: str, script: Path) -> None:
    script.write_text(
        "import signal, sys, time\n"
        "for name in ('SIGTERM', 'SIGINT'):\n"
        "    signal.signal(getattr(signal, name), lambda number, _: sys.exit(number))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, *f"{RUN} --stats".split(), str(script)],
        env=plain_environment() | {"PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if name == "SIGINT":  # a terminal sends it to all
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        process.communicate(timeout=30)

    assert process.returncode == getattr(signal, name)


def test_a_program_killed_by_a_signal_ends_as_in_a_shell(script: Path) -> None:
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    assert python(script, under=f"{RUN} --stats").returncode == 128 + 9
    assert python(script, under=RUN).returncode == -9


def test_the_next_sitecustomize_runs_too(script: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.customized = __name__")
    script.write_text(
        "import sys; print(sys.customized, sys.modules['sitecustomize'].__file__)\n"
        "print(any(type(finder).__name__ == 'Watch' for finder in sys.meta_path))"
    )
    path = os.pathsep.join([str(SRC), str(tmp_path)])
    told = python(script, under=RUN, PYTHONPATH=path)

    assert told.stdout == f"sitecustomize {tmp_path / 'sitecustomize.py'}\nTrue\n", told.stderr


@pytest.mark.slow
def test_disable_wins_and_is_told(archive: Path, script: Path) -> None:
    script.write_text(LOAD)
    done = python(script, archive, under=f"{RUN} --stats", FASTLOAD_DISABLE="1")

    assert "fastload: off: FASTLOAD_DISABLE is set" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX closes it")
def test_an_interpreter_without_standard_error_starts_where_fastload_is_gone(
    tmp_path: Path,
) -> None:
    """Python ends at once where `sitecustomize` raises and there is nowhere to say so."""
    (tmp_path / "fastload.py").write_text("raise ImportError('gone')")
    site = SRC / "fastload" / "hooks" / "bootstrap_site"
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "print(1)" 2>&-', sys.executable],
        env=plain_environment() | {"PYTHONPATH": os.pathsep.join([str(site), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "1\n")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"FASTLOAD_LOCK_TIMEOUT": "soon"}, "[FL000] ValueError: FASTLOAD_LOCK_TIMEOUT='soon'"),
        ({"FASTLOAD_CACHE_DIR": "~no_such_user/c"}, "[FL101] the cache folder '~no_such_user/c'"),
    ],
    ids=["variable", "folder"],
)
def test_the_exit_status_is_the_programs_without_statistics_too(
    environment: dict[str, str], told: str, script: Path
) -> None:
    script.write_text("raise SystemExit(3)")
    done = python(script, under=f"{RUN} --stats", **environment)

    assert done.returncode == 3
    assert done.stderr.startswith(f"fastload: no statistics: {told}")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX closes and redirects")
@pytest.mark.parametrize("where", [">&-", "2>&-", "2>/dev/full"])
@pytest.mark.parametrize("options", ["", "--stats "])
def test_the_exit_status_is_the_programs_where_nothing_can_be_told(
    options: str, where: str, script: Path
) -> None:
    """Neither what was told in vain changes it, as Python sees to at its end."""
    if "/dev/full" in where and not Path("/dev/full").exists():
        pytest.skip("Linux has one")
    script.write_text("raise SystemExit(3)")
    line = f'"$0" {RUN} {options}"$1" {where}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, script],
        env=plain_environment() | {"PYTHONPATH": str(SRC), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 3


def test_nothing_to_run_is_a_usage_error() -> None:
    done = python(under=RUN)

    assert done.returncode == 2
    assert "Usage: fastload run" in done.stderr
