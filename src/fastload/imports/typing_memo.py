"""`typing` compiles the text of each forward reference once while TensorFlow is imported.

The generated operations of TensorFlow have some 18,000 references of a few dozen texts. A code
object cannot be changed, so two references may share one.

No `from __future__` here, ever: `compile` takes over the futures of the module that calls it, and
`typing` has none.
"""

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAME = "compile"
#: What `typing.ForwardRef` passes beside the text.
_OF_A_REFERENCE = ("<string>", "eval")


def with_memo(work: "Callable[[], object]") -> None:
    """Do *work* with a `compile` that remembers among the names of `typing`, if that is as known.

    The name is taken away afterwards, unless something else is bound to it by then.
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
    """Say whether references are compiled as they are up to Python 3.13."""
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
