"""`run`: a program as `python` would run it, with its loads served."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from fastload import hooks
from fastload.cache import stats as load_stats
from fastload.cache.stats import Statistics, Tally
from fastload.cli.selection import located_cache
from fastload.cli.units import counted, shown_seconds
from fastload.flags import DISABLE, OPT_IN, flag

#: What the distribution brings for the start of Python; see `hooks.bootstrap`.
PTH_NAME: Final = "tf-fastload.pth"
_SITE: Final = Path(hooks.__file__).parent / "bootstrap_site"
#: A shell adds this to the number of the signal that ended a command.
_SIGNALLED: Final = 128


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--stats", is_flag=True, help="Afterwards, say on standard error what loads did.")
@click.argument("words", metavar="SCRIPT|-m MODULE|-c CODE [ARGUMENT]...", nargs=-1, required=True)
def run(words: Sequence[str], *, stats: bool) -> None:
    """Run a program, with every load of a model served by fastload.

    What stands after `run` is what would stand after `python`. Processes that the program starts
    are served too.
    """
    command = [sys.executable, *words]
    environment = {**os.environ, **_opt_in(os.environ)}
    if stats:
        sys.exit(_run_counted(command, environment))
    if os.name == "nt":  # there, `exec` would return to the shell before the program ends
        sys.exit(_status(command, environment))
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
    """Return the variables that switch fastload on for a program."""
    chosen = {OPT_IN: "1"}
    if find_pth() is None:  # `pip install --target`, a checkout: nothing there reads `.pth` files
        path = environment.get("PYTHONPATH")
        chosen["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_SITE), path)))
    return chosen


def _run_counted(command: Sequence[str], environment: Mapping[str, str]) -> int:
    name = uuid.uuid4().hex
    status = _status(command, {**environment, "FASTLOAD_RUN": name})
    off = flag(environment, DISABLE)
    _tell("off: FASTLOAD_DISABLE is set" if off else "", load_stats.read(located_cache(), name))
    return status


def _status(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run *command* and return its exit status; signals are its own business."""
    with subprocess.Popen(command, env=dict(environment)) as child:  # noqa: S603 - as the user asked
        # An interrupt from the terminal reaches both; the program says what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        status = child.wait()
    return status if status >= 0 else _SIGNALLED - status


def _tell(remark: str, told: Statistics) -> None:
    """Print what the loads of a run did, where it does not mix with what the program printed."""
    lines = [remark or _line("all loads", told.total)]
    if len(told.by_path) > 1 or told.total.bypasses:
        lines += [_line(path, tally) for path, tally in told.by_path.items()]
        lines += [f"bypass: {reason} ({count})" for reason, count in told.by_reason.items()]
    for line in lines:
        click.echo(f"fastload: {line}", err=True)


def _line(what: str, tally: Tally) -> str:
    return (
        f"{what}: {counted(tally.hits, 'hit')}, {tally.misses} missed, "
        f"{tally.bypasses} left to stock, {shown_seconds(tally.seconds)}, "
        f"{shown_seconds(tally.seconds_saved)} saved"
    )
