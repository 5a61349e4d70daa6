"""Names of objects say what the objects have to contain, and nothing else passes for one."""

from __future__ import annotations

import pytest

from fastload.remote.names import StoredFile, parse, signature

ENTRY, OTHER = "ab" * 16, "cd" * 16
SHA = "0123456789abcdef" * 4
KEY = b"a key"


def stored(kind: str = "h5", entry: str = ENTRY, mac: str | None = None) -> StoredFile:
    return StoredFile(entry=entry, kind=kind, sha256=SHA, size_bytes=7, mac=mac)


@pytest.mark.parametrize("kind", ["h5", "specs.json", "code3-flat-dfcd46-installed.json", "x.flat"])
@pytest.mark.parametrize("mac", [None, "f" * 64])
def test_a_name_comes_back(kind: str, mac: str | None) -> None:
    file = stored(kind, mac=mac)
    name = file.object_name.removeprefix(f"{ENTRY}/")

    assert parse(ENTRY, name, 7) == file
    assert file.file_name == f"{ENTRY}.{kind}"
    assert file.is_twin is (kind == "h5")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "h5",
        f"h5.{SHA[1:]}",
        f"h5.{SHA.upper()}",
        f"h5.{SHA}.{SHA}.{SHA}",
        f"../{OTHER}.h5.{SHA}",
        f"a/h5.{SHA}",
        f"used.{SHA}",
        f"stock.json.{SHA}",
        f"lock.{SHA}",
        f".partial.{SHA}",
        f"a b.json.{SHA}",
        f"\u00e9.json.{SHA}",
    ],
)
def test_what_is_no_file_that_travels_is_not_seen(name: str) -> None:
    assert parse(ENTRY, name, 7) is None


@pytest.mark.parametrize("size", [None, -1, 7.0, "7", True])
def test_a_length_that_makes_no_sense_is_none(size: object) -> None:
    assert parse(ENTRY, f"h5.{SHA}", size) is None


def test_a_signature_is_for_one_file_of_one_entry() -> None:
    """A twin that was signed cannot stand in for another model's, nor for a side entry."""
    mac = signature(KEY, ENTRY, "h5", SHA)

    assert stored(mac=mac).is_signed_with(KEY)
    assert not stored(mac=mac).is_signed_with(b"another key")
    assert not stored(mac=mac, entry=OTHER).is_signed_with(KEY)
    assert not stored("a.flat", mac=mac).is_signed_with(KEY)
    assert not stored(mac=None).is_signed_with(KEY)
    assert not stored(mac="0" * 64).is_signed_with(KEY)


def test_a_signature_is_the_one_that_is_documented() -> None:
    """HMAC-SHA256 over a line that says what it is for, entry, kind and digest."""
    import hashlib
    import hmac

    text = f"fastload store 1\n{ENTRY}\nh5\n{SHA}".encode()

    assert signature(KEY, ENTRY, "h5", SHA) == hmac.new(KEY, text, hashlib.sha256).hexdigest()
