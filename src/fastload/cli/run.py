"""`run`: run a program as `python` would, with its loads served by fastload."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from fastload import hooks, system
from fastload.cache import stats as load_stats
from fastload.cache.stats import Statistics, Tally
from fastload.cli.output import counted, described, leave_unwritten, line_of, shown_seconds
from fastload.cli.selection import located_cache
from fastload.flags import DISABLE, OPT_IN, flag

#: The file of the distribution that Python reads at its start; see `hooks.bootstrap`.
PTH_NAME: Final = "tf-fastload.pth"
_SITE: Final = Path(hooks.__file__).parent / "bootstrap_site"
#: A shell's exit status of a command that a signal ended is the signal's number plus this.
_SIGNALLED: Final = 128


@click.command(
    short_help="Run a program with every load served.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--stats", is_flag=True, help="When it ends, report its loads on standard error.")
@click.argument("words", metavar="SCRIPT|-m MODULE|-c CODE [ARGUMENT]...", nargs=-1, required=True)
def run(words: Sequence[str], *, stats: bool) -> None:
    """Run a program, with every load of a model served by fastload.

    After `run`, write what you would write after `python`. Processes that the program starts are
    served too.
    """
    command = [sys.executable, *words]
    environment = {**os.environ, **_opt_in(os.environ)}
    if stats:
        sys.exit(_run_counted(command, environment))
    if system.IS_WINDOWS:  # `exec` on Windows returns to the shell before the program ends
        sys.exit(_status(command, environment))
    if sys.stdout is not None:
        sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - as the user asked


def find_pth() -> Path | None:
    """Return the `.pth` file of fastload that this Python reads at its start, if it reads one."""
    folders = [
        *site.getsitepackages(),
        *([site.getusersitepackages()] if site.ENABLE_USER_SITE else []),
    ]
    files = (Path(folder, PTH_NAME) for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _opt_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that switch fastload on in a program."""
    variables = {OPT_IN: "1"}
    if find_pth() is None:  # in a checkout or `pip install --target`, Python reads no `.pth` files
        path = environment.get("PYTHONPATH")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_SITE), path)))
    return variables


def _run_counted(command: Sequence[str], environment: Mapping[str, str]) -> int:
    name = uuid.uuid4().hex
    status = _status(command, {**environment, "FASTLOAD_RUN": name})
    with suppress(Exception):  # who asked for the program's status gets it, whatever is told
        for line in _lines(name, environment):
            # On standard error, apart from what the program prints.
            click.echo(f"fastload: {line}", err=True)
    leave_unwritten(sys.stderr)
    return status


def _lines(name: str, environment: Mapping[str, str]) -> list[str]:
    """Return what the loads of the run called *name* did, or why that is not known."""
    try:
        found = load_stats.read(located_cache(), name)
        return [*_text(found, is_off=flag(environment, DISABLE))]
    except Exception as error:  # noqa: BLE001 - the program has ended, with a status of its own
        return [f"no statistics: {line_of(described(error))}"]


def _status(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run *command* and return its exit status; signals are passed on to it."""
    with subprocess.Popen(command, env=dict(environment)) as child:  # noqa: S603 - as the user asked
        # An interrupt from the terminal reaches both processes; the program decides what it does.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        status = child.wait()
    return status if status >= 0 else _SIGNALLED - status


def _text(found: Statistics, *, is_off: bool) -> Iterator[str]:
    """Yield what the loads of a run did."""
    yield "off: FASTLOAD_DISABLE is set" if is_off else _tally_line("all loads", found.total)
    if len(found.by_path) > 1 or found.total.bypasses:
        yield from (_tally_line(path, tally) for path, tally in found.by_path.items())
        yield from (f"bypass: {reason} ({count})" for reason, count in found.by_reason.items())


def _tally_line(what: str, tally: Tally) -> str:
    return (
        f"{what}: {counted(tally.hits, 'hit')}, {tally.misses} missed, "
        f"{tally.bypasses} left to stock, {shown_seconds(tally.seconds)}, "
        f"{shown_seconds(tally.seconds_saved)} saved"
    )
