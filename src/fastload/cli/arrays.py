"""Inputs and outputs of a model as files: `.npy`, `.npz`, `.json`."""

from __future__ import annotations

import base64
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
import numpy as np
from numpy.lib.format import write_array

from fastload.user_files import is_plain, written

if TYPE_CHECKING:
    from fastload.signature import TensorSpec

Writer = Callable[[IO[bytes], Mapping[str, Any]], None]
#: JSON has no bytes: they are written as Base64 under this key, as TensorFlow Serving's REST
#: interface does.
_BASE64: Final = "b64"
#: Nor has it these numbers (RFC 8259, section 6): they are written as text.
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_inputs(path: Path) -> Any:
    """Return an array, nested lists, or either by input name.

    Raises:
        click.UsageError: the file does not hold what its suffix says, or has another suffix.
    """
    if path.suffix not in {".npy", ".npz", ".json"}:
        raise click.UsageError(f"{path} is neither .npy nor .npz nor .json")
    try:
        if path.suffix == ".json":
            return _without_base64(json.loads(path.read_text(encoding="utf-8")))
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found as archive:
            return dict(archive)
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error


def with_numbers(values: Any, specs: Mapping[str, TensorSpec]) -> Any:
    """Return inputs with what JSON has no number for: "NaN", "Infinity" and "-Infinity".

    Where an input takes text, they are text. Inputs that are not given by name are all of one kind,
    or are left as they are.
    """
    if isinstance(values, dict):
        floats = {name for name, spec in specs.items() if _is_float(spec)}
        return {name: _number(each) if name in floats else each for name, each in values.items()}
    return _number(values) if all(map(_is_float, specs.values())) else values


def writer_of(path: Path) -> Writer:
    """Return the function that writes outputs in the format of *path*'s suffix.

    Raises:
        click.UsageError: the suffix is not one of the three.
    """
    if path.suffix not in _WRITERS:
        raise click.UsageError(f"{path} is neither .npy nor .npz nor .json")
    return _WRITERS[path.suffix]


def write_outputs(path: Path, write: Writer, outputs: Mapping[str, Any]) -> None:
    """Write outputs to the file at *path*: it is complete, or as it was before.

    Raises:
        click.UsageError: the format cannot hold these outputs.
        OSError: it cannot be written.
    """
    with written(path) as file:
        if is_plain(file):
            write(file, outputs)
            return
        whole = io.BytesIO()  # numpy and `zipfile` go back in what they write
        write(whole, outputs)
        file.write(whole.getbuffer())


def plain_outputs(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return outputs as values that JSON can hold."""
    return {name: _plain(np.asarray(value).tolist()) for name, value in outputs.items()}


def _write_one(file: IO[bytes], outputs: Mapping[str, Any]) -> None:
    if len(outputs) != 1:
        names = ", ".join(outputs)
        raise click.UsageError(f"a .npy file holds one array, and there are {names}: use .npz")
    ((name, value),) = outputs.items()
    np.save(file, _storable(name, value))


def _write_all(file: IO[bytes], outputs: Mapping[str, Any]) -> None:
    # Not by `np.savez`, which takes an output called `file` for an argument of its own.
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in outputs.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, _storable(name, value), allow_pickle=False)


def _write_json(file: IO[bytes], outputs: Mapping[str, Any]) -> None:
    file.write(json.dumps(plain_outputs(outputs), allow_nan=False).encode())


_WRITERS: Final[Mapping[str, Writer]] = {
    ".npy": _write_one,
    ".npz": _write_all,
    ".json": _write_json,
}


def _storable(name: str, value: Any) -> np.ndarray[Any, Any]:
    """Return *value* in a dtype that numpy's file format knows, without loss."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        raise click.UsageError(f"the output {name!r} is text, which only .json can hold")
    # float32 has every value of bfloat16 and the other dtypes that numpy does not have.
    return array if array.dtype.isbuiltin == 1 else array.astype(np.float32)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, complex):
        return {"real": _plain(value.real), "imag": _plain(value.imag)}
    if isinstance(value, float):
        return value if math.isfinite(value) else _word(value)
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(value).decode("ascii")}


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _number(value: Any) -> Any:
    """Return values with numbers in the place of the words for them."""
    if isinstance(value, list):
        return [_number(each) for each in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value


def _is_float(spec: TensorSpec) -> bool:
    return "float" in spec.dtype  # also `bfloat16`, and those of 8 bits


def _without_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_base64(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_BASE64}:
        return base64.b64decode(value[_BASE64], validate=True)
    return {key: _without_base64(each) for key, each in value.items()}
