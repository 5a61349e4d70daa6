"""Flags in the environment. This runs at the start of Python, so it imports nothing."""

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")

#: Serve programs that call the stock loaders.
OPT_IN = "FASTLOAD"
#: Serve nothing, whatever else is set.
DISABLE = "FASTLOAD_DISABLE"
#: In programs that are served, functions that build a model and load its weights build it blank.
BLANK = "FASTLOAD_BLANK"
#: In programs that are served, `import tensorflow` defers some modules; on by default.
LAZY_IMPORT = "FASTLOAD_LAZY_IMPORT"
#: A process that only predicts imports the whole of TensorFlow only if it is used; on by default.
DEFER = "FASTLOAD_DEFER"
#: Programs that call Keras 3 itself get models of Keras 2 migrated, where stock refuses them.
MIGRATE = "FASTLOAD_MIGRATE"


def flag(environ: "Mapping[str, str]", name: str, *, unset: bool = False) -> bool:
    """Return whether *name* is on in *environ*; *unset* if it is absent or empty.

    Raises:
        ValueError: its value means neither on nor off; the message names variable and value.

    Example:
        >>> flag({"FASTLOAD": "1"}, "FASTLOAD")
        True
    """
    value = environ.get(name, "").strip().lower()
    if not value:
        return unset
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise ValueError(f"{name}={environ[name]!r} is not understood: use 1 or 0")
