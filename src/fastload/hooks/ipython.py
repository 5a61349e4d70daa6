"""The notebook extension: `%load_ext fastload`, then `%fastload`."""

from __future__ import annotations

from typing import Any

from fastload.cache import stats
from fastload.cache.directory import CacheDir
from fastload.hooks.installation import install, uninstall
from fastload.loading.request import current_settings
from fastload.report import last_load


def load_ipython_extension(ipython: Any) -> None:
    """Serve the loads of this notebook, and add `%fastload`.

    Args:
        ipython: the shell, as IPython passes it to an extension.
    """
    install()
    ipython.register_magic_function(show, magic_kind="line", magic_name="fastload")


def unload_ipython_extension(ipython: Any) -> None:
    """Stop serving the loads of this notebook, and remove `%fastload`.

    Args:
        ipython: the shell, as IPython passes it to an extension.
    """
    uninstall()
    ipython.magics_manager.magics["line"].pop("fastload", None)


def show(_line: str = "") -> None:
    """Print the latest load of this notebook, and the totals of all programs."""
    report = last_load()
    print("no load yet" if report is None else report)  # noqa: T201 - a magic prints
    total = stats.read(CacheDir.locate(current_settings())).total
    print(  # noqa: T201
        f"all programs: {total.loads} loads ({total.hits} hits, {total.misses} misses, "
        f"{total.bypasses} bypasses) in {total.seconds:.1f} s, {total.seconds_saved:.1f} s saved"
    )
