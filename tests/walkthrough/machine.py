"""A machine with a Python and a checkout of this project, and a newcomer who sits down at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.layers.other_user import as_nobody
from tests.project.examples import Example, Reader, compare_prints, run

ROOT = Path(__file__).parents[2]
#: What a machine's owner has set so that pip finds an index; the rest of the environment is left.
OF_THE_NETWORK = re.compile(r"PIP_|SSL_|REQUESTS_|CURL_|https?_proxy|no_proxy", re.IGNORECASE)
INSTRUCTION = re.compile(r"^([A-Z]+) (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Folders of a machine; all but the Python and the checkout are empty at first.

    Attributes:
        root: where all of it lies; everybody may look into it.
        user: whose home folder it has.
    """

    root: Path
    user: str = "ada"

    @classmethod
    def made_in(cls, root: Path) -> Machine:
        """Make an environment of the Python that runs this, with pip alone, and a checkout."""
        machine = cls(root=root)
        machine.home.mkdir(parents=True)
        venv.create(machine.prefix, with_pip=True, symlinks=True)
        for name in _tracked():
            target = machine.checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
        return machine

    def of(self, user: str) -> Machine:
        """Return the same machine as another user has it, whose home is empty too."""
        other = replace(self, user=user)
        other.home.mkdir()
        return other

    @property
    def home(self) -> Path:
        return self.root / "home" / self.user

    @property
    def prefix(self) -> Path:
        return self.root / "environment"

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def packages(self) -> Path:
        (found,) = self.prefix.glob("lib/python*/site-packages")
        return found

    @property
    def environment(self) -> dict[str, str]:
        """All variables of its processes."""
        found = {name: value for name, value in os.environ.items() if OF_THE_NETWORK.match(name)}
        settings = Path.home() / ".config" / "pip" / "pip.conf"
        # pip's own files are no business of this walk.
        found |= {"PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip")}
        found |= {"PIP_CONFIG_FILE": str(settings)} if settings.exists() else {}
        path = os.pathsep.join([str(self.prefix / "bin"), "/usr/bin", "/bin"])
        return found | {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8"}

    def left_in_home(self) -> set[str]:
        """Return what lies in the home folder, by name."""
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*")}


def _tracked() -> list[str]:
    """Return the files of the project by name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


class Newcomer(Reader):
    """A reader at such a machine: every block of Python is a program of its own."""

    def __init__(self, machine: Machine, **renamed: str) -> None:
        """Sit down, with own files *renamed* where the page has others, by their stems."""
        super().__init__()
        self._machine = machine
        self._renamed = renamed

    def follow(self, example: Example) -> None:
        """Run *example*, on the reader's own files."""
        text = example.text
        for name, own in self._renamed.items():
            text = re.sub(rf"\b{name}\b", own, text)
        super().follow(replace(example, text=text))

    def run_python(self, example: Example) -> None:
        """Run the block as a file."""
        program = self._machine.root / "block.py"
        program.write_text(example.text, encoding="utf-8")
        compare_prints(example, self.run(["python", str(program)]))

    def run(self, command: Sequence[str]) -> str:
        """Return what *command* printed at that machine, on both streams."""
        return run(command, self._machine.environment)


class Image:
    """What a Dockerfile makes, in a folder that stands for the root of its file system."""

    def __init__(self, machine: Machine) -> None:
        """Begin with the Python, and with what is installed for it."""
        self._machine = machine
        self.root = machine.root / "image"
        self.root.mkdir()
        self._variables: dict[str, str] = {}
        self._command: list[str] = []
        self.user = 0

    def build(self, dockerfile: str) -> None:
        """Take the steps of *dockerfile*."""
        for word, rest in INSTRUCTION.findall(dockerfile):
            getattr(self, f"_{word.lower()}")(rest)

    def start(self) -> str:
        """Run its command as its user, without a home, where nothing can be written."""
        found = as_nobody(
            self._command,
            {"PATH": self._machine.environment["PATH"], **self._variables},
            shown=[Path(sys.base_prefix), self.root, self._machine.prefix],
            read_only=[self.root, Path("/tmp")],
        )
        assert found.returncode == 0, found.stderr[-3000:]
        return found.stdout

    def placed(self, text: str) -> str:
        """Return *text* with the paths of the image where they lie here."""
        return re.sub(r"(?<![\w/.])/(?=opt/|app\.py)", f"{self.root}/", text)

    def _from(self, image: str) -> None:
        assert image.startswith("python:")

    def _run(self, command: str) -> None:
        if command == 'pip install "tf-fastload[tensorflow]"':
            return  # it was installed from the checkout: it may not be on an index yet
        # As root in a build: the folder that it makes is for others to read.
        run(["bash", "-c", self.placed(command)], self._environment())

    def _copy(self, paths: str) -> None:
        source, target = paths.split()
        place = Path(self.placed(target))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(source).read_bytes())

    def _env(self, setting: str) -> None:
        name, value = setting.split("=")
        self._variables[name] = self.placed(value)

    def _user(self, user: str) -> None:
        self.user = int(user)

    def _cmd(self, words: str) -> None:
        self._command = [self.placed(word) for word in json.loads(words)]

    def _environment(self) -> Mapping[str, str]:
        return self._machine.environment | self._variables


def section_of(examples: Iterator[Example], title: str) -> list[Example]:
    """Return the examples under the heading *title*, of which there must be one."""
    found = [each for each in examples if each.section == title]
    assert found, f"no example stands under {title!r}"
    return found
