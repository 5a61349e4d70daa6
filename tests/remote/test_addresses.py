"""Models at addresses: as from this disk, and fetched no more often than is necessary."""

from __future__ import annotations

import base64
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.eviction import prune
from fastload.cache.listing import entries
from fastload.errors import (
    ModelChangedError,
    ModelNotHereError,
    RemoteSourceError,
    UnsupportedSourceError,
)
from fastload.fleet import ref as fleet_ref
from fastload.remote import filesystems, model_files
from fastload.remote.checksums import agrees
from fastload.remote.model_files import RemoteFile
from fastload.report import LoadReport, Outcome
from fastload.twin.sources import known_sources
from tests.remote.faulty_store import Faulty, Stall, works
from tests.small_models import (
    INPUTS,
    KERAS2_ARCHIVE,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    Form,
    SavedModel,
    assert_same_arrays,
    assert_same_model,
    package_of,
)

tf = pytest.importorskip("tensorflow")

PLACE = "faulty://user:secret@bucket/models"
SHOWN = "faulty://bucket/models"


class Bucket(Faulty):
    """A store that says of each object which version it is."""

    @staticmethod
    def etag(content: bytes) -> str:
        return f'"{hashlib.md5(content).hexdigest()}"'

    def info(self, path: str, **more: Any) -> Any:
        return self._telling(super().info(path, **more))

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        listed = super().ls(path, detail=detail, **more)
        return [self._telling(each) for each in listed] if detail else listed

    def find(self, path: str, *args: Any, detail: bool = False, **more: Any) -> Any:
        found = super().find(path, *args, detail=True, **more)
        return {name: self._telling(info) for name, info in found.items()} if detail else found

    def _telling(self, info: dict[str, Any]) -> dict[str, Any]:
        found = self.store.get(info["name"])
        return info if found is None else {**info, "ETag": self.etag(found.getvalue())}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are made."""
    fleet_ref._shared.clear()
    filesystems._opened.clear()
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(model_files, "PART_BYTES", 2000)
    return folder


@pytest.fixture
def plain(faulty: type[Faulty], monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    """A store of models that says nothing of their content. No twins are shared."""
    monkeypatch.delenv("FASTLOAD_REMOTE")
    return faulty


@pytest.fixture
def bucket(plain: type[Faulty], monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """A store of models that proves their content."""
    fsspec.register_implementation("faulty", Bucket, clobber=True)
    monkeypatch.setitem(model_files._PROOFS, "faulty", "ETag")  # type: ignore[attr-defined]
    yield Bucket
    fsspec.register_implementation("faulty", plain, clobber=True)


def put(path: Path, name: str = "") -> str:
    """Put a model into the store, and return its address."""
    name = name or path.name
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    for each in files:
        below = "" if each == path else f"/{each.relative_to(path).as_posix()}"
        Faulty("").pipe_file(f"{PLACE}/{name}{below}", each.read_bytes())
    return f"{PLACE}/{name}"


def report() -> LoadReport:
    found = fastload.last_load()
    assert found is not None
    return found


def loaded(url: str, model: SavedModel, **more: Any) -> Any:
    return fastload.load_model(url, keras=model.form.package, **more)


def fetched() -> list[str]:
    """Return what was read since the last call of it."""
    read = [path for name, path in Faulty.asked if name == "cat_file"]
    Faulty.asked.clear()
    return read


def test_it_is_the_model_that_stock_loads_of_this_disk(
    model: SavedModel, plain: type[Faulty], temporary: Path
) -> None:
    url = put(model.path)
    first = loaded(url, model)
    assert (report().outcome, report().path) == (Outcome.MISS, f"{SHOWN}/{model.path.name}")
    assert_same_model(model.load_stock(), first)
    assert_same_model(first, loaded(url, model))
    assert report().outcome is Outcome.HIT
    assert list(temporary.glob("fastload-*")) == []


def test_what_the_store_proves_is_not_fetched_again(
    model: SavedModel, bucket: type[Faulty], saved_once: Any
) -> None:
    url = put(model.path)
    loaded(url, model)
    assert fetched() != []
    assert fastload.explain(url, keras=model.form.package).outcome is Outcome.HIT
    again = loaded(url, model)
    assert (report().outcome, fetched()) == (Outcome.HIT, [])
    assert_same_model(model.load_stock(), again)

    other = saved_once(model.form, "functional", 2)
    put(other, model.path.name)
    assert_same_model(SavedModel(path=other, form=model.form).load_stock(), loaded(url, model))
    assert report().outcome is Outcome.MISS


def test_prune_knows_what_is_at_an_address(
    saved_model: SavedModel, bucket: type[Faulty], cache_root: Path, saved_once: Any
) -> None:
    """The twin of what was last seen there stays; that of what was there before does not."""
    url = put(saved_model.path)
    loaded(url, saved_model)
    first = report().twin
    put(saved_once(saved_model.form, "functional", 2), saved_model.path.name)
    loaded(url, saved_model)
    second = report().twin
    for used in cache_root.glob("*.h5"):
        os.utime(used, (used.stat().st_mtime - 90_000,) * 2)

    cache = CacheDir(root=cache_root)
    assert {each.name for each in prune(cache, known_sources).twins} == {first.stem}
    assert [each.name for each in entries(cache)] == [second.stem]


def test_what_nothing_proves_is_fetched_each_time(
    saved_model: SavedModel, plain: type[Faulty]
) -> None:
    url = put(saved_model.path)
    for outcome in (Outcome.MISS, Outcome.HIT):
        fastload.load_saved_model(url)
        assert (report().outcome, fetched() != []) == (outcome, True)


def test_every_function_takes_an_address(saved_model: SavedModel, bucket: type[Faulty]) -> None:
    url, path = put(saved_model.path), saved_model.path
    assert fastload.explain(url, function="load_saved_model").outcome is Outcome.MISS
    assert fastload.warm(url, keras=saved_model.form.package).path == f"{SHOWN}/{path.name}"
    Faulty.asked.clear()

    expected = tf.saved_model.load(str(path)).signatures["serving_default"](tf.constant(INPUTS))
    objects = fastload.load_saved_model(url)
    actual = objects.signatures["serving_default"](tf.constant(INPUTS))
    (name,) = expected
    assert_same_arrays([expected[name].numpy()], [actual[name].numpy()])
    predictor = fastload.load_predictor(url)
    assert_same_arrays([expected[name].numpy()], [predictor(INPUTS).numpy()])
    again = pickle.loads(pickle.dumps(predictor))
    assert_same_arrays([expected[name].numpy()], [again(INPUTS).numpy()])
    assert report().outcome is Outcome.HIT
    assert fetched() == []


@pytest.mark.parametrize("form", [SAVED_MODEL, KERAS2_ARCHIVE], ids=str)
def test_a_model_of_keras_2_is_migrated_from_an_address(
    form: Form, saved_once: Any, bucket: type[Faulty]
) -> None:
    """Also where stock has to refuse the file before, which takes the file."""
    keras, path = package_of(3), saved_once(form)
    url = put(path)
    for outcome in (Outcome.MISS, Outcome.HIT):
        found = fastload.load_model(url, keras=keras)(INPUTS)
        assert report().outcome is outcome
        expected = fastload.load_model(path, keras=keras)(INPUTS)
        assert_same_arrays([np.asarray(expected)], [np.asarray(found)])


def test_weights_are_had_from_an_address(
    saved_once: Any, tmp_path: Path, bucket: type[Faulty]
) -> None:
    keras = pytest.importorskip("keras")
    path = tmp_path / "a.weights.h5"
    made = keras.models.load_model(saved_once(KERAS3_ARCHIVE))
    made.save_weights(path)
    url = put(path)
    for outcome in (Outcome.MISS, Outcome.HIT):
        other = keras.models.load_model(saved_once(KERAS3_ARCHIVE, "functional", 2))
        fastload.load_weights(other, url)
        assert report().outcome is outcome
        assert_same_arrays(made.get_weights(), other.get_weights())


def test_a_reference_opens_without_the_model(
    saved_model: SavedModel, bucket: type[Faulty], temporary: Path
) -> None:
    url = put(saved_model.path)
    ref = fastload.ref(url)
    assert (ref.path, ref.digest) == (
        f"{SHOWN}/{saved_model.path.name}",
        fastload.ref(saved_model.path).digest,
    )
    there = fastload.Ref(digest=ref.digest, kind=ref.kind, path=url)  # which has the password
    expected = there.load_predictor()(INPUTS).numpy()
    assert report().outcome is Outcome.MISS
    Faulty.store.clear()
    fleet_ref._shared.clear()
    assert_same_arrays([expected], [there.load_predictor()(INPUTS).numpy()])
    assert list(temporary.glob("fastload-*")) == []


def test_a_reference_never_opens_another_model(
    saved_model: SavedModel, plain: type[Faulty], saved_once: Any
) -> None:
    url = put(saved_model.path)
    there = fastload.Ref(digest=fastload.ref(url).digest, kind="saved_model", path=url)
    put(saved_once(SAVED_MODEL, "functional", 2), saved_model.path.name)
    with pytest.raises(ModelChangedError):
        there.load_saved_model()
    Faulty.store.clear()
    with pytest.raises(ModelNotHereError) as caught:
        there.load_saved_model()
    assert "secret" not in str(caught.value)


def refusal(url: str, **more: Any) -> tuple[type, str]:
    """Return what the stock loader raises for an address."""
    with pytest.raises(Exception) as caught, fastload.disabled():  # noqa: PT011
        fastload.load_model(url, **more)
    return type(caught.value), str(caught.value)


def test_what_cannot_be_had_is_said(
    plain: type[Faulty], stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By fastload, with what stock says of the address; nothing waits longer than it has to."""
    url = f"{PLACE}/nothing.keras"
    with pytest.raises(RemoteSourceError, match="FileNotFoundError") as caught:
        fastload.load_model(url, keras=package_of(3))
    assert report().code == "FL208"
    cause = caught.value.__cause__
    assert (type(cause), str(cause)) == refusal(url, keras=package_of(3))
    assert "secret" not in str(caught.value)

    monkeypatch.setenv("FASTLOAD_REMOTE_TIMEOUT", "0.2")
    monkeypatch.setattr(Faulty, "info", stall, raising=False)
    with pytest.raises(RemoteSourceError, match=r"no answer within 0\.2 s"):
        fastload.load_model(url, strict=True)
    assert fastload.explain(url).code == "FL208"


def test_an_address_that_nothing_speaks_to_is_stocks(cache_root: Path) -> None:
    url = "nobody-knows://bucket/a.keras"
    with pytest.raises(Exception) as caught:  # noqa: PT011
        fastload.load_model(url, keras=package_of(3))
    assert (type(caught.value), str(caught.value)) == refusal(url, keras=package_of(3))
    with pytest.raises(UnsupportedSourceError, match="is a remote path"):
        fastload.load_model(url, strict=True)


def test_weights_in_shards_are_no_file_to_copy(plain: type[Faulty]) -> None:
    Faulty("").pipe_file(url := f"{PLACE}/a.weights.json", b"{}")
    assert "in shards" in fastload.explain(url, function="load_weights").reason


@pytest.mark.slow
def test_programs_that_call_stock_get_what_stock_gives(
    saved_once: Any, plain: type[Faulty], run_python: Any, tmp_path: Path
) -> None:
    """An address that stock does not open stays one, though fastload could."""
    url = put(saved_once(KERAS3_ARCHIVE)).replace("faulty", "memory")
    program = (
        "import sys, keras\n"
        "try: keras.models.load_model(sys.argv[1])\n"
        "except Exception as error: print(type(error), error)\n"
    )
    plainly, hooked = (run_python(program, url, FASTLOAD=flag) for flag in ("0", "1"))
    assert plainly == hooked != ""


def test_a_model_that_is_written_to_is_never_half_of_two(
    saved_model: SavedModel, plain: type[Faulty], saved_once: Any
) -> None:
    url, other = put(saved_model.path), saved_once(SAVED_MODEL, "functional", 2)
    writes: list[str] = []

    def written(name: str, does: Callable[[], Any], path: str) -> Any:
        if name == "cat_file" and path.endswith("00001") and len(writes) < most:
            writes.append(put(other, saved_model.path.name))
        return does()

    Faulty.fault = staticmethod(written)
    most = 1  # the copy is thrown away, and made again
    fastload.load_saved_model(url)
    Faulty.fault = staticmethod(works)
    assert report().outcome is Outcome.MISS
    assert fastload.ref(url).digest == fastload.ref(other).digest

    writes.clear()
    most = 99
    Faulty.fault = staticmethod(written)
    with pytest.raises(RemoteSourceError, match="it is being written to"):
        fastload.load_saved_model(url)


@pytest.mark.parametrize("name", ["variables/../../../evil", "assets//evil", "assets/./evil"])
def test_no_name_leads_out_of_the_copy(
    name: str, saved_once: Any, plain: type[Faulty], temporary: Path
) -> None:
    url = put(saved_once(SAVED_MODEL), "m")
    Faulty("").pipe_file(f"{url}/{name}", b"evil")
    with pytest.raises(RemoteSourceError, match="is none of a file in a folder"):
        fastload.ref(url)
    assert not list(temporary.parent.rglob("evil"))


def test_a_part_of_a_model_is_refused_as_stock_refuses_it(
    saved_model: SavedModel, plain: type[Faulty], tmp_path: Path
) -> None:
    """A list that lacks a file, or a short answer, makes no other model."""
    (saved_model.path / "variables/variables.index").unlink()
    with pytest.raises(Exception) as stock:  # noqa: PT011
        tf.saved_model.load(str(saved_model.path))
    url = put(saved_model.path)
    with pytest.raises(type(stock.value)):
        fastload.load_saved_model(url)

    Faulty.fault = staticmethod(lambda name, does, _: does()[:-1] if name == "cat_file" else does())
    with pytest.raises(RemoteSourceError, match="were asked for"):
        fastload.load_saved_model(url)


def test_stock_gets_a_copy_of_what_a_twin_cannot_serve(
    saved_once: Any, plain: type[Faulty], temporary: Path
) -> None:
    url = put(saved_once(SAVED_MODEL), "m")
    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
    fastload.load_saved_model(url, options=options)
    assert (report().outcome, report().path) == (Outcome.BYPASS, f"{SHOWN}/m")
    assert list(temporary.glob("fastload-*")) == []


def test_assets_are_there_as_long_as_the_process(
    bucket: type[Faulty], tmp_path: Path, temporary: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("some\nwords\n")

    class Counting(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            initial = tf.lookup.TextFileInitializer(
                str(words), "string", tf.lookup.TextFileIndex.WHOLE_LINE, "int64", -1
            )
            self.table = tf.lookup.StaticHashTable(initial, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], "string")])  # type: ignore[untyped-decorator]
        def __call__(self, texts: Any) -> Any:
            return self.table.lookup(texts)

    tf.saved_model.save(Counting(), str(tmp_path / "m"))
    words.unlink()
    url = put(tmp_path / "m")
    for outcome in (Outcome.MISS, Outcome.HIT):
        found = fastload.load_saved_model(url)
        assert report().outcome is outcome
        np.testing.assert_array_equal(found(tf.constant(["words", "none"])), [1, -1])
        tf.saved_model.save(found, str(tmp_path / f"again {outcome}"))
    assert [each.name for each in temporary.rglob("words.txt")] == ["words.txt"] * 2


def test_a_memo_that_is_damaged_costs_a_fetch(
    saved_model: SavedModel, bucket: type[Faulty], cache_root: Path
) -> None:
    url = put(saved_model.path)
    fastload.load_saved_model(url)
    (memo,) = cache_root.rglob("*.address")
    assert "secret" not in memo.read_text()
    for content in (
        b"",
        b"[]",
        b"\xff",
        memo.read_bytes().replace(b'"version": 1', b'"version": 2'),
    ):
        memo.write_bytes(content)
        fetched()
        fastload.load_saved_model(url)
        assert (report().outcome, fetched() != []) == (Outcome.HIT, True)


def test_a_fork_leaves_the_copies_of_its_parent(tmp_path: Path) -> None:
    from fastload.loading.at_address import _Copy

    copy = _Copy("m")
    folder = copy.path.parent
    if (child := os.fork()) == 0:
        copy.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.is_dir()
    copy.remove()
    assert not folder.exists()


def test_what_no_checksum_compares_is_fetched_twice(
    saved_model: SavedModel, bucket: type[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an encrypted object, whose `ETag` is no digest; what came wrong once is not kept."""
    monkeypatch.setattr(Bucket, "etag", staticmethod(lambda content: content[::-1][:9].hex()))
    url = put(saved_model.path)
    right = fastload.ref(saved_model.path).digest

    def lies(name: str, does: Callable[[], Any], path: str) -> Any:
        found = does()
        is_index = name == "cat_file" and path.endswith(".index")
        return bytes(len(found)) if is_index else found

    Faulty.fault = staticmethod(lies)
    assert fastload.ref(url).digest != right
    Faulty.fault = staticmethod(works)
    fetched()
    was_fetched = []
    for _ in range(3):
        assert fastload.ref(url).digest == right
        was_fetched.append(fetched() != [])
    assert was_fetched == [True, True, False]


@pytest.mark.parametrize(("size", "part"), [(0, None), (7, None), (20 * 2**20, 8), (9 * 2**20, 5)])
def test_checksums_of_s3_and_of_google_are_known(
    size: int, part: int | None, tmp_path: Path
) -> None:
    content = np.random.default_rng(1).bytes(size)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content + b"!")
    parts = [content[at : at + part * 2**20] for at in range(0, size, part * 2**20)] if part else []
    digests = b"".join(hashlib.md5(each).digest() for each in parts)
    whole = hashlib.md5(content)
    etag = f"{hashlib.md5(digests).hexdigest()}-{len(parts)}" if parts else whole.hexdigest()
    for state in ({"ETag": f'"{etag}"'}, {"md5Hash": base64.b64encode(whole.digest()).decode()}):
        known = RemoteFile(name="", path="a", size_bytes=size, state=state)
        assert agrees(known, tmp_path / "a")
        assert not agrees(known, tmp_path / "b")
