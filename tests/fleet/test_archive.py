"""Twins as one file: what was exported is imported, and whatever else somebody made is not."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.errors import ArchiveError, CacheUnwritableError, EntryNotFoundError
from fastload.fleet.archive import read_archive, write_archive

NAME = "ab" * 16
TWIN, SIDE = f"{NAME}.h5", f"{NAME}.specs.json"
CONTENT = {TWIN: b"a twin" * 1000, SIDE: b"{}"}


@pytest.fixture
def source(tmp_path: Path) -> CacheDir:
    """A cache with one entry, a side entry in a layer below it, and what does not travel."""
    cache = CacheDir(root=tmp_path / "source", layers=(tmp_path / "layer",))
    cache.ensure()
    (tmp_path / "layer").mkdir()
    (cache.root / TWIN).write_bytes(CONTENT[TWIN])
    (tmp_path / "layer" / SIDE).write_bytes(CONTENT[SIDE])
    for name in (
        f"{NAME}.used",
        f"{NAME}.stock.json",
        f"{NAME}.h5.00c0ffee-42-0123456789ab.partial",
    ):
        (cache.root / name).write_bytes(b"of this machine")
    return cache


@pytest.fixture
def target(tmp_path: Path) -> CacheDir:
    return CacheDir(root=tmp_path / "target")


@pytest.fixture
def archive(source: CacheDir, tmp_path: Path) -> Path:
    write_archive(tmp_path / "twins.tar", source, [NAME])
    return tmp_path / "twins.tar"


def contents_of(cache: CacheDir) -> dict[str, bytes]:
    """Return the files that are in a cache, if there is one, but for its tag."""
    files = (path for path in cache.root.glob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files if path.name != "CACHEDIR.TAG"}


def test_what_is_exported_is_imported(archive: Path, target: CacheDir) -> None:
    """With its mode, and nothing of the machine that it was made on."""
    (found,) = read_archive(archive, target)

    assert (found.name, found.is_new, found.size_bytes) == (NAME, True, len(CONTENT[TWIN]))
    assert contents_of(target) == CONTENT
    assert (target.root / TWIN).stat().st_mode & 0o777 == 0o400


@pytest.mark.skipif(os.name == "nt", reason="pipes with names of POSIX")
@pytest.mark.parametrize("is_there", [False, True])
def test_an_archive_may_come_through_a_pipe(
    archive: Path, target: CacheDir, tmp_path: Path, is_there: bool
) -> None:
    """As `<(...)` of a shell is one; what is there already is passed over."""
    if is_there:
        read_archive(archive, target)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(archive.read_bytes()), daemon=True)
    writer.start()
    (found,) = read_archive(pipe, target)
    writer.join(timeout=60)

    assert found.is_new is not is_there
    assert contents_of(target) == CONTENT


def test_the_same_twins_make_the_same_archive(
    archive: Path, source: CacheDir, tmp_path: Path
) -> None:
    """Whenever, and whatever their times are."""
    os.utime(source.root / TWIN, (1, 1))
    size = write_archive(tmp_path / "again.tar", source, [NAME, NAME])

    assert size == archive.stat().st_size
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()
    assert list(tmp_path.glob(".*partial")) == []


def test_what_is_there_stays(archive: Path, target: CacheDir) -> None:
    """A published twin is never replaced; what is missing beside it comes."""
    target.ensure()
    (target.root / TWIN).write_bytes(b"mine")
    (found,) = read_archive(archive, target)

    assert not found.is_new
    assert contents_of(target) == {TWIN: b"mine", SIDE: CONTENT[SIDE]}


def test_an_archive_that_cannot_be_written_leaves_nothing(source: CacheDir, tmp_path: Path) -> None:
    with pytest.raises(EntryNotFoundError, match="no longer in the cache: it was removed"):
        write_archive(tmp_path / "twins.tar", source, ["cd" * 16])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "source"]


Files = list[tuple[tarfile.TarInfo, bytes]]
Edit = Callable[[Files], Any]


def edited(archive: Path, edit: Edit) -> None:
    """Write the archive again, its members changed."""
    with tarfile.open(archive) as tar:
        files: Files = [(m, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    edit(files)
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in files:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def relisted(files: Files, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the list of an archive."""
    document = json.loads(files[0][1])
    change(document)
    files[0] = (files[0][0], json.dumps(document).encode())


def renamed(name: str, *, listed: bool) -> Edit:
    """Call the side entry otherwise, in the list too or not."""

    def edit(files: Files) -> None:
        files[2][0].name = name
        if listed:
            relisted(files, lambda told: told["entries"][NAME][1].__setitem__(0, name))

    return edit


def of_kind(kind: bytes, link: str = "") -> Edit:
    """Make the side entry something else than a file."""

    def edit(files: Files) -> None:
        member = files[2][0]
        member.type, member.linkname = kind, link

    return edit


def twice(files: Files) -> None:
    files.append(files[2])


def listed_twice(files: Files) -> None:
    files.append(files[2])
    relisted(files, lambda told: told["entries"][NAME].append(told["entries"][NAME][1]))


def altered(files: Files) -> None:
    files[2] = (files[2][0], b"[]")


def longer(files: Files) -> None:
    files[2] = (files[2][0], b"{}" * 50)


def missing(files: Files) -> None:
    del files[2]


def without_a_list(files: Files) -> None:
    del files[0]


def without_a_twin(files: Files) -> None:
    del files[1]
    relisted(files, lambda told: told["entries"][NAME].pop(0))


def of_tomorrow(files: Files) -> None:
    relisted(files, lambda told: told.update(version=2))


def with_a_negative_length(files: Files) -> None:
    relisted(files, lambda told: told["entries"][NAME][1].__setitem__(1, -1))


def with_a_list_of_nonsense(files: Files) -> None:
    files[0] = (files[0][0], b'{"version": 1, "entries": [1, 2]}')


def in_another_order(files: Files) -> None:
    files[1], files[2] = files[2], files[1]


def with_an_entry_that_leads_out(files: Files) -> None:
    def change(told: dict[str, Any]) -> None:
        told["entries"]["../" + NAME] = told["entries"].pop(NAME)

    relisted(files, change)


HOSTILE: list[Edit] = [
    *(
        renamed(name, listed=listed)
        for name in (
            *(f"../{SIDE}", f"/tmp/{SIDE}", f"a/{SIDE}", "CACHEDIR.TAG", f"{NAME}.used"),
            *(
                f"{NAME}.{kind}.json"
                for kind in ("a/b", "a\nb", "a\\b", "a b", "\u00e9", "a" * 200)
            ),
        )
        for listed in (True, False)
    ),
    of_kind(tarfile.SYMTYPE, "/etc/passwd"),
    of_kind(tarfile.LNKTYPE, TWIN),
    of_kind(tarfile.CHRTYPE),
    of_kind(tarfile.FIFOTYPE),
    of_kind(tarfile.DIRTYPE),
    of_kind(tarfile.GNUTYPE_SPARSE),
    twice,
    listed_twice,
    altered,
    longer,
    missing,
    without_a_list,
    without_a_twin,
    of_tomorrow,
    with_a_negative_length,
    with_a_list_of_nonsense,
    in_another_order,
    with_an_entry_that_leads_out,
]


@pytest.mark.parametrize("edit", HOSTILE)
def test_an_archive_that_is_not_what_it_says_is_refused(
    edit: Edit, archive: Path, target: CacheDir, tmp_path: Path
) -> None:
    """Nothing of the entry is there afterwards, nor anything beside the cache."""
    edited(archive, edit)
    before = sorted(tmp_path.iterdir())

    with pytest.raises(ArchiveError, match="is not imported"):
        read_archive(archive, target)

    # An archive that has too much is noticed at its end: what it lists is there, and as listed.
    assert contents_of(target) in ({}, CONTENT)
    assert (contents_of(target) == CONTENT) is (edit is twice)
    assert set(tmp_path.iterdir()) <= {*before, target.root}


HEADERS = [
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
]


def header(kind: bytes, size_bytes: int) -> bytes:
    """Return what announces so many bytes about the member after it."""
    member = tarfile.TarInfo("more")
    member.type, member.size = kind, size_bytes
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("before", [b"", header(tarfile.XHDTYPE, 0)], ids=["first", "second"])
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_would_fill_the_memory_is_not_read(
    kind: bytes, before: bytes, archive: Path, target: CacheDir
) -> None:
    """It takes nothing of the disk: the file has a hole there."""
    with archive.open("wb") as file:
        file.write(before + header(kind, 2**28))
        file.truncate(2**28 + 10240)
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="a header has 268,435,456 bytes"):
            read_archive(archive, target)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most_bytes < 2**24
    assert not target.root.exists()


def test_a_member_of_less_than_nothing_is_refused(archive: Path, target: CacheDir) -> None:
    """Python before 3.14 goes back by so much, and reads on from there."""
    with archive.open("wb") as file:
        file.write(header(tarfile.XHDTYPE, -1) + bytes(10240))

    with pytest.raises(ArchiveError, match="a negative length"):
        read_archive(archive, target)


def test_what_other_programs_note_of_members_is_no_fault(archive: Path, target: CacheDir) -> None:
    """They write an archive again with times to the nanosecond, labels, and whose files it were."""

    def noted(files: Files) -> None:
        for member, _ in files:
            member.pax_headers = {"mtime": "1700000000.123456789", "SCHILY.xattr.a": "x" * 8000}

    edited(archive, noted)
    (found,) = read_archive(archive, target)

    assert found.is_new
    assert contents_of(target) == CONTENT


@pytest.mark.parametrize("length", [0, 100, 512, 3000, 6000])
def test_an_archive_that_was_cut_short_is_refused(
    length: int, archive: Path, target: CacheDir
) -> None:
    archive.write_bytes(archive.read_bytes()[:length])

    with pytest.raises(ArchiveError):
        read_archive(archive, target)

    assert contents_of(target) == {}


def test_junk_makes_no_folder(archive: Path, target: CacheDir) -> None:
    archive.write_bytes(b"junk\n")

    with pytest.raises(ArchiveError):
        read_archive(archive, target)

    assert not target.root.exists()


def test_a_compressed_archive_is_refused(archive: Path, target: CacheDir) -> None:
    """A few bytes of it could become terabytes; twins hardly get smaller."""
    with tarfile.open(archive) as tar, tarfile.open(archive.with_suffix(".gz"), "w:gz") as packed:
        for member in tar:
            packed.addfile(member, tar.extractfile(member))

    with pytest.raises(ArchiveError):
        read_archive(archive.with_suffix(".gz"), target)


def test_a_cache_of_another_program_gets_nothing(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")

    with pytest.raises(CacheUnwritableError):
        read_archive(archive, CacheDir(root=folder))

    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_several_entries_travel_together(
    source: CacheDir, target: CacheDir, tmp_path: Path
) -> None:
    """One that is whole is imported although a later one is not."""
    other = CacheEntry(cache=source, name="cd" * 16)
    other.path.write_bytes(b"another twin")
    path = tmp_path / "two.tar"
    write_archive(path, source, [other.name, NAME])

    def last_altered(files: Files) -> None:
        files[-1] = (files[-1][0], b"ANOTHER twin")

    edited(path, last_altered)
    with pytest.raises(ArchiveError, match=f"{other.name}.h5' does not match its digest"):
        read_archive(path, target)

    assert contents_of(target) == CONTENT


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return *content* with bytes changed, left out, put in, and copied from elsewhere."""
    made = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5, 40])):
        place, length = chance.randrange(len(made)), chance.choice([1, 10, 512, 1024])
        match chance.randrange(4):
            case 0:
                made[place] = chance.randrange(256)
            case 1:
                del made[place : place + length]
            case 2:
                made[place:place] = chance.randbytes(length)
            case _:
                other = chance.randrange(len(made))
                made[place : place + 512] = made[other : other + 512]
        made = made or bytearray(b"x")
    return bytes(made)


@pytest.mark.slow
def test_no_mutation_of_an_archive_does_harm(archive: Path, tmp_path: Path) -> None:
    """It is refused, or what it lists is what was written; an entry is whole or not there."""
    chance, content = random.Random(7), archive.read_bytes()
    for number in range(500):
        archive.write_bytes(mutated(content, chance))
        target = CacheDir(root=tmp_path / f"target {number}")
        with suppress(ArchiveError):
            read_archive(archive, target)
        assert contents_of(target) in ({}, CONTENT)

    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith("target ")}
    assert made == {"source", "layer", archive.name}
