"""For a Python that reads no `.pth` file of fastload: `fastload run` puts this folder on its path.

Python imports one `sitecustomize`, so the one that it would have imported comes after ours.
"""

import sys

_HERE = __file__.rpartition("sitecustomize")[0].rstrip("/\\")


def _give_way() -> None:
    """Import the `sitecustomize` that comes after this one, if there is one."""
    from importlib.machinery import PathFinder

    sys.path[:] = [entry for entry in sys.path if entry.rstrip("/\\") != _HERE]
    if PathFinder.find_spec(__name__) is not None:
        del sys.modules[__name__]
        __import__(__name__)


try:
    from fastload.hooks.bootstrap import start
except ImportError as error:
    sys.stderr.write(f"fastload: off: {error}\n")
else:
    start()
_give_way()
