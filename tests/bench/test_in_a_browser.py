"""The page in headless Chromium, as wide as a phone and as a screen: nothing overflows.

Skipped where no browser is installed; `nox -s pages` says so as a failure.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from fastload.bench.page import page

from .made_up import everything

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = {"phone": 360, "screen": 1280}
#: A frame of that width, for windows of browsers have a least width; and what looks at the page.
FRAME = """<!DOCTYPE html><meta charset="utf-8">
<style>body {{ margin: 0 }} iframe {{ border: 0; width: {width}px; height: 5000px }}</style>
<iframe srcdoc="{page}"></iframe><pre id="found"></pre>
<script>
const frame = document.querySelector("iframe");
const told = (node) => (node.tagName + " " + node.textContent).slice(0, 80);
frame.onload = () => {{
  const page = frame.contentDocument, width = page.documentElement.clientWidth;
  const parts = [...page.body.querySelectorAll("*")];
  const edge = page.querySelector("h1").getBoundingClientRect().right;
  const wide = parts.filter((node) => node.getBoundingClientRect().right > edge + 0.5);
  const cut = [...page.querySelectorAll("svg text")].filter((node) => {{
    const text = node.getBoundingClientRect(), svg = node.closest("svg").getBoundingClientRect();
    return text.left < svg.left || text.right > svg.right || text.top < svg.top;
  }});
  const small = [...page.querySelectorAll("p, td, th, span, li, svg text")].filter((node) => {{
    const box = node.getBoundingClientRect(), size = parseFloat(getComputedStyle(node).fontSize);
    const svg = node.closest("svg.lines");
    const scale = svg ? svg.getBoundingClientRect().width / 360 : 1;
    return box.width > 0 && size * scale < 9;
  }});
  document.getElementById("found").textContent = JSON.stringify({{
    width, scrolls: page.documentElement.scrollWidth, count: parts.length,
    wide: wide.map(told), cut: cut.map(told), small: small.map(told),
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and "BENCH_NEEDS_A_BROWSER" in os.environ:
        pytest.fail("no Chromium is installed")
    return found or pytest.skip("no Chromium is installed")


def look(browser: str, address: str, *options: str) -> str:
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    done = subprocess.run(
        [*command, *options, address], capture_output=True, text=True, check=True, timeout=240
    )
    return done.stdout


def framed(folder: Path, text: str, width: int) -> str:
    """Write a page with *text*, a page too, in a frame of that width; return its address."""
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width, page=escape(text)), encoding="utf-8")
    return frame.as_uri()


def seen(browser: str, folder: Path, text: str, width: int) -> dict[str, Any]:
    """Return what the browser makes of a page of that width."""
    address = framed(folder, text, width)
    dom = look(browser, address, "--virtual-time-budget=5000", "--dump-dom")
    told = re.search(r'<pre id="found">(.+?)</pre>', dom, re.DOTALL)
    assert told is not None
    found: dict[str, Any] = json.loads(unescape(told[1]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_overflows(browser: str, width: int, tmp_path: Path) -> None:
    """Neither the page nor a word in a chart; and no text is too small to read."""
    found = seen(browser, tmp_path, page(everything()), width)

    assert found["width"] == width
    assert found["count"] > 300
    assert found["scrolls"] == width
    assert (found["wide"], found["cut"], found["small"]) == ([], [], [])


@pytest.mark.slow
def test_what_overflows_is_seen(browser: str, tmp_path: Path) -> None:
    """A part that is too wide, a word beyond its chart, and tiny print."""
    text = page(everything())
    wide = text.replace("<h2>", '<p style="width: 500px">wide</p><h2>', 1)
    cut = text.replace('text-anchor="start" x="52.0"', 'text-anchor="start" x="340"', 1)
    small = text.replace("<h2>", '<p style="font-size: 8px">small</p><h2>', 1)
    phone = WIDTHS["phone"]

    assert seen(browser, tmp_path, wide, phone)["wide"] == ["P wide"]
    assert seen(browser, tmp_path, cut, phone)["cut"] == ["text 0 loads"]
    assert seen(browser, tmp_path, small, phone)["small"] == ["P small"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["light", "dark", "phone"])
def test_a_screenshot_can_be_taken(browser: str, what: str, tmp_path: Path) -> None:
    """Of the size that was asked for; BENCH_SCREENSHOTS keeps it, for a look."""
    document, folder = tmp_path / "report.html", os.environ.get("BENCH_SCREENSHOTS")
    document.write_text(page(everything()), encoding="utf-8")
    picture = Path(folder or tmp_path).absolute() / f"report-{what}.png"
    address, width = document.as_uri(), WIDTHS["screen"]
    if what == "phone":
        address, width = framed(tmp_path, page(everything()), WIDTHS["phone"]), 600
    darkly = ("--blink-settings=preferredColorScheme=0",) if what == "dark" else ()
    options = (f"--window-size={width},3000", f"--screenshot={picture}", *darkly)
    look(browser, address, *options)
    content = picture.read_bytes()

    assert content.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(content[16:20], "big") == width
    assert len(content) > 50_000  # an empty page compresses to less
