"""Start fastload where Python does not read its `.pth` file; `fastload run` sets the path to this.

Python imports one `sitecustomize` only, so this one then imports the next one on the path.
"""

import sys

_HERE = __file__.rpartition("sitecustomize")[0].rstrip("/\\")


def _give_way() -> None:
    """Import the next `sitecustomize` on the path, if there is one."""
    from importlib.machinery import PathFinder

    sys.path[:] = [entry for entry in sys.path if entry.rstrip("/\\") != _HERE]
    if PathFinder.find_spec(__name__) is not None:
        del sys.modules[__name__]
        __import__(__name__)


def _tell(message: str) -> None:
    """Do as `bootstrap` does, which cannot be imported: an error here would end the interpreter."""
    try:  # noqa: SIM105 - as in `bootstrap`
        sys.stderr.write(message)
    except Exception:  # noqa: BLE001, S110
        pass


try:
    from fastload.hooks.bootstrap import start
except ImportError as error:
    _tell(f"fastload: off: {error}\n")
else:
    start()
_give_way()
