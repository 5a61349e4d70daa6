"""The words of lookup layers, as Keras 2 and TensorFlow read them from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastload.errors import MigrationError

#: The word for unknown words, where a configuration names none.
UNKNOWN: Final = "[UNK]"
#: The special tokens of a `TextVectorization`, whose configuration names none.
_OF_TEXT: Final = {"mask_token": "", "oov_token": UNKNOWN, "num_oov_indices": 1}


def special_tokens(item: Mapping[str, Any]) -> list[Any]:
    """Return what stands before the words of the lookup layer *item* in a full vocabulary."""
    config = item["config"]
    if item.get("class_name") == "TextVectorization":
        config = {**_OF_TEXT, **config}
    mask = config.get("mask_token")
    masks = [mask] if mask is not None and config.get("output_mode") == "int" else []
    return masks + [config.get("oov_token")] * config.get("num_oov_indices", 0)


def lines_of_table(content: bytes) -> list[bytes]:
    r"""Return the lines of a vocabulary file as TensorFlow's tables read them.

    Example:
        >>> lines_of_table("a\u2028b\r\nc\n".encode())
        [b'a\xe2\x80\xa8b', b'c']
    """
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return lines if lines[-1] else lines[:-1]


def lines_of_archive(content: bytes) -> list[bytes]:
    r"""Return the lines of a vocabulary in an archive as Keras 2 reads them: as a text file.

    Example:
        >>> lines_of_archive("a\u2028b\r\nc\n".encode())
        [b'a\xe2\x80\xa8b', b'c', b'']
    """
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def words_of(lines: Iterable[bytes], config: Mapping[str, Any]) -> list[Any]:
    """Return *lines* as words of the lookup layer of *config*: integers or text.

    Raises:
        MigrationError: one is neither.
    """
    words = [text_of(line, config) for line in lines]
    if not isinstance(config.get("oov_token"), int):
        return words
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise _refusal(config, "is not an integer") from error


def text_of(word: bytes, config: Mapping[str, Any]) -> str:
    """Return *word* of the lookup layer of *config* as text.

    Raises:
        MigrationError: Keras 3 would not look up the same bytes.
    """
    if word.endswith(b"\0"):  # arrays of text drop these
        raise _refusal(config, "ends in a zero byte")
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal(config, "is not UTF-8") from error


def _refusal(config: Mapping[str, Any], what: str) -> MigrationError:
    return MigrationError(f"layer {config.get('name')!r}", f"a word of its vocabulary {what}")
