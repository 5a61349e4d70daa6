"""Custom classes of published packages as they are in the package, without the rest of it.

A module of theirs imports what no model needs. So of its imports only those of TensorFlow, numpy
and scipy are run, and what cannot be defined without the others is left out.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_IMPORTED: Final = frozenset({"numpy", "scipy", "tensorflow"})


def custom_objects(source: Path) -> dict[str, Any]:
    """Return the classes that the module *source* defines, and its lambda as `<lambda>`."""
    found: dict[str, Any] = {"__name__": source.stem}
    for statement in _kept(ast.parse(source.read_text(encoding="utf-8"))):
        flags = __future__.annotations.compiler_flag
        code = compile(ast.Module([statement], []), source.name, "exec", flags)
        with suppress(NameError):
            exec(code, found)
    return {
        each.__name__: each
        for each in found.values()
        if isinstance(each, type) or getattr(each, "__name__", "") == "<lambda>"
    }


def _kept(module: ast.Module) -> Iterator[ast.stmt]:
    for statement in module.body:
        is_import = isinstance(statement, ast.Import | ast.ImportFrom)
        if not is_import or all(name in _IMPORTED for name in _imported(statement)):
            yield statement


def _imported(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.ImportFrom):
        return [(statement.module or "").partition(".")[0]]
    return [alias.name.partition(".")[0] for alias in statement.names]
