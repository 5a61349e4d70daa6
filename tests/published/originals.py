"""Custom classes of published packages as they are in the package, without the rest of it.

A module of theirs imports what no model needs. So only its imports of TensorFlow, numpy and scipy
are run, and what it defines.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_IMPORTED: Final = frozenset({"abc", "numpy", "scipy", "tensorflow", "typing"})


def custom_objects(source: Path) -> dict[str, Any]:
    """Return the classes that the module *source* defines, and its lambdas under Keras's name."""
    found: dict[str, Any] = {"__name__": source.stem}
    module = ast.Module(list(_kept(ast.parse(source.read_text(encoding="utf-8")))), [])
    annotations = "from __future__ import annotations"
    module.body.insert(0, ast.parse(annotations).body[0])
    exec(compile(module, source.name, "exec"), found)
    functions = [each for each in found.values() if getattr(each, "__name__", "") == "<lambda>"]
    named = {name: each for name, each in found.items() if isinstance(each, type)}
    return named | {"<lambda>": each for each in functions}


def _kept(module: ast.Module) -> Iterator[ast.stmt]:
    for statement in module.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            if all(name in _IMPORTED for name in _imported(statement)):
                yield statement
        elif isinstance(statement, ast.Assign):
            if isinstance(statement.value, ast.Lambda | ast.List):
                yield statement
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement


def _imported(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.ImportFrom):
        return [(statement.module or "").partition(".")[0]]
    return [alias.name.partition(".")[0] for alias in statement.names]
