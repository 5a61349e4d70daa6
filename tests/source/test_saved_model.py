"""Cutting the object graph out of a `saved_model.pb` that is whole, damaged, or something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastload.errors import UnconvertibleModelError
from fastload.source.saved_model_parts import SavedModelParts, read_functions, read_saved_model

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
META_GRAPHS, META_INFO, OBJECT_GRAPH, VERSION, GIT_VERSION = 2, 1, 7, 5, 6

varied = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


def varint(value: int) -> bytes:
    head = bytearray()
    while value > 0x7F:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*head, value])


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def message(number: int, content: bytes) -> bytes:
    return tag(number, BYTES) + varint(len(content)) + content


INFO = message(VERSION, b"2.15.0") + message(GIT_VERSION, b"v2.15.0-2")
META_GRAPH = message(META_INFO, INFO) + message(OBJECT_GRAPH, b"graph")
WHOLE = tag(1, VARINT) + varint(1) + message(META_GRAPHS, META_GRAPH)

others = st.builds(
    lambda number, field: tag(number, field[0]) + field[1],
    st.integers(100, 2**28),
    st.tuples(st.just(VARINT), st.integers(0, 2**63).map(varint))
    | st.tuples(st.just(FIXED64), st.binary(min_size=8, max_size=8))
    | st.tuples(st.just(FIXED32), st.binary(min_size=4, max_size=4))
    | st.tuples(st.just(BYTES), st.binary(max_size=300).map(lambda b: varint(len(b)) + b)),
)


def read(tmp_path: Path, content: bytes) -> SavedModelParts:
    path = tmp_path / "saved_model.pb"
    path.write_bytes(content)
    return read_saved_model(path)


def test_the_parts_are_cut_out(tmp_path: Path) -> None:
    """Object graph and versions, as bytes and text."""
    parts = read(tmp_path, WHOLE)

    assert parts.object_graph == b"graph"
    assert parts.tensorflow_version == "2.15.0"
    assert parts.tensorflow_git_version == "v2.15.0-2"


@varied
@given(st.lists(others, max_size=4), st.lists(others, max_size=4), st.binary(max_size=300))
def test_other_fields_are_passed_over(
    tmp_path: Path, before: list[bytes], inside: list[bytes], graph: bytes
) -> None:
    """Of any number, kind and length, before, between and after the wanted ones."""
    inner = b"".join([*inside, message(OBJECT_GRAPH, graph), *inside, message(META_INFO, INFO)])
    content = b"".join([*before, message(META_GRAPHS, inner), *before])

    assert read(tmp_path, content).object_graph == graph


def test_a_file_without_versions_is_read(tmp_path: Path) -> None:
    """They are for the record only."""
    parts = read(tmp_path, message(META_GRAPHS, message(OBJECT_GRAPH, b"graph")))

    assert (parts.tensorflow_version, parts.tensorflow_git_version) == ("", "")


@varied
@given(st.integers(0, len(WHOLE) - 1))
@example(0)
def test_a_cut_file_is_refused(tmp_path: Path, length: int) -> None:
    """The meta-graph is the last field, so that any cut hits it."""
    with pytest.raises(UnconvertibleModelError):
        read(tmp_path, WHOLE[:length])


@varied
@given(st.binary(max_size=400))
@example(b"")
@example(tag(META_GRAPHS, BYTES) + varint(2**63))
@example(message(META_GRAPHS, message(OBJECT_GRAPH, b"") + message(META_INFO, message(5, b"\xff"))))
@example(b"\xff" * 30)
@example(tag(1, FIXED64))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    """No other error, no endless loop."""
    try:
        parts = read(tmp_path, content)
    except UnconvertibleModelError:
        return
    assert len(parts.object_graph) <= len(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "saved_model.pb is empty"),
        (tag(1, VARINT) + varint(1), "has 0 meta-graphs, not one"),
        (message(META_GRAPHS, META_GRAPH) * 2, "has 2 meta-graphs, not one"),
        (message(META_GRAPHS, message(META_INFO, INFO)), "was not written by TensorFlow 2"),
        (tag(META_GRAPHS, BYTES) + varint(9), "damaged: a field is longer than the file"),
        (tag(1, 3), "damaged: wire type 3"),
        (b"\x80" * 11, "damaged: a number does not end"),
    ],
)
def test_a_refusal_says_what_is_wrong(tmp_path: Path, content: bytes, reason: str) -> None:
    """So that the report can."""
    with pytest.raises(UnconvertibleModelError, match=reason):
        read(tmp_path, content)


def function(name: bytes, body: bytes = b"") -> bytes:
    signature = message(1, message(1, name))
    return message(1, signature + message(3, body))


def test_functions_are_found_by_name(tmp_path: Path) -> None:
    """Each at its offset, and nothing of them in what is left of the file."""
    gradient = message(2, b"gradient")
    library = function(b"first", b"x" * 200) + gradient + function(b"second")
    node, other = message(1, b"Const") + message(2, b"op"), message(1, b"other")
    graph = message(1, other) + message(1, node) + message(2, library)
    asset = message(6, b"asset")
    meta_graph = message(META_INFO, INFO) + message(2, graph) + asset
    path = tmp_path / "saved_model.pb"
    path.write_bytes(message(META_GRAPHS, meta_graph + message(OBJECT_GRAPH, b"objects")))

    parts = read_functions(path, {"Const"})

    for name, body in (("first", b"x" * 200), ("second", b"")):
        offset, nbytes = parts.functions[name]
        found = message(1, parts.library[offset : offset + nbytes])
        assert found == function(name.encode(), body)
    small = message(1, node) + message(2, gradient)
    kept = message(META_INFO, INFO) + message(2, small) + asset + message(OBJECT_GRAPH, b"objects")
    assert parts.objects == message(META_GRAPHS, kept)
    assert len(parts.functions) == 2


@varied
@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_file_has_no_functions(tmp_path: Path, length: int) -> None:
    """As for the object graph."""
    path = tmp_path / "saved_model.pb"
    path.write_bytes(WHOLE[:length])

    with pytest.raises(UnconvertibleModelError):
        read_functions(path, set())


_CUT = """
import os, sys
from pathlib import Path
from fastload.source import saved_model_parts

path = Path(sys.argv[1])
fields = saved_model_parts._fields

def cut(*arguments):
    os.truncate(path, 0)
    return fields(*arguments)

saved_model_parts._fields = cut
saved_model_parts.read_functions(path, ())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cuts no file that is open")
def test_a_file_that_is_cut_while_it_is_read_does_not_end_the_process(tmp_path: Path) -> None:
    """Who saves a model over another one cuts it first."""
    path = tmp_path / "saved_model.pb"
    path.write_bytes(WHOLE)

    subprocess.run([sys.executable, "-c", _CUT, path], env=os.environ, check=True)
    assert not path.stat().st_size
