"""A memo for `typing`, so that it compiles each text of a forward reference only once.

TensorFlow's generated operations have some 18,000 references, but only a few dozen texts. Code
objects are immutable, so references may share them.

This module must have no `from __future__`: `compile` inherits the future statements of the module
that calls it, and `typing` has none.
"""

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAME = "compile"
#: What `typing.ForwardRef` passes to `compile` after the text.
_OF_A_REFERENCE = ("<string>", "eval")


def with_memo(work: "Callable[[], object]") -> None:
    """Call *work* while `typing` has a `compile` with a memo, if `typing` is known to allow that.

    The name is removed afterwards, unless something else has been bound to it meanwhile.
    """
    import typing

    names = vars(typing)
    if not _is_as_known(names):
        work()
        return
    names[_NAME] = ours = _remembering()
    try:
        work()
    finally:
        if names.get(_NAME) is ours:
            del names[_NAME]


def _is_as_known(names: "dict[str, Any]") -> bool:
    """Return whether `ForwardRef` compiles texts as in Python 3.13 and earlier."""
    init = getattr(vars(names["ForwardRef"]).get("__init__"), "__code__", None)
    return _NAME not in names and _NAME in getattr(init, "co_names", ())


def _remembering() -> "Callable[..., Any]":
    codes: dict[str, Any] = {}

    def remembering_compile(source: "Any", *how: "Any", **options: "Any") -> "Any":
        if how != _OF_A_REFERENCE or options or type(source) is not str:
            return compile(source, *how, **options)
        code = codes.get(source)
        if code is None:
            code = codes[source] = compile(source, *how)
        return code

    return remembering_compile
