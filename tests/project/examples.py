"""Examples in the pages: read from Markdown, and run as somebody would who reads from the top.

A comment before a block says what a reader cannot see in it:

    <!-- test: slow -->           it starts processes that import TensorFlow
    <!-- test: no, WHY -->        it cannot be run here
    <!-- file: app.py -->         it is the content of a file, for what comes after

In `console` blocks, lines after a command are what it prints, with `...` for what differs. In
`python` blocks, a comment `# prints: ...` behind a `print` does that.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"(?:^<!-- (?P<what>test|file): (?P<about>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
PRINTS = re.compile(r"^print\(.*\)  # prints: (.+)$", re.MULTILINE)
#: TensorFlow's own log differs from machine to machine.
LOG = re.compile(
    r"^(?:WARNING: All log messages before|To enable the following|[IWE]\d{4} \d\d).*\n",
    re.MULTILINE,
)
AS_IN_DOCTESTS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: IPython reads the block as a cell each line.
IN_IPYTHON = """
import sys
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
for line in sys.argv[1].splitlines():
    result = shell.run_cell(line)
    result.raise_error()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A block of code in a page.

    Attributes:
        page: its path.
        line: where in the page the code begins.
        language: what stands behind the opening fence.
        text: the code.
        test: `slow`, `no, WHY` or nothing.
        file: the file that it is the content of, or nothing.
        section: the heading that it stands under, or nothing.
    """

    page: Path
    line: int
    language: str
    text: str
    test: str = ""
    file: str = ""
    section: str = ""

    @property
    def is_slow(self) -> bool:
        return self.test == "slow"

    @property
    def is_left_out(self) -> bool:
        return self.test.startswith("no, ")

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def examples_of(page: Path) -> Iterator[Example]:
    """Yield the examples of a page, from its top to its bottom."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        what = {found["what"]: found["about"]} if found["what"] else {}
        line = text.count("\n", 0, found.start("text")) + 1
        (section,) = HEADING.findall(text, 0, found.start())[-1:] or [""]
        code = {"language": found["language"], "text": found["text"], "section": section}
        yield Example(page=page, line=line, **code, **what)


class Reader:
    """Somebody who does what a page says, in the working folder, and compares what comes of it."""

    def __init__(self, **names: Any) -> None:
        """Begin with *names*: what a page takes for granted that a reader has."""
        self._names: dict[str, Any] = {"__name__": "__page__", **names}

    def follow(self, example: Example) -> None:
        """Run *example*; what it defines is there for those that follow."""
        if example.file:
            Path(example.file).write_text(example.text, encoding="utf-8")
        elif example.language == "python":
            self.run_python(example)
        elif example.language == "console":
            for command, expected in COMMAND.findall(example.text):
                printed = self.run(["bash", "-c", command])
                compare(f"{example}: {command}", expected, printed)
        elif example.language == "ipython":
            self.run([sys.executable, "-c", IN_IPYTHON, example.text])
        else:
            raise AssertionError(f"{example}: say why {example.language} is not run")

    def run_python(self, example: Example) -> None:
        """Run a block of Python, and compare what it prints."""
        printed = io.StringIO()
        # With the lines of the page in tracebacks.
        code = compile("\n" * (example.line - 1) + example.text, example.page, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, self._names)
        compare_prints(example, printed.getvalue())

    def run(self, command: Sequence[str]) -> str:
        """Return what *command* printed, on both streams."""
        found = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return run(command, os.environ | {"PATH": found})


def compare_prints(example: Example, printed: str) -> None:
    """Fail where the comments of a block of Python say that something else is printed."""
    expected = PRINTS.findall(example.text)
    if expected:
        compare(str(example), "\n".join(expected), printed)


def compare(what: str, expected: str, printed: str) -> None:
    """Fail where *printed* is not as *expected*, which may say nothing at all."""
    matches = doctest.OutputChecker().check_output(f"{expected.strip()}\n", printed, AS_IN_DOCTESTS)
    assert not expected.strip() or matches, f"{what} printed:\n{printed}"


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> str:
    """Return what *command* printed, on both streams, without TensorFlow's log."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}: {done.stdout[-3000:]}"
    return f"{LOG.sub('', done.stdout).strip()}\n"
