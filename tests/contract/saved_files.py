"""What a saved file holds, as plain values: HDF5 item by item, archives member by member."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any, Final

import h5py
from contract.lambda_code import without_references

#: Keras 3 writes the address of an object there.
_SHARED_ID: Final = re.compile(r'("shared_object_id":) \d+')


def describe_saved(path: Path) -> dict[str, Any]:
    """Return the content of the `.h5` or `.keras` file at *path*."""
    if path.suffix == ".h5":
        return _hdf5(path)
    with zipfile.ZipFile(path) as archive:
        # metadata.json holds the date of saving.
        names = sorted(set(archive.namelist()) - {"metadata.json"})
        return {name: _member(name, archive.read(name)) for name in names}


def _member(name: str, data: bytes) -> Any:
    if name.endswith(".json"):
        return json.loads(without_references(_SHARED_ID.sub(r"\1 0", data.decode())))
    return _hdf5(io.BytesIO(data)) if name.endswith(".h5") else hashlib.sha256(data).hexdigest()


def _hdf5(source: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(source, "r") as file:
        found["/"] = _attributes(file)
        file.visititems(lambda name, item: found.update({name: _item(item)}))
    return found


def _item(item: Any) -> Any:
    if not isinstance(item, h5py.Dataset):
        return _attributes(item)
    data = item[()]
    raw = data.tobytes() if hasattr(data, "tobytes") else repr(data).encode()
    digest = hashlib.sha256(raw).hexdigest()
    return {"dtype": str(item.dtype), "shape": list(item.shape), "sha256": digest}


def _attributes(item: Any) -> dict[str, str]:
    return {name: _attribute(value) for name, value in item.attrs.items()}


def _attribute(value: Any) -> str:
    return repr(without_references(value) if isinstance(value, str) else value)
