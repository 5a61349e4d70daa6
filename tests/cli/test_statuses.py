"""Exit statuses: those that docs/usage.md lists, and no others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli, Twins, damage
from .test_process import SRC, run

USAGE = Path(__file__).resolve().parents[2] / "docs" / "usage.md"
ROW = re.compile(r"^\| `(\d[^`]*)` \|", re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["ls"], 0),
        (["--version"], 0),
        (["bench", "--help"], 0),
        (["explain", "/no/such/model"], 0),
        (["info", "/no/such/model"], 1),
        (["bench", "/no/such/model"], 1),
        (["import", "/no/such/archive"], 2),
        (["bench"], 2),
        (["bench", "m.h5", "--rounds", "0"], 2),
        (["nonsense"], 2),
        ([], 2),
        (["run", "-c", "raise SystemExit(7)"], 7),
        (["run", "--stats", "-c", "import os; os.kill(os.getpid(), 9)"], 137),
    ],
    ids=lambda words: " ".join(map(str, words)) if isinstance(words, list) else str(words),
)
def test_a_command_ends_with_its_status(cache_root: Path, words: list[str], status: int) -> None:
    """Without a traceback, whatever it is."""
    done = run(*words)

    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr


def test_damage_is_status_1(twins: Twins) -> None:
    """And a document of what is damaged is printed all the same."""
    damage(twins.add("a" * 64))
    done = run("verify", "--all", "--json")

    assert done.returncode == 1
    assert '"intact": false' in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes with names, and signals, of POSIX")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["line", "json"])
def test_an_interrupt_is_status_130(cache_root: Path, tmp_path: Path, options: list[str]) -> None:
    """As shells expect of whatever Ctrl-C ended; other errors have a document too."""
    pipe = tmp_path / "twins.tar"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "fastload", "import", str(pipe), *options]
    with (
        subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": str(SRC)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        pipe.open("wb"),
    ):  # which waits until it is read
        process.send_signal(signal.SIGINT)
        out, line = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in out + line
    if options:
        assert json.loads(out) == {"error": {"code": "interrupted", "message": "Interrupted"}}
    else:
        assert (out, line.strip()) == ("", "Aborted.")


def test_the_page_lists_them() -> None:
    """Those of this command, and those that `run` passes on."""
    text = USAGE.read_text(encoding="utf-8").partition("### Exit statuses")[2]

    assert ROW.findall(text.partition("\n##")[0]) == ["0", "1", "2", "130", "128 + N"]


def test_the_list_of_verbs_is_not_cut_off(cli: Cli) -> None:
    """In a terminal of 80 columns, each verb is told in a whole sentence."""
    told = cli("--help").stdout.partition("Commands:\n")[2].splitlines()

    assert len(told) > 15
    assert [line for line in told if not line.endswith(".") or line.endswith("..")] == []
