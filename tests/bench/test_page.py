"""The page of a measurement: well-formed, self-contained, every figure with its unit."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from fastload.bench.page import page

from .made_up import LATER_PHASES, bench, comparison, everything, timing

DOCTYPE = "<!DOCTYPE html>\n"
#: A number with its unit, or the dash of what there is none of.
FIGURE = re.compile(r"\d+(\.\d+)? (s|ms|B|KiB|MiB|GiB|times|loads)|-")
#: What would make a page ask the network, or run something.
OUTSIDE = re.compile(
    r"https?:|//|@import|url\(|src=|href=|<script|<link|<iframe|\son\w+=", re.IGNORECASE
)


@pytest.fixture(scope="module")
def text() -> str:
    return page(everything())


@pytest.fixture(scope="module")
def tree(text: str) -> ET.Element:
    return ET.fromstring(text.removeprefix(DOCTYPE))


def test_it_is_well_formed(tree: ET.Element) -> None:
    """And what a model is called is text, not markup."""
    assert tree.tag == "html"
    assert tree.findall(".//b") == []
    assert "<b>a & b</b>" in "".join(tree.itertext())


def test_it_is_self_contained(text: str) -> None:
    """Nothing is fetched and nothing runs: a page can be sent, and read without a network."""
    assert OUTSIDE.findall(text) == []


def test_every_figure_has_a_unit(tree: ET.Element) -> None:
    """In tables, keys of charts, and charts."""
    figures = ["".join(each.itertext()) for each in tree.findall(".//*[@class='figure']")]

    assert len(figures) > 100
    assert [each for each in figures if not FIGURE.fullmatch(each)] == []


def test_no_number_stands_outside_of_figures_in_tables(tree: ET.Element) -> None:
    """Each cell with a digit is one, but for the facts of the machine."""
    for table in tree.findall(".//table"):
        if table.get("class") == "facts":
            continue
        for cell in table.findall(".//td"):
            has_digits = re.search(r"\d", "".join(cell.itertext()))
            assert cell.get("class") == "figure" or not has_digits


def test_each_chart_says_what_it_shows(tree: ET.Element) -> None:
    """To a screen reader too."""
    titles = [each.get("aria-label") for each in tree.findall(".//figure")]
    drawings = [
        each.get("aria-label") for each in tree.findall(".//svg") if not each.get("aria-hidden")
    ]

    assert set(titles) == {
        "Where the time of a load goes",
        "A process, from its start to its end",
        "Most memory of a process",
        "All loads so far, in seconds",
    }
    assert all(drawings)


def test_the_parts_of_a_bar_are_as_long_as_what_they_stand_for(tree: ET.Element) -> None:
    """The longest bar of a chart is as wide as the page."""
    for chart in tree.findall(".//figure"):
        ends = [
            max(float(part.get("x", 0)) + float(part.get("width", 0)) for part in bar)
            for bar in chart.findall(".//div[@class='bar']/svg")
        ]
        assert not ends or max(ends) == pytest.approx(100, abs=0.01)


def test_lines_cross_where_the_first_load_is_paid_back() -> None:
    """After four loads here: stock's line is above ours from there on."""
    found = comparison(stock_s=1.0, first_s=2.5, later_s=0.5)
    text = page(bench(found)).removeprefix(DOCTYPE)
    tree = ET.fromstring(text)
    stock, ours = (
        [tuple(map(float, place.split(","))) for place in line.get("points", "").split()]
        for line in tree.findall(".//polyline")
    )
    mark = tree.find(".//line[@class='mark']")
    assert mark is not None
    x = float(mark.get("x1", 0))

    def height(points: list[tuple[float, ...]], at: float) -> float:
        (x1, y1), (x2, y2) = points[-2:]
        return y1 + (y2 - y1) * (at - x1) / (x2 - x1)

    assert "paid back after 4 loads" in "".join(tree.itertext())
    assert height(ours, x) == pytest.approx(height(stock, x), abs=0.2)  # down is larger


@pytest.mark.parametrize("shown", [0.02, 1.0])
def test_it_says_plainly_that_fastload_brings_nothing(shown: float) -> None:
    """In the colour that says so."""
    stock, later = timing(shown, 4.0), timing(shown, 3.9, phases=LATER_PHASES)
    text = page(bench(comparison(stock=stock, later=later)))

    assert 'class="verdict none"' in text
    assert "fastload brings nothing for this model" in text


def test_what_brings_something_has_another_colour() -> None:
    assert 'class="verdict"' in page(bench(comparison()))
