"""No page for users has a figure that a person wrote: programs write what was measured.

What is between the markers of a program is its own. Every other number with a unit, count or cell
of a table has to be in the list below, with what it is; where it says what the code does, it is
compared with the code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastload import settings
from fastload.cache import eviction
from fastload.remote import fetching

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
    # Records say what was measured when something was decided, and how.
    if page.parent.name != "decisions"
]
#: What a program wrote: `<!-- name:begin (written by ...) -->`, or `<!-- name -->`.
WRITTEN = re.compile(
    r"<!-- ([\w -]+):begin \(written by [^\n]+\) -->\n.*?^<!-- \1:end -->$"
    r"|<!-- (\w+) -->\n.*?^<!-- end of \2 -->$",
    re.DOTALL | re.MULTILINE,
)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
#: In code, what is said behind a `#` is no code.
COMMENT = re.compile(r"^.*?[^\n&]\s# (?!prints: )(.*)$|^.*$", re.MULTILINE)
INLINE = re.compile(r"`[^`\n]*`|\]\([^)\n]*\)")
NUMBER = r"(?<![\w.#/-])\d[\d,]*(?:\.\d+)?"
UNIT = (
    r"(?:%|[µm]?s|[kKMG]i?B|bytes|(?:milli|micro)?seconds?|minutes?|hours?|"
    r"times(?= (?:as|faster|slower|smaller|larger|more|less|read)))"
)
COUNTED = r"(?:loads|models|tests|tries|inputs|faults|calls|symbols|modules|processes|runs|moments)"
FIGURE = re.compile(
    rf"{NUMBER} ?{UNIT}(?![\w-])"
    rf"|(?<![\w.,-])\d[\d,]*\d (?:\w+ )?{COUNTED}\b"
    r"|(?<=\| )[-+]?\d[\d,]*(?:\.\d+)?(?= \|)"
    r"|\b(?:tenth|hundredth|thousandth)s? of (?:a second|the time|stock)"
)

RECORDS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
#: Records whose figures are limits of the code: of files, proofs and addresses.
OF_LIMITS = {"0009", "0018", "0021"}

MIB = 2**20
PUBLISHED = "others published it; the page says who and where"
SETUP = "says how something is measured, and not what came of it"
PROMISE = "a limit that is promised, beside figures that keep it"

#: Page and figures: what they are, or whether the code says the same.
ALLOWED: dict[str, dict[str, str | bool]] = {
    "README.md": {"20 GiB": eviction.DEFAULT_LIMIT_BYTES == 20 * 1024 * MIB},
    "cache.md": {"20 GiB": eviction.DEFAULT_LIMIT_BYTES == 20 * 1024 * MIB},
    "usage.md": {"20 GiB": eviction.DEFAULT_LIMIT_BYTES == 20 * 1024 * MIB},
    "fleet.md": {
        "4 MiB": fetching.PART_BYTES == 4 * MIB,
        "10 s": settings.DEFAULT_REMOTE_TIMEOUT_S == 10,
    },
    "security.md": {
        "256 MiB": fetching.MOST_BESIDE_IN_ALL_BYTES == 256 * MIB,
    },
    "deepcell.md": dict.fromkeys(
        ["12.3", "0.84", "14.6", "8.99", "2.68", "3.4", "8.21", "2.72", "3.0"], PUBLISHED
    ),
    "lazy.md": {
        **dict.fromkeys(["2 GiB", "36 MiB", "64 MiB", "32 MiB", "128 MiB", "5 ms"], SETUP),
        "8 MiB": SETUP,
        "1.3 times": PROMISE,
    },
    "testing.md": {"16 processes": SETUP, "4 GiB": SETUP, "100 moments": SETUP},
}


def figures_of(text: str) -> list[str]:
    """Return the figures in a page that no program wrote."""
    prose = FENCED.sub(lambda code: "\n".join(COMMENT.findall(code[0])), WRITTEN.sub("", text))
    return FIGURE.findall(INLINE.sub("`", prose))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_figure_that_a_person_wrote(page: Path) -> None:
    """Have a program write it, link to where one does, or say here what it is."""
    known = ALLOWED.get(page.name, {})

    assert [each for each in figures_of(page.read_text("utf-8")) if not known.get(each)] == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_says_where_its_figures_come_from(record: Path) -> None:
    """They are of the day of the decision, and nobody takes them again."""
    text = record.read_text("utf-8")
    says = re.search(r"^Figures: taken .*\bcommits? [0-9a-f]{10}", text, re.MULTILINE)

    assert says or record.name[:4] in OF_LIMITS or not figures_of(text)


def test_what_is_listed_is_in_its_page() -> None:
    found = {page.name: set(figures_of(page.read_text("utf-8"))) for page in PAGES}

    for name, known in ALLOWED.items():
        assert set(known) <= found[name], name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it takes 0.3 s, or 40 minutes", ["0.3 s", "40 minutes"]),
        ("3.5 times faster, 12 % less", ["3.5 times", "12 %"]),
        ("1,668 loads; 71 published models", ["1,668 loads", "71 published models"]),
        ("| a row | 923 |", ["923"]),
        ("in hundredths of a second", ["hundredths of a second"]),
        ("```\nnox -s upstream    # 40 minutes\n```", ["40 minutes"]),
        ("```\nfastload run --budget 256 MiB\n```", []),
        ("`memory_budget=256 MiB`, TensorFlow 2.8 to 2.15, 3 ways, Keras 3 models", []),
        ("<!-- a:begin (written by b) -->\n| 1 |\n<!-- a:end -->", []),
        ("<!-- tried -->\n| 12 s |\n<!-- end of tried -->\n", []),
    ],
)
def test_a_figure_is_found_where_it_is_one(text: str, found: list[str]) -> None:
    assert figures_of(text) == found


def test_defaults_of_variables_are_those_of_the_code() -> None:
    """The table has them in brackets."""
    usage = (ROOT / "docs" / "usage.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `(FASTLOAD_\w+)` \|.*\((\d+)\) \|$", usage, re.MULTILINE))

    assert {name: float(value) for name, value in told.items()} == {
        "FASTLOAD_LOCK_TIMEOUT": settings.DEFAULT_LOCK_TIMEOUT_S,
        "FASTLOAD_REMOTE_TIMEOUT": settings.DEFAULT_REMOTE_TIMEOUT_S,
    }


def test_budgets_of_the_tests_are_those_that_are_held() -> None:
    told = re.findall(r"(?m)at most (\d+) \|$", (ROOT / "docs" / "testing.md").read_text())
    (minutes,) = re.findall(r"(?m)^TEST_MINUTES := (\d+)$", (ROOT / "Makefile").read_text())
    (budget,) = re.findall(r"(?m)^budget=(\d+)$", (ROOT / ".ci" / "run").read_text())

    assert told == [minutes, budget]
