"""The site: what its hooks make of pages, and what a browser makes of the site."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="`make docs` installs what builds the site")

from mkdocs.config import load_config
from mkdocs.structure.files import File, get_files
from mkdocs.structure.pages import Page

import mkdocs_hooks

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
#: Has the page say how far it is wider than its window, and which part is.
MEASURE = """<script>
addEventListener("load", () => {
  const SCROLLS = ".md-typeset__scrollwrap, pre, code"
  const window_ = document.documentElement.clientWidth
  const wide = [...document.querySelectorAll(".md-content *")].filter(each =>
    each.getBoundingClientRect().right > window_ + 1 && !each.closest(SCROLLS))
  document.body.dataset.wide = wide.map(each => each.outerHTML.slice(0, 80)).join(" ")
  document.body.dataset.beyond = document.documentElement.scrollWidth - window_
})
</script>"""


def made_of(markdown: str, uri: str = "howto/new.md") -> str:
    """Return the Markdown that MkDocs is given for a page of docs/."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    files = get_files(config)
    page = Page(None, File(uri, config.docs_dir, config.site_dir, use_directory_urls=False), config)
    return str(config.plugins.on_page_markdown(markdown, page=page, config=config, files=files))


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("(../usage.md#predicting)", "(../usage.md#predicting)"),
        ("(../../README.md)", "(../index.md)"),
        ("(../../SECURITY.md)", "(../security_policy.md)"),
        ("(../decisions/)", "(../decisions/index.md)"),
        ("(../../tests/applications/location.py)", "(../files/tests/applications/location.py)"),
        ("(https://semver.org/)", "(https://semver.org/)"),
        ("(#below)", "(#below)"),
    ],
)
def test_links_lead_to_pages_of_the_site(link: str, becomes: str) -> None:
    assert made_of(f"see [it]{link}") == f"see [it]{becomes}"


def test_code_stays_as_it_is() -> None:
    code = "`a[0](../../README.md)`\n```python\nb[0](../../README.md)\n```\n"

    assert made_of(code) == code


def test_figures_are_those_of_the_readme() -> None:
    made = made_of("<!-- figures of README.md: benchmarks -->", "index.md")
    readme = (ROOT / "README.md").read_text()
    rows = [line for line in made.splitlines() if line.startswith("| ")]

    assert len(rows) == 7  # a heading, a ruler, five figures
    assert all(row in readme for row in rows)


@pytest.mark.parametrize("what", ["figures of README.md: none", "section of docs/usage.md: None"])
def test_what_is_nowhere_fails_the_build(what: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md|usage\.md"):
        made_of(f"<!-- {what} -->")


def test_each_error_has_an_entry() -> None:
    made = made_of((ROOT / "docs" / "errors.md").read_text(), "errors.md")

    assert "### FL101 {#fl101}\n\n`CacheUnwritableError`: " in made
    assert "| FL" not in made


def test_commands_are_told_with_their_options() -> None:
    made = made_of(mkdocs_hooks.COMMANDS)

    assert "## fastload warm\n" in made
    assert "\n| `--into DIRECTORY` | " in made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, of which every page measures itself."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for page in folder.rglob("*.html"):
        page.write_text(page.read_text().replace("</head>", f"{MEASURE}</head>"))
    return folder


def browse(page: Path, width: int, *options: str) -> str:
    """Return what a browser with a window of *width* makes of *page*."""
    # It may still write to its folder when it has ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={profile}", "--virtual-time-budget=4000"),
            *(f"--window-size={width},1600", *options, page.as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [500, 1280])
@pytest.mark.parametrize("name", ["index", "how_it_works", "why_not_faster", "reference/python"])
def test_a_page_fits_its_window(name: str, width: int, site: Path) -> None:
    made = browse(site / f"{name}.html", width, "--dump-dom")

    assert re.search(r'data-beyond="(-?\d+)"', made)[1] == "0"
    assert re.search(r'data-wide="([^"]*)"', made)[1] == ""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_home_is_drawn(site: Path, tmp_path: Path) -> None:
    picture = tmp_path / "home.png"
    browse(site / "index.html", 1280, f"--screenshot={picture}")

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 50_000  # a blank page has 10,000
