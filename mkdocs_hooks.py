"""What MkDocs does not do by itself to make a site of `docs/`; mkdocs.yml names this file.

The pages are read on GitHub too, so they link to files of the repository by their paths. Here such
links lead to the page that the file is on the site, or to a copy of the file. What is written
elsewhere, by a script, is taken from there.
"""

from __future__ import annotations

import html
import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import fastload
from fastload.cli.main import commands

ROOT = Path(__file__).parent
DECISIONS = "decisions/index.md"
#: Pages of the site that lie outside of docs/: where on the site, and where here.
OUTSIDE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security_policy.md": "SECURITY.md",
    "benchmarking.md": "benchmarks/README.md",
}
ON_SITE = {
    **{path: uri for uri, path in OUTSIDE.items()},
    "README.md": "index.md",
    "docs/decisions": DECISIONS,
}
#: Code, which stays as it is; or the target of a link or an image.
LINK = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]*`)|\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)",
    re.MULTILINE | re.DOTALL,
)
#: `<!-- figures of README.md: benchmarks -->`: what a script wrote there, between its markers.
FIGURES = re.compile(r"^<!-- figures of (\S+): (.+) -->$", re.MULTILINE)
#: `<!-- section of docs/usage.md: Environment variables -->`: what stands under a heading there.
SECTION = re.compile(r"^<!-- section of (\S+): (.+) -->$", re.MULTILINE)
PLACED_NAME = re.compile(r"^::: fastload\.(\w+)$", re.MULTILINE)
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
#: The help of every verb.
COMMANDS = "<!-- every command -->"
#: The public names that a page does not place itself.
OTHER_NAMES = "<!-- every other public name -->"
#: A drawing that is alone in its line stands in the page itself, and so has the page's colours.
DRAWING = re.compile(r"^!\[([^\]]*)\]\(((?:\.\./)*assets/\w+\.svg)\)$", re.MULTILINE)
#: The cells of a row, and the heading, of a table in docs/errors.md.
ERROR_ROW = re.compile(r"^\| (FL\d{3}) \| (`\w+`) \|" + r" (.+?) \|" * 4 + "$", re.MULTILINE)
ERROR_HEADING = re.compile(r"^\| code \| class \|.*\n\|[-| ]+\|\n", re.MULTILINE)


class Examples(griffe.Extension):
    """Has docstrings show their example as code, by the name that Griffe knows it by."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section; docstrings are parsed later."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub("Examples:", obj.docstring.value)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision record into the navigation, where mkdocs.yml has their folder."""
    records = [path.relative_to(ROOT / "docs").as_posix() for path in _records()]
    config.nav = _with_records(config.nav, [DECISIONS, *records])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, and a list of the decision records."""
    for uri, path in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, DECISIONS, content=_list_of_records()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that lead somewhere, and with what is written elsewhere."""
    uri = page.file.src_uri
    here = OUTSIDE.get(uri, f"docs/{uri}")

    def linked(text: str, origin: str) -> str:
        return LINK.sub(lambda link: _link(link, origin, uri, files, config), text)

    if here == "docs/errors.md":
        markdown = ERROR_ROW.sub(_error, ERROR_HEADING.sub("", markdown))
    markdown = DRAWING.sub(lambda drawing: _drawing(drawing, here), linked(markdown, here))
    markdown = FIGURES.sub(lambda mark: linked(figures_of(*mark.groups()), mark[1]), markdown)
    markdown = SECTION.sub(lambda mark: linked(section_of(*mark.groups()), mark[1]), markdown)
    markdown = markdown.replace(OTHER_NAMES, _entries_of_names(markdown))
    return markdown.replace(COMMANDS, "\n".join(_help_of(commands, "fastload")))


def figures_of(path: str, name: str) -> str:
    """Return what a script wrote into the page at *path*, between the markers called *name*.

    Raises:
        ValueError: there is nothing between such markers.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name}:begin [^\n]*-->\n(.*?)<!-- {name}:end -->", text, re.DOTALL)
    if not found or not found[1].strip():
        raise ValueError(f"{path} has no figures called {name}")
    return found[1]


def section_of(path: str, title: str) -> str:
    """Return what stands under the heading *title* of the page at *path*.

    Raises:
        ValueError: there is no such heading.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    _, heading, rest = text.partition(f"\n## {title}\n")
    if not heading:
        raise ValueError(f"{path} has no section called {title!r}")
    return rest.partition("\n## ")[0]


def _link(link: re.Match[str], origin: str, uri: str, files: Files, config: MkDocsConfig) -> str:
    """Return a link of the file *origin* as one of the page *uri*; bring along what it leads to."""
    if link["code"]:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link["path"]))
    target = ON_SITE.get(path) or path.removeprefix("docs/")
    if target == path and files.get_file_from_path(target) is None and (ROOT / path).is_file():
        target = f"files/{path}"
        files.append(File.generated(config, target, abs_src_path=str(ROOT / path)))
    relative = posixpath.relpath(target, posixpath.dirname(uri))
    return f"]({relative}{link['anchor'] or ''})"


def _drawing(drawing: re.Match[str], here: str) -> str:
    title, path = drawing.groups()
    file = (ROOT / here).parent / path
    return f'<figure class="drawing" aria-label="{title}">\n{file.read_text("utf-8")}</figure>'


def _error(row: re.Match[str]) -> str:
    """Return an entry for an error, with a heading that can be linked to, instead of its row."""
    code, name, message, when, did, help_ = row.groups()
    return (
        f"### {code} {{#{code.lower()}}}\n\n{name}: {message}\n\n- **When**: {when}\n"
        f"- **What fastload did**: {did}\n- **What you can do**: {help_}\n"
    )


def _entries_of_names(markdown: str) -> str:
    """Return a section with a line for each public name that has none in the page."""
    placed = PLACED_NAME.findall(markdown)
    lines = [f"::: fastload.{name}" for name in fastload.__all__ if name not in placed]
    return "\n".join(["## Further names", "", *lines, ""]) if lines else ""


def _help_of(command: click.Command, name: str) -> Iterator[str]:
    """Yield the lines that tell of a command, and of those in it."""
    context = click.Context(command, info_name=name)
    words = " ".join(command.collect_usage_pieces(context))
    about = inspect.cleandoc(command.help or "").replace("\b\n", "")
    yield f"## {name}\n\n{html.escape(about, quote=False)}\n\n```\n{name} {words}\n```\n"
    options = [
        each for each in command.params if isinstance(each, click.Option) and not each.hidden
    ]
    if options:
        yield "| option | what it does |\n| --- | --- |"
        yield from map(_option, options)
        yield ""
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            yield from _help_of(command.get_command(context, verb), f"{name} {verb}")


def _option(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('')))}"
    names = ", ".join(f"`{each}{value}`" for each in (*option.opts, *option.secondary_opts))
    default = option.default
    is_told = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    told = f" Default: `{default}`." if is_told else ""
    return f"| {names} | {option.help}{told} |".replace("<", "&lt;")


def _records() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def _list_of_records() -> str:
    titles = ((path, path.read_text("utf-8").partition("\n")[0]) for path in _records())
    rows = (f"- [{title.removeprefix('# ')}]({path.name})" for path, title in titles)
    about = "Why things are as they are: one record for each thing that was decided."
    return "\n".join(["# Decisions", "", about, "", *rows, ""])


def _with_records(nav: Any, records: list[str]) -> Any:
    """Return *nav* with the folder of the records replaced by *records*."""
    if isinstance(nav, list):
        return [_with_records(each, records) for each in nav]
    if isinstance(nav, dict):
        return {title: _with_records(each, records) for title, each in nav.items()}
    return records if nav == "decisions/" else nav
