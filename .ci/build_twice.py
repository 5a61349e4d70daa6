"""Build the wheel and the source archive in two folders, and compare their bytes.

    python .ci/build_twice.py FOLDER      leaves what was built in FOLDER

The second folder is a copy, whose files have other times and rights. All times in what is built are
SOURCE_DATE_EPOCH, or a date of ours. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOME_DAY = "1700000000"
#: What tools leave, and git's own.
NOT_COPIED = (".*cache", ".git", ".hypothesis", ".nox", ".venv", ".work", "__pycache__", "build")


def main() -> int:
    """Do it, and say what differs."""
    out = Path(sys.argv[1])
    epoch = os.environ.get("SOURCE_DATE_EPOCH", SOME_DAY)
    with tempfile.TemporaryDirectory() as other:
        copy = shutil.copytree(
            ROOT, Path(other, "copy"), ignore=_ignore, copy_function=shutil.copyfile
        )
        here, there = build(ROOT, out, epoch), build(copy, Path(other, "built"), epoch)
    differ = [name for name in sorted(here | there) if here.get(name) != there.get(name)]
    differ += [f"a time in {each.name}" for each in out.glob("*.whl") if not _is_of(each, epoch)]
    print("\n".join(f"differs: {each}" for each in differ) or "two builds are the same bytes")
    return int(bool(differ) or len(here) != len(("wheel", "source archive")))


def build(source: Path, out: Path, epoch: str) -> dict[str, bytes]:
    """Build the project at *source* into *out*; return the content of each file by name."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": epoch}
    shutil.rmtree(out, ignore_errors=True)
    # The wheel is built of the source archive, so that has all that it needs.
    command = ["uv", "build", "--quiet", "--out-dir", str(out), str(source)]
    subprocess.run(command, env=environment, check=True)
    return {each.name: each.read_bytes() for each in out.glob("tf_fastload-*")}


def _ignore(folder: str, names: list[str]) -> set[str]:
    return shutil.ignore_patterns(*NOT_COPIED)(folder, names)


def _is_of(wheel: Path, epoch: str) -> bool:
    """Say whether all in *wheel* is of that time, which zip archives keep to two seconds."""
    when = time.gmtime(int(epoch) - int(epoch) % 2)[:6]
    with zipfile.ZipFile(wheel) as archive:
        return {each.date_time for each in archive.infolist()} == {when}


if __name__ == "__main__":
    sys.exit(main())
