"""Lookup layers with whatever words: in Keras 3 they find what they found in Keras 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tensorflow as tf

import fastload
from fastload.errors import MigrationError
from fastload.keras2to3.known_inputs import KnownInputs
from fastload.keras2to3.proof import prove_against_model
from fastload.keras2to3.vocabularies import lines_of_table

SUFFIXES: Final = ("", ".keras")
NUMBERS: Final = np.array([[0], [1], [2], [3], [4], [5], [7], [500], [700], [900], [-1]], "int64")
#: Python splits text at more characters than files have lines.
ODD: Final = ("a", "b\u2028c", "d\x0ce", "f\x85g", "", "h", "[UNK]")
WORDS: Final = np.array([[word] for word in (*ODD, "other")], object)
COUNTED: Final = [[500, 700], [700, 900]]


def _adapted(layer: Any, data: Any) -> Any:
    layer.adapt(np.array(data))
    return layer


def _weighted(layer: Any) -> Any:
    """Give every word a weight of its own, the unknown ones too."""
    weights = np.linspace(0.3, 0.9, layer.idf_weights.shape[0] or 9, dtype="float32")
    size = len(layer.idf_weights.numpy())
    layer.idf_weights.assign(weights[:size])
    layer.idf_weights_const = layer.idf_weights.value()
    return layer


def _counting(k: Any, **given: Any) -> Any:
    layer = k.layers.IntegerLookup(output_mode="tf_idf", **given)
    return _weighted(_adapted(layer, COUNTED))


Make = Callable[[Any], Any]
#: A lookup layer, and what it is given.
LAYERS: Final[dict[str, tuple[Make, Any]]] = {
    "inverted": (
        lambda k: _adapted(k.layers.IntegerLookup(invert=True), [[7, 5], [7, 5], [7, 9]]),
        NUMBERS,
    ),
    "inverted, small words": (
        lambda k: _adapted(k.layers.IntegerLookup(invert=True), [[2, 3], [2, 3], [2, 1]]),
        NUMBERS,
    ),
    "inverted words": (
        lambda k: _adapted(k.layers.StringLookup(invert=True), [["b", "a"], ["b", "c"]]),
        NUMBERS,
    ),
    "a word that is zero": (
        lambda k: _adapted(k.layers.IntegerLookup(), [[0, 5], [0, 3]]),
        NUMBERS,
    ),
    "a mask of its own": (
        lambda k: _adapted(k.layers.IntegerLookup(mask_token=7), [[0, 5], [0, 7]]),
        NUMBERS,
    ),
    "a mask that is zero": (
        lambda k: _adapted(k.layers.IntegerLookup(mask_token=0), [[0, 5], [0, 7]]),
        NUMBERS,
    ),
    "an empty word": (
        lambda k: _adapted(k.layers.StringLookup(), [["", "a"], ["", "h"]]),
        WORDS,
    ),
    "an empty mask": (
        lambda k: _adapted(k.layers.StringLookup(mask_token=""), [["", "a"], ["", "h"]]),
        WORDS,
    ),
    "odd words": (lambda k: _adapted(k.layers.StringLookup(), [list(ODD)]), WORDS),
    "weights": (_counting, NUMBERS),
    "weights, filled up": (
        lambda k: _counting(k, max_tokens=8, pad_to_max_tokens=True),
        NUMBERS,
    ),
    "weights, two of unknown words": (
        lambda k: _counting(k, num_oov_indices=2, mask_token=0),
        NUMBERS,
    ),
    "weights that were given": (
        lambda k: k.layers.StringLookup(
            vocabulary=["h", "a"], idf_weights=[0.4, 0.7], output_mode="tf_idf"
        ),
        WORDS,
    ),
    "weights that were given to all": (
        lambda k: k.layers.TextVectorization(
            vocabulary=["[UNK]", "a"], idf_weights=[0.4, 0.7], output_mode="tf_idf"
        ),
        WORDS,
    ),
    "weights of text": (
        lambda k: _adapted(
            k.layers.TextVectorization(8, output_mode="tf_idf", pad_to_max_tokens=True),
            ["a h", "h c"],
        ),
        WORDS,
    ),
}


def _model(k: Any, layer: Any, given: Any) -> Any:
    inputs = k.Input((1,), dtype="string" if given.dtype == object else "int64")
    return k.Model(inputs, layer(inputs))


def _require_equal(path: Path, original: Any, given: Any) -> None:
    """Check outputs of the model that is migrated, and of its twin."""
    expected = original(tf.constant(given))
    for _ in range(2):
        model = fastload.load_model(path, keras="keras")
        found = model(tf.constant(given))

        if expected.dtype.is_floating:
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", SUFFIXES, ids=lambda suffix: suffix or "saved_model")
def test_what_layers_have_learnt(suffix: str, keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """All of them in one model."""
    rows = len(NUMBERS)
    given = [NUMBERS, np.resize(WORDS, (rows, 1))]
    inputs = [keras2.Input((1,), dtype="int64"), keras2.Input((1,), dtype="string")]
    made = [(make(keras2), inputs[each.dtype == object]) for make, each in LAYERS.values()]
    original = keras2.Model(inputs, [layer(of) for layer, of in made])
    path = tmp_path / f"m{suffix}"
    original.save(str(path), **({} if suffix else {"save_format": "tf"}))

    model = fastload.load_model(path, keras="keras")

    found, expected = (each([*map(tf.constant, given)]) for each in (model, original))
    for one, other in zip(found, expected, strict=True):
        if other.dtype.is_floating:
            np.testing.assert_allclose(one, other, rtol=1e-6)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES, ids=lambda suffix: suffix or "saved_model")
@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_has_learnt(
    name: str, suffix: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    make, given = LAYERS[name]
    original = _model(keras2, make(keras2), given)
    path = tmp_path / f"m{suffix}"
    original.save(str(path), **({} if suffix else {"save_format": "tf"}))

    _require_equal(path, original, given)

    report = fastload.last_load()
    assert report is not None
    # Of an archive with two words for unknown ones, tf-keras rejects what it saved itself.
    assert report.reason is None or report.reason.endswith("tf-keras does not open it (ValueError)")


@pytest.mark.parametrize(
    "content",
    ["a\nb\u2028c\nd\x0ce\nf\x85g\nh\n", "a\r\nh\r\nb\rc", "[UNK]\na\nh\n"],
    ids=["odd characters", "of Windows", "the token of unknown words"],
)
@pytest.mark.parametrize(
    "settings", [{}, {"mask_token": "other", "num_oov_indices": 2}], ids=["plain", "tokens"]
)
def test_a_file_of_words(
    content: str, settings: Any, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Its lines are those that TensorFlow's table has."""
    words = tmp_path / "words.txt"
    words.write_bytes(content.encode())
    layer = keras2.layers.StringLookup(vocabulary=str(words), **settings)
    given = np.concatenate([WORDS, np.array([["a\r"], ["b\rc"], ["b"]], object)])
    original = _model(keras2, layer, given)
    original.save(str(tmp_path / "m"), save_format="tf")

    _require_equal(tmp_path / "m", original, given)


def test_a_file_of_numbers(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    words = tmp_path / "numbers.txt"
    words.write_bytes(b"700\n 5\r\n-1\n900")
    layer = keras2.layers.IntegerLookup(vocabulary=str(words))
    original = _model(keras2, layer, NUMBERS)
    original.save(str(tmp_path / "m"), save_format="tf")

    _require_equal(tmp_path / "m", original, NUMBERS)


@pytest.mark.parametrize("word", [b"\xff", b"a\0"], ids=["not UTF-8", "a zero byte"])
def test_words_that_keras_3_cannot_look_up(
    word: bytes, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    layer = keras2.layers.StringLookup()
    layer.adapt(tf.constant([[word, b"b"]]))
    _model(keras2, layer, WORDS).save(str(tmp_path / "m"), save_format="tf")

    with pytest.raises(MigrationError, match="a word of its vocabulary"):
        fastload.load_model(tmp_path / "m", keras="keras")


@pytest.mark.parametrize("content", [b"a\nb\r\nc\rd\r\r\ne", b"a\nb\n", b"a\n\r", b"a\x85\x0c"])
def test_the_lines_of_a_table(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    read = tf.lookup.TextFileInitializer(str(path), tf.int64, number, tf.string, whole)
    _, words = tf.lookup.StaticHashTable(read, "").export()

    assert sorted(words.numpy()) == sorted(lines_of_table(content))


def test_words_of_a_model_are_compared(keras2: Any, keras3: Any) -> None:
    """Made-up integers end below these, and made-up texts are others."""
    numbers, others = [[700, 500], [700, 900]], [[700, 900], [700, 500], [900, 900]]
    original, other = (
        _model(keras2, _adapted(keras2.layers.IntegerLookup(), data), NUMBERS)
        for data in (numbers, others)
    )
    layer = keras3.layers.IntegerLookup(vocabulary=original.layers[-1].get_vocabulary())
    migrated = _model(keras3, layer, NUMBERS)

    assert prove_against_model(original, migrated).against == "tf-keras"
    with pytest.raises(MigrationError, match="its outputs differ"):
        prove_against_model(other, migrated)


def test_places_in_an_inverted_table_are_compared(keras2: Any, keras3: Any) -> None:
    words = [str(place) for place in range(60)]
    original = _model(keras2, keras2.layers.StringLookup(vocabulary=words, invert=True), NUMBERS)
    words[20:] = reversed(words[20:])  # made-up integers end before
    other = _model(keras3, keras3.layers.StringLookup(vocabulary=words, invert=True), NUMBERS)

    with pytest.raises(MigrationError, match="its outputs differ"):
        prove_against_model(original, other)


def test_a_model_that_takes_its_words_alone(keras2: Any, keras3: Any) -> None:
    given = {"vocabulary": [500, 700], "num_oov_indices": 0}
    original = _model(keras2, keras2.layers.IntegerLookup(**given), NUMBERS)
    same = _model(keras3, keras3.layers.IntegerLookup(**given), NUMBERS)

    assert prove_against_model(original, same).against == "tf-keras"


def test_known_inputs_are_from_all_over() -> None:
    known = KnownInputs(texts=["a", "b", "c", "d", "e"], numbers=range(100))
    text, number = np.array([["", ""]], object), np.zeros((2, 2), "int32")
    made = list(known.over([text, number, np.ones(2, "float32")]))

    assert [each[0].shape for each in made] == [(1, 2)] * 8
    assert {word for each in made for word in each[0].ravel()} == set(known.texts)
    numbers = {int(number) for each in made for number in each[1].ravel()}
    assert (min(numbers), max(numbers), len(numbers)) == (0, 99, 32)
    assert all((each[2] == 1).all() for each in made)
    assert list(KnownInputs().over([text, number])) == []
    assert list(KnownInputs(numbers=[2**40]).over([np.zeros(2, "int32")])) == []


def test_known_inputs_are_all_that_a_narrow_integer_can_be() -> None:
    """Pixels, which overflow where a sum has as few bits as they have."""
    (made,) = KnownInputs(numbers=[-1, 300]).over([np.zeros((64, 64), "uint8"), np.zeros(2)])

    assert (made[0].dtype, made[0].min(), made[0].max()) == ("uint8", 0, 255)
    assert (made[1] == 0).all()


def test_known_indices_end_in_what_is_masked() -> None:
    """Each row from another step on; where there is one step, every other row."""
    indices, single = np.full((4, 3), 7, "int32"), np.full((4, 1), 7.0, "float32")
    (made,) = KnownInputs(masks_zero=True).over([indices, single, np.full((4, 3), 0.5)])

    assert made[0].tolist() == [[7, 0, 0], [7, 7, 0]] * 2
    assert made[1].ravel().tolist() == [7, 0, 7, 0]
    assert (made[2] == 0.5).all()
