"""Flags in the environment, read with what a bare interpreter has: this runs at its start."""

TYPE_CHECKING = False  # what `typing` has under this name, without the import
if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")

#: Programs that nobody changes are served.
OPT_IN = "FASTLOAD"
#: Nothing is served; wins over all else.
DISABLE = "FASTLOAD_DISABLE"
#: `import tensorflow` leaves for later what is not used yet; on in programs that are served.
LAZY_IMPORT = "FASTLOAD_LAZY_IMPORT"
#: A process that only predicts leaves TensorFlow's package to its first touch.
DEFER = "FASTLOAD_DEFER"


def flag(environ: "Mapping[str, str]", name: str, *, unset: bool = False) -> bool:
    """Say whether *name* is on in *environ*; *unset* is the answer where it is not there or empty.

    Raises:
        ValueError: it has a value that is neither; the message names both.

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
