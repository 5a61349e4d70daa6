"""Completion: what a shell is told, and what it makes of it where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli

SRC = Path(__file__).resolve().parents[2] / "src"
SHELLS = ("bash", "zsh", "fish")
#: As bash would call it: what follows is printed, a word a line.
ASKED_BY_BASH = """
eval "$(fastload completion bash)"
COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { echo "option" "$@"; }
$(complete -p fastload | sed 's/.*-F \\([^ ]*\\).*/\\1/') fastload
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Put a command `fastload` of this checkout into a folder of its own."""
    path = tmp_path / "fastload"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{SRC}" exec "{sys.executable}" -m fastload "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script(cli: Cli, shell: str) -> None:
    """Which asks the command itself, so that it knows every verb and option."""
    result = cli("completion", shell)

    assert result.exit_code == 0
    assert f"_FASTLOAD_COMPLETE={shell}_complete" in result.stdout


def test_no_other_shell_has_one(cli: Cli) -> None:
    assert cli("completion", "csh").exit_code == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_reads(cli: Cli, shell: str, tmp_path: Path) -> None:
    """Where the shell is installed."""
    found = shutil.which(shell) or pytest.skip(f"no {shell} is installed")
    script = tmp_path / "script"
    script.write_text(cli("completion", shell).stdout)
    done = subprocess.run([found, "-n", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fastload ben", ["bench"]),
        ("fastload bench --prof", ["--profile"]),
        ("fastload completion f", ["fish"]),
        ("fastload bench --function load_p", ["load_predictor"]),
        ("fastload bench /some/where", ["option -o default", ""]),
    ],
)
def test_bash_completes_verbs_options_values_and_files(
    command: Path, line: str, expected: list[str]
) -> None:
    bash = shutil.which("bash") or pytest.skip("no bash is installed")
    done = subprocess.run(
        [bash, "--norc", "-c", ASKED_BY_BASH, "bash", line],
        env={**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split("\n")[:-1] == expected, done.stderr
