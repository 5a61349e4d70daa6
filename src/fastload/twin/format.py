"""The twin's file format, version 1: header, documents, and the values that readers
and writers share.

A twin is an HDF5 file with a user block of 4,096 bytes before the superblock (HDF5 tools skip it).
The user block holds `Header`: where the index is and what the file must be. The index is one JSON
document, stored as the dataset `/fastload/index`: every group with its attributes, every dataset
with dtype, shape, absolute file offset and byte count. A reader therefore opens no HDF5 object: it
reads the header, reads the index, and maps the file. `docs/decisions/0001-hdf5-as-twin-format.md`
says why.

The header keeps its layout in every later version, so that a reader can always tell a twin of
another version from a damaged one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fastload.lean_dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np

FORMAT_VERSION: Final = 1
USER_BLOCK_BYTES: Final = 4096
#: TensorFlow aborts the process when a buffer begins anywhere else (EIGEN_MAX_ALIGN_BYTES).
ALIGNMENT_BYTES: Final = 64
PAGE_BYTES: Final = 4096
INDEX_DATASET: Final = "fastload/index"
DOCUMENTS_GROUP: Final = "fastload/documents"

_MAGIC: Final = b"\x93FASTLD\n"
#: magic, format version, reserved, index offset, index bytes, file bytes, SHA-256 of the index;
#: the SHA-256 of all these follows
_LAYOUT: Final = struct.Struct("<8sIIQQQ32s")

#: What an attribute of a group can be.
AttributeValue: TypeAlias = "str | bytes | int | float | bool | Sequence[str] | Sequence[bytes]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header in the user block.

    Attributes:
        format_version: version of everything after the magic.
        index_offset: absolute file offset of the index, in bytes.
        index_nbytes: its length, in bytes.
        file_nbytes: length of the whole file; a shorter file was truncated.
        index_sha256: digest of the index's bytes.
    """

    format_version: int = FORMAT_VERSION
    index_offset: int
    index_nbytes: int
    file_nbytes: int
    index_sha256: bytes

    def to_bytes(self) -> bytes:
        """Return the user block: header, digest of the header, zeros up to 4,096 bytes."""
        body = _LAYOUT.pack(
            _MAGIC,
            self.format_version,
            0,
            self.index_offset,
            self.index_nbytes,
            self.file_nbytes,
            self.index_sha256,
        )
        return (body + hashlib.sha256(body).digest()).ljust(USER_BLOCK_BYTES, b"\0")

    @classmethod
    def from_bytes(cls, block: bytes) -> Header:
        """Read a header from the first bytes of a file.

        Raises:
            ValueError: the bytes are not a header, or a damaged one; the message says which.
        """
        if len(block) < _LAYOUT.size + 32 or block[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin with a fastload header")
        body = block[: _LAYOUT.size]
        if hashlib.sha256(body).digest() != block[_LAYOUT.size : _LAYOUT.size + 32]:
            raise ValueError("its header does not match its own digest")
        _, version, _, offset, nbytes, file_nbytes, digest = _LAYOUT.unpack(body)
        return cls(
            format_version=version,
            index_offset=offset,
            index_nbytes=nbytes,
            file_nbytes=file_nbytes,
            index_sha256=digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpec:
    """A weight to be written.

    Attributes:
        name: its path in the HDF5 file, such as `model_weights/conv1/conv1/kernel:0`.
        dtype: name of its dtype (`float32`, `bfloat16`, `string`, ...); see `twin.weights`.
        shape: its shape; `()` for a scalar.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRef(WeightSpec):
    """A weight in a twin.

    Attributes:
        offset: absolute file offset of its first byte; 0 where it has none (zero-size).
        nbytes: stored bytes.
        sha256: hex digest of the stored bytes.
    """

    offset: int
    nbytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a twin holds besides the bytes of its weights.

    Created by `convert`; stored in the index, except for the documents.

    Attributes:
        source_kind: value of the `SourceKind` of its source.
        source_digest: hex digest of the source's content.
        generation: the Keras that it serves (`keras2` or `keras3`).
        groups: attributes by path of the HDF5 group (`""` is the root, `model_weights/conv1` a
            group); groups without attributes have an empty mapping. Strings contain no NUL.
        documents: further byte strings for a restore, by name (`object_graph.pb`,
            `config.json`, ...).
        links: further names for weights, by path: `{new path: weight name}`; HDF5 hard links.
        object_names: every class and function name in the configurations, with the first layer
            that uses it; custom ones are looked up by them.
        versions: of the software that wrote it (`python`, `tf-fastload`, `tensorflow`, `keras`).
    """

    source_kind: str
    source_digest: str
    generation: str
    groups: Mapping[str, Mapping[str, AttributeValue]] = field(default_factory=dict)
    documents: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    object_names: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


#: `(WeightSpec.name, values)`, in any order, each weight once.
WeightStream: TypeAlias = Iterable[tuple[str, "np.ndarray[Any, np.dtype[Any]]"]]


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype called *name*, of numpy or ml_dtypes (`bfloat16`, ...).

    Raises:
        ValueError: neither numpy nor the installed ml_dtypes has it.

    Example:
        >>> dtype_of("float32").itemsize
        4
    """
    # Imported here: listing a cache reads many indexes and needs no array.
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

    extended = getattr(ml_dtypes, name, None)
    if extended is None:
        raise ValueError(f"neither numpy nor ml_dtypes has the dtype {name!r}")
    found: np.dtype[Any] = np.dtype(extended)
    return found


# Names of the documents of a twin.

#: A `SavedModel` message without functions; its object graph is renumbered.
OBJECT_GRAPH: Final = "object_graph.pb"
#: Keras's metadata by new node id; absent where the object graph carries it (before TF 2.5).
KERAS_METADATA: Final = "keras_metadata.pb"
#: The name of each variable's weight by node id.
VARIABLES: Final = "variables.json"
#: Node ids of the SavedModel by new node id; only if it has signatures.
SOURCE_NODES: Final = "source_nodes.json"
#: Names of the classes of the SavedModel's layers, each with the name of one such layer.
LAYER_CLASSES: Final = "layer_classes.json"
#: Of a migrated model: the rules that were applied, and the proof.
MIGRATION: Final = "migration.json"
#: The group with the tree of a `.keras` archive's `model.weights.h5`.
STATE: Final = "state"
#: The group with the trees of the files of weights in shards, by their names; and the map of those.
SHARDS: Final = "shards"
SHARD_MAP: Final = "shards.json"

#: A `SavedModel` message with the whole object graph and no functions.
SAVED_OBJECTS: Final = "saved_objects.pb"
#: The `FunctionDefLibrary` of the SavedModel, and offset and length of each function in it by name.
FUNCTIONS: Final = "functions.pb"
FUNCTION_INDEX: Final = "functions.json"
#: Keras's metadata as it was saved; empty where the object graph carries it (before TF 2.5).
SAVED_METADATA: Final = "saved_metadata.pb"
#: The name of each variable's weight by node id of the whole object graph.
SAVED_VARIABLES: Final = "saved_variables.json"
#: Only if the checkpoint holds more than variables, which are then restored from the checkpoint.
OTHER_STATE: Final = "other_state.json"
#: Node ids of the signatures and what they capture, by path; empty where all objects must be
#: created at once.
SIGNATURE_NODES: Final = "signature_nodes.json"
#: The inputs and outputs of each signature.
SIGNATURES: Final = "signatures.json"
#: Error code and reason of each section that is missing.
REFUSALS: Final = "refusals.json"

#: Of a SavedModel that TensorFlow 1 wrote: the `SavedModel` message without the nodes of its
#: graphs; the nodes, each as a field of a `GraphDef`; what is known of each graph.
SESSION_MODEL: Final = "session_model.pb"
SESSION_NODES: Final = "session_nodes.pb"
SESSION_FACTS: Final = "session_facts.json"
#: Documents of a file beside a twin: what its function is; or why there is none.
FUNCTION_DESCRIPTION: Final = "function.json"
FUNCTION_REFUSAL: Final = "refusal.txt"

#: What a SavedModel's twin can serve: a Keras model, the object of `tf.saved_model.load`, and
#: predictors.
KERAS_SECTION: Final = "keras"
FUNCTION_SECTION: Final = "functions"
PREDICTION_SECTION: Final = "prediction"
#: Weights for a model that a program has made.
WEIGHTS_SECTION: Final = "weights"
#: A Keras model that is made of a SavedModel's functions.
REVIVED_SECTION: Final = "revived"
#: A Keras 3 model that was migrated from Keras 2; always in a twin of its own.
MIGRATED_SECTION: Final = "migrated"


def is_served(section: str, refusals: Container[str]) -> bool:
    """Say whether a twin that lacks the sections *refusals* can serve what *section* is for.

    A Keras model without a section of its own is made of the SavedModel's functions.
    """
    can_revive = FUNCTION_SECTION not in refusals and REVIVED_SECTION not in refusals
    return section not in refusals or (section == KERAS_SECTION and can_revive)
