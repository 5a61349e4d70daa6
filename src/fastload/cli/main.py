"""The command `fastload`: its verbs, and the one place where an error becomes an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import click

import fastload
from fastload.cli.bench import bench
from fastload.cli.completion import completion
from fastload.cli.doctor import doctor
from fastload.cli.estimate import estimate
from fastload.cli.explain import explain
from fastload.cli.export import export, import_
from fastload.cli.info import info
from fastload.cli.ls import ls
from fastload.cli.output import leave_unwritten, print_error, take_any_name
from fastload.cli.predict import predict
from fastload.cli.prune import prune
from fastload.cli.register import register
from fastload.cli.rm import rm
from fastload.cli.run import run
from fastload.cli.schema import schema
from fastload.cli.stats import stats
from fastload.cli.verify import verify
from fastload.cli.warm import warm
from fastload.settings import Settings

#: What shells give a program that Ctrl-C ended: 128 and the number of the signal.
_INTERRUPTED: Final = 130


class Commands(click.Group):
    """A group of verbs that ends in an exit status, whatever a verb raises."""

    def main(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run one verb; an error is one line, or one JSON document, and exit status 1, 2 or 130."""
        given = arguments[0] if arguments else options.pop("args", None)
        words = list(sys.argv[1:] if given is None else given)
        options["standalone_mode"] = False
        take_any_name(sys.stdout)
        try:
            sys.exit(self._status(words, options))
        finally:
            leave_unwritten(sys.stdout)

    def _status(self, words: Sequence[str], options: dict[str, Any]) -> int:
        """Run the verb and return the exit status."""
        try:
            return super().main(list(words), **options) or 0
        except click.Abort as error:
            return _ended(error.__context__, as_json="--json" in words)
        except BrokenPipeError:  # the reader closed the pipe
            return 1
        except click.ClickException as error:
            print_error(error, as_json="--json" in words)
            return error.exit_code
        except Exception as error:
            if _wants_traceback():
                raise
            print_error(error, as_json="--json" in words)
            return 1


def _ended(cause: BaseException | None, *, as_json: bool) -> int:
    """Tell that the user ended a verb, and return the exit status."""
    is_interrupt = isinstance(cause, KeyboardInterrupt)
    if cause is not None and is_interrupt and as_json:
        print_error(cause, as_json=True)
    else:
        click.echo("Aborted.", err=True)
    return _INTERRUPTED if is_interrupt else 1


def _wants_traceback() -> bool:
    with suppress(Exception):  # the error that is to be told is another one
        return Settings.from_env(os.environ).log_level == "DEBUG"
    return False


def _log_everything(_context: click.Context, _parameter: click.Parameter, given: bool) -> None:  # noqa: FBT001 - click calls it so
    """Have `--debug` set the variable, for modules and processes that read it later."""
    if given:
        os.environ["FASTLOAD_LOG"] = "debug"


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(fastload.__version__, prog_name="fastload", message="%(prog)s %(version)s")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_log_everything,
    help="Show tracebacks of errors, and all log messages (as FASTLOAD_LOG=debug does).",
)
def commands() -> None:
    """Manage the HDF5 twins that fastload opens TensorFlow and Keras models from."""


VERBS = (
    *(warm, run, predict, bench, ls, info, explain, estimate, verify),
    *(export, import_, rm, prune, stats, register, doctor, schema, completion),
)
for verb in VERBS:
    commands.add_command(verb)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process.

    Args:
        arguments: the words after the command's name; None for those of this process.

    Raises:
        SystemExit: always: 0 on success, 1 after an error or where damage was found, 2 where the
            words are not understood, 130 after Ctrl-C.
    """
    commands.main(arguments, prog_name="fastload")
