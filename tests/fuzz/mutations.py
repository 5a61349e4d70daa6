"""Changes of model files that keep most of their structure, each drawn from a seed."""

from __future__ import annotations

import json
import random
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Dice = random.Random

_SCALARS: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 0.5, -0.0, 1e308, 2**31, -(2**63), float("nan")),
    *(
        "",
        "a",
        "y",
        "relu",
        "float16",
        "Dense",
        "é\ud800",
        "../a",
        "/",
        [],
        {},
        [1],
        [None],
        {"a": 1},
    ),
]
_CLASSES = [
    *(
        "Dense",
        "Activation",
        "Dropout",
        "Flatten",
        "ReLU",
        "InputLayer",
        "Sequential",
        "Functional",
    ),
    *("Lambda", "Add", "Reshape", "BatchNormalization", "Embedding", "LSTM", "Zeros", "Nowhere"),
]


# --- bytes and text ------------------------------------------------------------------------------


def bytes_of(content: bytes, dice: Dice) -> bytes:
    """Flip, cut, repeat or overwrite."""
    if not content:
        return b"\0"
    data, way = bytearray(content), dice.randrange(6)
    place = dice.randrange(len(data))
    if way <= 1:
        for _ in range(dice.choice([1, 1, 2, 8])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif way == 2:
        del data[place:]
    elif way == 3:
        del data[place : place + dice.randrange(1, 64)]
    elif way == 4:
        data[place:place] = data[place : place + dice.randrange(1, 64)]
    else:
        length = dice.choice([1, 2, 4, 8])
        value = dice.choice([0, 1, 0xFF, 0x7F, 0x80])
        data[place : place + length] = bytes([value]) * length
    return bytes(data)


def json_of(content: str, dice: Dice) -> str:
    """Change the document, or, rarely, its text."""
    if dice.random() < 0.1:
        return bytes_of(content.encode(), dice).decode(errors="surrogateescape")
    document = json.loads(content)
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        document = _changed(document, dice)
    return json.dumps(document)


def _changed(document: Any, dice: Dice) -> Any:
    """Change one place, anywhere below."""
    places = list(_places(document))
    if not places:
        return dice.choice(_SCALARS)
    holder, key = dice.choice(places)
    _change_item(holder, key, dice, places)
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [document]
    for each in waiting:
        items = (
            each.items()
            if isinstance(each, dict)
            else enumerate(each)
            if isinstance(each, list)
            else ()
        )
        for key, value in items:
            found.append((each, key))
            waiting.append(value)
    return found


def _change_item(holder: Any, key: Any, dice: Dice, places: list[tuple[Any, Any]]) -> None:
    way = dice.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1:
        holder[key] = dice.choice(_SCALARS)
    elif way == 2:
        other, at = dice.choice(places)
        holder[key] = json.loads(json.dumps(other[at]))
    elif way <= 4:
        _change_holder(holder, key, dice)
    else:
        holder[key] = _another(key, holder[key], dice)


def _change_holder(holder: Any, key: Any, dice: Dice) -> None:
    if isinstance(holder, dict):
        holder[f"{key}{dice.choice(['_', 's', ' '])}"] = holder.pop(key)
    elif dice.random() < 0.5:
        holder.insert(key, json.loads(json.dumps(holder[key])))
    else:
        dice.shuffle(holder)


def _another(key: Any, value: Any, dice: Dice) -> Any:
    """Return a value of about the same kind."""
    if key == "class_name":
        return dice.choice(_CLASSES)
    if isinstance(value, str):
        return bytes_of(value.encode(), dice).decode(errors="replace")
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return dice.choice([value + 1, value - 1, -value, value * 2, float(value)])
    return [value] if dice.random() < 0.5 else {"a": value}


# --- HDF5 ----------------------------------------------------------------------------------------


def hdf5(path: Path, dice: Dice) -> None:
    """Change bytes, attributes, datasets or links of an HDF5 file."""
    if dice.random() < 0.2:
        path.write_bytes(bytes_of(path.read_bytes(), dice))
        return
    with h5py.File(path, "a") as file:
        for _ in range(dice.choice([1, 1, 2])):
            _change_hdf5(file, dice)


def _change_hdf5(file: h5py.File, dice: Dice) -> None:
    names: list[str] = []
    file.visit(names.append)
    documents = [key for key in ("model_config", "training_config") if key in file.attrs]
    if documents and dice.random() < 0.4:
        key = dice.choice(documents)
        _set(file, key, json_of(str(file.attrs[key]), dice))
        return
    place = file[dice.choice(["/", *names])]
    if dice.random() < 0.4 and len(place.attrs):
        _change_attribute(place, dice)
    elif names:
        _change_object(file, dice.choice(names), dice)


def _set(place: Any, key: str, text: str) -> None:
    try:
        place.attrs[key] = text
    except (ValueError, UnicodeEncodeError):  # a NUL, or half a surrogate
        place.attrs[key] = np.bytes_(text.encode(errors="replace").replace(b"\0", b"?"))


def _change_attribute(place: Any, dice: Dice) -> None:
    key = dice.choice(list(place.attrs))
    value, way = place.attrs[key], dice.randrange(7)
    if way == 0:
        del place.attrs[key]
    elif way == 1:
        place.attrs[key] = dice.choice(
            [1, 1.5, "", "2.4.0", "3.0.0", b"x", [1, 2], h5py.Empty("f4")]
        )
    elif isinstance(value, np.ndarray) and value.ndim == 1 and len(value):
        _change_names(place, key, list(value), dice)
    elif isinstance(value, str):
        _set(place, key, bytes_of(value.encode(), dice).decode(errors="replace"))


def _change_names(place: Any, key: str, names: list[Any], dice: Dice) -> None:
    way, at = dice.randrange(6), dice.randrange(len(names))
    if way == 0:
        del names[at]
    elif way == 1:
        names.insert(at, names[at])
    elif way == 2:
        dice.shuffle(names)
    elif way == 3:
        names[at] = bytes_of(bytes(str(names[at]), "utf-8"), dice).replace(b"\0", b"?") or b"?"
    elif way == 4:
        names.append(dice.choice([b"nothing", b"/", b"..", b"a/b", b"y"]))
    else:
        names[at] = b"x" * 70000
    kind = h5py.string_dtype() if dice.random() < 0.5 else None
    values = [each if isinstance(each, bytes) else str(each).encode() for each in names]
    try:
        place.attrs[key] = np.array(values, dtype=kind) if values else np.zeros(0, "f4")
    except (OSError, ValueError, RuntimeError):  # too long for an attribute
        place.attrs[key] = np.array(values[:1], dtype="S16")


def _change_object(file: h5py.File, name: str, dice: Dice) -> None:
    value, way = file[name], dice.randrange(10)
    if isinstance(value, h5py.Group):
        if way < 3:
            del file[name]
        elif way < 5:
            file.move(name, f"{name}{dice.choice(['_1', ' ', '2'])}")
        elif way < 7:
            del file[name]
            file[name] = np.ones(2, "f4")
        else:
            file[f"{name}/more"] = np.ones(2, "f4")
        return
    _change_dataset(file, name, value, dice)


def _change_dataset(file: h5py.File, name: str, value: h5py.Dataset, dice: Dice) -> None:
    data = np.asarray(value[()] if value.shape is not None else np.zeros(0))
    attributes = dict(value.attrs)
    del file[name]
    way = dice.randrange(10)
    if way == 0:
        return
    if way == 1:
        file[name] = h5py.SoftLink(dice.choice(["/", "/nowhere", name]))
    elif way == 2:
        file.create_group(name)
    elif way <= 4 and data.ndim and data.size:
        packed = {"compression": dice.choice(["gzip", "lzf"]), "shuffle": True}
        options = packed if way == 3 else {"fletcher32": True}
        file.create_dataset(name, data=data, chunks=True, **options)
    else:
        file.create_dataset(name, data=dice.choice(_DATA)(data, dice))
        for key, each in attributes.items():
            file[name].attrs[key] = each


def _of_another_dtype(data: Any, dice: Dice) -> Any:
    dtypes = ["f2", "f8", "i4", "i8", "u1", "?", ">f4", "c8"]
    return data.astype(dice.choice(dtypes)) if data.dtype.kind in "fiub" else data


def _of_another_shape(data: Any, dice: Dice) -> Any:
    shorter = data[:-1] if data.ndim else np.zeros(3, "f4")
    return dice.choice([data.reshape(-1), data[None], shorter])


def _as_text(data: Any, _: Dice) -> Any:
    return np.array([b"text"] * max(1, data.size), h5py.string_dtype())


def _of_another_value(data: Any, dice: Dice) -> Any:
    changed = np.array(data)
    if changed.dtype.kind == "f" and changed.size:
        place = dice.randrange(changed.size)
        changed.reshape(-1)[place] = dice.choice([np.nan, np.inf, -0.0, 1e-42])
    return changed


_DATA = (_of_another_dtype, _of_another_shape, _as_text, _of_another_value)


# --- archives ------------------------------------------------------------------------------------


def archive(path: Path, dice: Dice) -> None:
    """Change a member of a `.keras` archive, or the archive around them."""
    if dice.random() < 0.15:
        path.write_bytes(bytes_of(path.read_bytes(), dice))
        return
    with zipfile.ZipFile(path) as file:
        members = [(name, file.read(name)) for name in file.namelist()]
    if dice.random() < 0.75:
        members = _changed_member(path, members, dice)
    else:
        members = _changed_members(members, dice)
    method = dice.choice([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(path, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a name is there twice
        for name, content in members:
            file.writestr(name, content)


Members = list[tuple[str, bytes]]


def _changed_member(path: Path, members: Members, dice: Dice) -> Members:
    at = dice.randrange(len(members))
    name, content = members[at]
    if name.endswith(".json"):
        text = json_of(content.decode(), dice)
        members[at] = name, text.encode(errors="surrogateescape")
    elif name.endswith(".h5"):
        inner = path.with_suffix(".inner")
        inner.write_bytes(content)
        hdf5(inner, dice)
        members[at] = name, inner.read_bytes()
        inner.unlink()
    else:
        members[at] = name, bytes_of(content, dice)
    return members


_NAMES = [
    *("assets/", "assets/a", "assets/layers/", "README", "model.weights.npz", "config.json/"),
    *("assets/../a", "/a", "model.weights.h5.bak", "variables/", "é", "a\\b", "__MACOSX/a"),
]


def _changed_members(members: Members, dice: Dice) -> Members:
    way, at = dice.randrange(6), dice.randrange(len(members))
    name, content = members[at]
    if way == 0:
        del members[at]
    elif way == 1:
        members.append((name, bytes_of(content, dice) if dice.random() < 0.5 else content))
    elif way == 2:
        members[at] = dice.choice(_NAMES), content
    elif way == 3:
        dice.shuffle(members)
    elif way == 4:
        members[at] = name, b""
    else:
        members += [(each, b"x") for each in dice.sample(_NAMES, dice.randrange(1, 4))]
    return members


# --- SavedModels ---------------------------------------------------------------------------------


def keras_metadata(path: Path, dice: Dice) -> None:
    """Change what Keras says of the nodes of a SavedModel."""
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    file = path / "keras_metadata.pb"
    if dice.random() < 0.1:
        file.write_bytes(bytes_of(file.read_bytes(), dice))
        return
    message = SavedMetadata.FromString(file.read_bytes())
    if dice.random() < 0.2:
        _change_message(message, dice)
    else:
        node = dice.choice(message.nodes)
        node.metadata = json_of(node.metadata, dice).encode(errors="replace").decode()
    file.write_bytes(message.SerializeToString())


def saved_model(path: Path, dice: Dice) -> None:
    """Change the objects, functions or signatures of a SavedModel."""

    def parts(message: Any) -> list[Any]:
        graph = message.meta_graphs[0]
        rest = [graph.graph_def.library, graph.graph_def, message, graph.meta_info_def]
        return [graph.object_graph_def] * 4 + rest

    _change_saved_model(path, dice, parts)


def session_model(path: Path, dice: Dice) -> None:
    """Change graph, collections, saver or signatures of a SavedModel of TensorFlow 1."""

    def parts(message: Any) -> list[Any]:
        graph = message.meta_graphs[0]
        signature = graph.signature_def[dice.choice(sorted(graph.signature_def))]
        return [graph.graph_def] * 4 + [signature, signature, graph.saver_def, graph, message]

    _change_saved_model(path, dice, parts)


def _change_saved_model(path: Path, dice: Dice, parts: Callable[[Any], list[Any]]) -> None:
    """Change one of the *parts* of a SavedModel's message, or a few bytes of its file."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = path / "saved_model.pb"
    if dice.random() < 0.1:
        file.write_bytes(bytes_of(file.read_bytes(), dice))
        return
    message = SavedModel.FromString(file.read_bytes())
    found = parts(message)
    for _ in range(dice.choice([1, 1, 2])):
        _change_message(dice.choice(found), dice)
    file.write_bytes(message.SerializePartialToString())


def _change_message(message: Any, dice: Dice) -> None:
    """Go down a random way, and change a field there."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = dice.choice(fields)
    repeated = (
        field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    )
    if repeated:
        _change_repeated(message, field, value, dice)
    elif field.message_type is not None and dice.random() < 0.85:
        _change_message(value, dice)
    elif field.message_type is not None or dice.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(value, dice))


def _change_repeated(message: Any, field: Any, value: Any, dice: Dice) -> None:
    if hasattr(value, "keys"):
        key = dice.choice(sorted(value))
        if dice.random() < 0.2 or not hasattr(value[key], "ListFields"):
            del value[key]
        else:
            _change_message(value[key], dice)
        return
    at, way = dice.randrange(len(value)), dice.randrange(10)
    is_message = hasattr(value[at], "ListFields")
    if way == 0:
        del value[at]
    elif way == 1 and is_message:
        value.add().CopyFrom(value[at])
    elif way == 2 and is_message:
        value[at].CopyFrom(value[dice.randrange(len(value))])
    elif is_message:
        _change_message(value[at], dice)
    else:
        value[at] = _scalar(value[at], dice)


def _scalar(value: Any, dice: Dice) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return (
            max(-(2**31), min(2**31 - 1, dice.choice([0, 1, value + 1, value - 1, 2**31 - 1])))
            if value >= 0
            else 0
        )
    if isinstance(value, float):
        return dice.choice([0.0, -value, float("nan")])
    if isinstance(value, bytes):
        return bytes_of(value, dice)
    return re.sub("[^ -~]", "?", bytes_of(value.encode(), dice).decode(errors="replace"))


def checkpoint(path: Path, dice: Dice) -> None:
    """Change bytes of a checkpoint's files, or what tensors they hold."""
    folder = path / "variables"
    if dice.random() < 0.4:
        file = dice.choice(sorted(folder.iterdir()))
        file.write_bytes(bytes_of(file.read_bytes(), dice))
        return
    import tensorflow as tf

    prefix = str(folder / "variables")
    reader = tf.train.load_checkpoint(prefix)
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    name = dice.choice(sorted(tensors))
    value = tensors.pop(name)
    way = dice.randrange(6)
    if way == 1:
        tensors[name + "x"] = value
    elif way == 2 and not isinstance(value, bytes):
        tensors[name] = np.asarray(value).astype(dice.choice(["f8", "f2", "i4", "i8"]))
    elif way == 3 and not isinstance(value, bytes):
        tensors[name] = np.asarray(value)[None]
    elif way == 4:
        other = dice.choice(sorted(tensors))
        tensors[name], tensors[other] = tensors[other], value
    elif way == 5:
        tensors[name] = value
        tensors["more"] = np.ones(2, "f4")
    shutil.rmtree(folder)
    folder.mkdir()
    names = sorted(tensors)
    with tf.device("cpu"):
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(tensors[each]) for each in names],
        )


# --- twins ---------------------------------------------------------------------------------------


def twin(content: bytes, dice: Dice) -> bytes:
    """Forge a twin: change its header or index, with digests that fit, or its bytes."""
    from fastload.twin.format import USER_BLOCK_BYTES, Header

    header = Header.from_bytes(content)
    start, end = header.index_offset, header.index_offset + header.index_nbytes
    way = dice.randrange(4)
    if way == 0:
        return bytes_of(content[:USER_BLOCK_BYTES], dice) + content[USER_BLOCK_BYTES:]
    if way == 1:
        return content[:start] + bytes_of(content[start:end], dice) + content[end:]
    index = json_of(content[start:end].decode(), dice).encode(errors="surrogateescape")
    return forged(content, index, dice if way == 3 else None)


def forged(content: bytes, index: bytes, dice: Dice | None) -> bytes:
    """Return a twin with another index, at its end; with *dice*, with odd numbers in its header."""
    import hashlib

    from fastload.twin.format import USER_BLOCK_BYTES, Header

    numbers = [len(content), len(index), len(content) + len(index)]
    if dice is not None:
        at = dice.randrange(3)
        numbers[at] = max(
            0, min(2**64 - 1, dice.choice([0, numbers[at] - 1, numbers[at] + 1, 2**63, 2**64 - 1]))
        )
    header = Header(
        index_offset=numbers[0],
        index_nbytes=numbers[1],
        file_nbytes=numbers[2],
        index_sha256=hashlib.sha256(index).digest(),
    )
    return header.to_bytes() + content[USER_BLOCK_BYTES:] + index


Mutation = Callable[[Path, Dice], None]
