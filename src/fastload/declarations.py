"""Custom objects that were declared once, for every process: by this user, or by packages.

Both say `NAME = package.module:attribute`, in the format of entry points: a package in the group
`fastload.custom_objects` of its metadata, the user in a file of the configuration folder, which
`fastload register` writes. A file that others may write to is not read: what it names is imported.
"""

from __future__ import annotations

import configparser
import functools
import io
import logging
import os
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from fastload import system
from fastload.errors import DeclarationError
from fastload.imports.collector import paused_collector
from fastload.lean_dataclass import dataclass

#: The group of entry points, and the section of the user's file.
GROUP: Final = "fastload.custom_objects"
#: Names the folder of the user's file, in place of the platform's.
CONFIG_DIR: Final = "FASTLOAD_CONFIG_DIR"

_FILE_NAME: Final = "custom_objects.ini"
#: As in entry points: a module, a colon, an attribute of an attribute.
_VALUE: Final = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
#: A name of Keras's registry, `package>name` or `name`. What ends a name in the file is not in it.
_NAME: Final = re.compile(r"[^\s=\[\];#:][^=\n\r]*")

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a name stands for, and who says so.

    Attributes:
        name: as model files have it, with the package (`package>name`) or without.
        value: where the object is: `package.module:attribute`.
        origin: the user's file, or the distribution that has the entry point.
    """

    name: str
    value: str
    origin: str

    def load(self) -> Any:
        """Import the module and return the object.

        Raises:
            Exception: whatever the import raises, or `AttributeError`.
        """
        return metadata.EntryPoint(self.name, self.value, GROUP).load()


def declared_object(name: str) -> Any:
    """Return the object that *name* was declared to be; None if nobody declared it.

    Where it cannot be looked up or imported, that is logged as a warning and None is returned: the
    load goes on without it.
    """
    found: Declaration | None = None
    try:
        found = declaration_of(name)
        if found is None:
            return None
        # A package may import a hundred others; garbage collections would be a quarter of the time.
        with paused_collector(makes_old=True):
            return found.load()
    except Exception as error:  # noqa: BLE001 - other people's code
        where = "" if found is None else f", declared as {found.value} by {found.origin},"
        _logger.warning("custom object %r%s cannot be imported: %s", name, where, error)
        return None


def declaration_of(name: str) -> Declaration | None:
    """Return who declared *name* (`package>name` or `name`); this user comes before packages."""
    bare = name.rpartition(">")[2]
    for declared in (_of_user(), _of_packages()):
        found = declared.get(name) or declared.get(bare)
        if found is not None:
            return found
    return None


def declarations() -> Mapping[str, Declaration]:
    """Return all that is declared here, by name; this user's where a package has the same name."""
    return {**_of_packages(), **_of_user()}


def declare(values: Mapping[str, str]) -> Path:
    """Write names into the user's file, for all later processes of this user.

    Args:
        values: `package.module:attribute` by the name that model files use.

    Returns:
        The file.

    Raises:
        DeclarationError: a name or value cannot stand in the file, or it cannot be written.
    """
    for name, value in values.items():
        if not (_NAME.fullmatch(name) and name == name.strip() and _VALUE.fullmatch(value)):
            raise DeclarationError(f"{name}={value}", "write NAME=package.module:attribute")
    return _write({**_read(), **values})


def withdraw(names: Iterable[str]) -> Path:
    """Remove names from the user's file.

    Returns:
        The file.

    Raises:
        DeclarationError: the file has no such name, or cannot be written.
    """
    left = dict(_read())
    for name in names:
        if left.pop(name, None) is None:
            raise DeclarationError(name, f"{own_file()} has no such name")
    return _write(left)


def own_file() -> Path | None:
    """Return where this user's declarations are, whether there are any or not.

    Returns:
        None if this user has no home folder, as in some containers, or the one that is named is
        nobody's; and where the path is relative and the working folder is gone.
    """
    named = os.environ.get(CONFIG_DIR)
    try:
        folder = Path(named).expanduser().absolute() if named else _platform_folder()
    except (RuntimeError, OSError):
        return None
    # Older platformdirs return the path with the tilde, newer ones raise.
    return folder / _FILE_NAME if folder.is_absolute() else None


def _platform_folder() -> Path:
    # Imported here because a model of Keras's own classes does not need it.
    from platformdirs import user_config_path

    return user_config_path("fastload", appauthor=False)


def _of_user() -> dict[str, Declaration]:
    """Return what this user's file says; nothing, with a warning, where it is not to be used."""
    try:
        values = _read()
    except DeclarationError as error:
        _warn_once(str(error))
        return {}
    origin = str(own_file())
    return {
        name: Declaration(name=name, value=value, origin=origin) for name, value in values.items()
    }


@functools.cache
def _warn_once(message: str) -> None:
    _logger.warning("%s", message)


@functools.cache
def _of_packages() -> dict[str, Declaration]:
    """Return what packages declare; nothing, with a warning, where Python cannot read it.

    It reads the entry points of all packages, so that one malformed file hides those of the others.
    """
    try:
        points = metadata.entry_points(group=GROUP)
    except Exception as error:  # noqa: BLE001 - other people's files
        _warn_once(f"entry points of packages cannot be read: {type(error).__name__}: {error}")
        return {}
    return {
        point.name: Declaration(name=point.name, value=point.value, origin=_distribution(point))
        for point in points
    }


def _distribution(point: metadata.EntryPoint) -> str:
    """Return whose entry point it is: for people, so that metadata without a name is no fault."""
    try:
        dist = point.dist
        return "an entry point" if dist is None else f"{dist.metadata['Name']} {dist.version}"
    except Exception:  # noqa: BLE001 - other people's files
        return "an entry point"


def _read() -> dict[str, str]:
    """Return what the user's file says.

    Raises:
        DeclarationError: it cannot be read, is not one, or others may write to it.
    """
    path = own_file()
    if path is None:
        return {}
    parser = _parser()
    try:
        with path.open(encoding="utf-8") as file:
            _require_own(path, os.fstat(file.fileno()))
            _require_own(path.parent, path.parent.stat())
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise DeclarationError(path, f"it cannot be read: {error}") from error
    return dict(parser[GROUP]) if parser.has_section(GROUP) else {}


def _require_own(path: Path, info: os.stat_result) -> None:
    if not system.is_own(info, or_root=True):
        raise DeclarationError(path, f"it belongs to another user (uid {info.st_uid})")
    if system.others_write(info):
        raise DeclarationError(path, "other users can write to it; run chmod go-w on it")


def _write(values: Mapping[str, str]) -> Path:
    """Write beside, then rename: readers see the old file or the new one.

    Raises:
        DeclarationError: it cannot be written.
    """
    path = own_file()
    if path is None:
        raise DeclarationError(
            "custom objects", f"no home folder to keep them in: set {CONFIG_DIR}"
        )
    parser = _parser()
    parser[GROUP] = dict(sorted(values.items()))
    text = io.StringIO()
    parser.write(text)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(path.parent, path.parent.stat())
        system.write_bytes(partial, text.getvalue().encode())
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DeclarationError(path, f"it cannot be written: {error.strerror}") from error
    return path


def _parser() -> configparser.ConfigParser:
    """Return a parser of the format of entry points: names are kept as they are."""
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), interpolation=None, default_section=""
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    return parser
