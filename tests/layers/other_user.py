"""Programs run as another user, without a home, who may see some folders read-only.

Takes root. What root alone can look into (a Python under `/root`) is shown to the other user in a
mount namespace of its own, as are read-only mounts; nothing outside of it changes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.conftest import SRC

NOBODY = 65534
_TOOLS = ("unshare", "setpriv", "mount")


def why_not() -> str | None:
    """Return why nothing can be run as another user here; None if it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "only root can run a program as another user"
    if any(shutil.which(tool) is None for tool in _TOOLS):
        return f"{', '.join(_TOOLS)} are needed"
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine makes no mount namespaces"


def run_as_nobody(
    program: str, *arguments: object, read_only: Iterable[Path] = (), **environment: str
) -> str:
    """Run a program text as uid 65534 without a home; return what it printed.

    Args:
        program: the text.
        *arguments: what it finds in `sys.argv`.
        read_only: folders that are mounted read-only.
        **environment: all variables that it has, besides those that find its modules.
    """
    known = {"PYTHONPATH": str(SRC), "PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = as_nobody(command, known | environment, shown=_needed(), read_only=read_only)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def as_nobody(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    shown: Iterable[Path],
    read_only: Iterable[Path] = (),
) -> subprocess.CompletedProcess[str]:
    """Run *command* as uid 65534 in `/`, with *environment* and no other variable.

    Args:
        command: what to run.
        environment: all variables that it has.
        shown: folders that it needs, also where root alone can look into those above them.
        read_only: folders that are mounted read-only.
    """
    user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    mounts = [*_shown(shown), *(line for path in read_only for line in _read_only(path))]
    script = "\n".join(["set -e", *mounts, f"exec {shlex.join(['setpriv', *user, *command])}"])
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def _needed() -> Sequence[Path]:
    """Return the folders that a Python needs to run fastload."""
    libraries = sysconfig.get_paths()["purelib"]
    return [Path(sys.base_prefix), Path(sys.prefix), Path(libraries), SRC]


def _shown(paths: Iterable[Path]) -> Iterator[str]:
    """Yield lines that show *paths* where other users cannot reach them, and nothing beside."""
    hidden = {path.resolve(): parent for path in paths if (parent := _hidden(path.resolve()))}
    for number, parent in enumerate(sorted(set(hidden.values()))):
        stash = f"/tmp/fastload-shown-{os.getpid()}-{number}"
        yield f"mkdir -p {stash} && mount --rbind {shlex.quote(str(parent))} {stash}"
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(parent))}"
        for path in (path for path, under in hidden.items() if under == parent):
            target = shlex.quote(str(path))
            source = shlex.quote(f"{stash}/{path.relative_to(parent)}")
            yield f"mkdir -p {target} && mount --rbind {source} {target}"
        yield f"umount -l {stash} && rmdir {stash}"


def _hidden(path: Path) -> Path | None:
    """Return the first folder on the way to *path* that others cannot enter."""
    ways = [*reversed(path.parents), path]
    return next((way for way in ways if not way.stat().st_mode & 0o001), None)


def _read_only(path: Path) -> Iterator[str]:
    target = shlex.quote(str(path))
    yield f"mount --bind {target} {target}"
    yield f"mount -o remount,bind,ro {target}"
