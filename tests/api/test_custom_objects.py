"""Custom objects: who is asked first, and what is said where nobody knows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fastload
from fastload import declarations
from fastload.errors import UnresolvedObjectError
from tests.needs import IS_FIRST_KERAS_3
from tests.small_models import INPUTS, KERAS2_HDF5, KERAS3_HDF5, SAVED_MODEL, Form, save

pytest.importorskip("tensorflow")

FORMS = [SAVED_MODEL, KERAS2_HDF5, *([] if IS_FIRST_KERAS_3 else [KERAS3_HDF5])]
LEGACY = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
ONE = pytest.mark.parametrize("form", FORMS[-1:], ids=lambda form: form.id)
HDF5 = pytest.mark.parametrize("form", FORMS[1:], ids=lambda form: form.id)


def layer_class(form: Form, name: str = "Squeezed") -> Any:
    """Return a custom layer; each call makes another class of the same name."""
    dense = form.stock.layers.Dense
    return type(name, (dense,), {"__module__": "somewhere"})


@pytest.fixture
def path(form: Form, tmp_path: Path, cache_root: Path) -> Path:
    """A model that uses `Squeezed`, in its layer `mine`."""
    keras = form.stock
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer_class(form)(2, name="mine")(inputs))
    save(model, tmp_path / f"m{form.suffix}")
    return tmp_path / f"m{form.suffix}"


@pytest.fixture(autouse=True)
def clean_registries() -> Iterator[None]:
    """Leave nothing registered, and forget the entry points that were found."""
    yield
    fastload.custom_objects.clear()
    declarations._of_packages.cache_clear()


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form) -> str:
    """Install a distribution that declares `Squeezed`; give the name of its module."""
    module = "declared_" + re.sub(r"\W", "_", tmp_path.name)
    folder = tmp_path / "site"
    info = folder / "squeezers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: squeezers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[fastload.custom_objects]\nSqueezed = {module}:Squeezed\n"
    )
    (folder / f"{module}.py").write_text(
        f"import {form.package} as keras\n"
        "class Squeezed(keras.layers.Dense): pass\n"
        "class Own(keras.layers.Dense): pass\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    declarations._of_packages.cache_clear()
    return module


def load(path: Path, form: Form, objects: dict[str, Any] | None = None) -> type[Any]:
    """Return the class that the custom layer got."""
    model = fastload.load_model(path, objects, keras=form.package, strict=True)
    return type(model.get_layer("mine"))


@LEGACY
def test_keras_decides_between_argument_scope_and_registry(form: Form, path: Path) -> None:
    """Which of them wins differs between versions of Keras; fastload follows."""
    keras = form.stock
    argument, scoped, known = (layer_class(form) for _ in range(3))
    fastload.register(layer_class(form))
    found = []
    for objects in ({"Squeezed": argument}, None):
        for in_scope in (True, False):
            for registered in (True, False):
                with keras.utils.custom_object_scope({"Squeezed": scoped} if in_scope else {}):
                    if registered:
                        keras.utils.get_custom_objects()["Squeezed"] = known
                    if objects or in_scope or registered:
                        stock = keras.models.load_model(path, objects).get_layer("mine")
                        found.append((type(stock), load(path, form, objects)))
                    keras.utils.get_custom_objects().pop("Squeezed", None)

    assert len(found) == 7
    assert [ours is theirs for theirs, ours in found] == [True] * 7


@LEGACY
def test_the_nearest_of_our_own_wins(form: Form, path: Path, declared: str) -> None:
    """What Keras does not know: `register` first, then what this user and packages declare."""
    ours = layer_class(form)
    fastload.register(ours)
    declarations.declare({"Squeezed": f"{declared}:Own"})
    by_fastload = load(path, form)
    fastload.custom_objects.clear()
    unimported = declared not in sys.modules
    by_user = load(path, form)
    declarations.withdraw(["Squeezed"])
    by_entry_point = load(path, form)

    assert by_fastload is ours
    assert unimported
    assert by_user is sys.modules[declared].Own
    assert by_entry_point is sys.modules[declared].Squeezed


@pytest.mark.skipif(sys.platform == "win32", reason="access lists keep user folders private")
@ONE
@pytest.mark.parametrize("loose", ["custom_objects.ini", "."])
def test_a_file_that_others_may_write_declares_nothing(
    form: Form, path: Path, declared: str, loose: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it names would be imported. The entry point still counts."""
    file = declarations.declare({"Squeezed": f"{declared}:Own"})
    (file.parent / loose).chmod(0o777)

    assert load(path, form) is sys.modules[declared].Squeezed
    assert "other users can write to it; run chmod go-w on it" in caplog.text


@LEGACY
def test_register_takes_classes_names_and_mappings(form: Form, path: Path) -> None:
    """Each way leads to the same."""
    plain, named, mapped = (layer_class(form) for _ in range(3))
    fastload.register(plain)
    first = load(path, form)
    fastload.register(name="Squeezed")(named)
    second = load(path, form)
    fastload.register({"Squeezed": mapped})
    third = load(path, form)

    assert (first, second, third) == (plain, named, mapped)


def test_register_refuses_what_is_no_object() -> None:
    """A mistake is told where it is made."""
    with pytest.raises(TypeError, match="register takes a class, a function or a mapping of names"):
        fastload.register(3)  # type: ignore[call-overload]


@HDF5
def test_an_unresolved_class_is_stocks_error_with_a_note(form: Form, path: Path) -> None:
    """Type and message are Keras's; the note names class, layer and line."""
    with pytest.raises((TypeError, ValueError)) as expected:
        form.stock.models.load_model(path)
    with pytest.raises(type(expected.value)) as actual:
        fastload.load_model(path, keras=form.package)
    report = fastload.last_load()
    notes = "".join(getattr(actual.value, "__notes__", ()))

    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", "FL205")
    assert str(actual.value) == str(expected.value)
    if sys.version_info >= (3, 11):
        assert "'Squeezed', used by" in notes
        assert "mine" in notes
        assert "Add `fastload.register(Squeezed)` before loading" in notes


@HDF5
def test_an_unresolved_class_is_named_by_a_strict_load(form: Form, path: Path) -> None:
    """Fields and message."""
    with pytest.raises(UnresolvedObjectError, match=r"\[FL205\] 'Squeezed', used by") as caught:
        fastload.load_model(path, keras=form.package, strict=True)

    assert caught.value.name == "Squeezed"
    assert "mine" in caught.value.user


@pytest.mark.parametrize("form", [SAVED_MODEL], ids=lambda form: form.id)
def test_an_unresolved_class_in_a_saved_model_is_revived(form: Form, path: Path) -> None:
    """The functions in the file stand in for it, as in stock; with a budget, stock itself does."""
    stock = form.stock.models.load_model(path)
    for outcome in ("miss", "hit"):
        loaded = fastload.load_model(path, keras=form.package, strict=True)
        report = fastload.last_load()

        assert report is not None
        assert report.outcome.value == outcome
        assert type(loaded.get_layer("mine")).__name__ == type(stock.get_layer("mine")).__name__
        assert (loaded(INPUTS).numpy() == stock(INPUTS).numpy()).all()

    with pytest.raises(UnresolvedObjectError, match=r"fastload.register\(Squeezed\)"):
        fastload.load_model(path, keras=form.package, memory_budget="1 GB", strict=True)


@HDF5
def test_a_class_that_only_the_file_names_is_never_imported(
    form: Form, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a module of that name could be imported."""
    (tmp_path / "somewhere.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises((TypeError, ValueError)):
        fastload.load_model(path, keras=form.package)

    assert "somewhere" not in sys.modules


@LEGACY
def test_an_entry_point_that_breaks_is_passed_over(
    form: Form, path: Path, declared: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else's package is no reason to fail; it is named in a warning."""
    (tmp_path / "site" / f"{declared}.py").write_text("raise RuntimeError('broken')")
    if form is SAVED_MODEL:  # its functions stand in for the class
        assert load(path, form).__name__ == "Squeezed"
    else:
        with pytest.raises(UnresolvedObjectError):
            load(path, form)

    told = f"declared as {declared}:Squeezed by squeezers 1.0, cannot be imported: broken"
    assert told in caplog.text


@HDF5
def test_registered_objects_serve_the_stock_path_too(form: Form, path: Path) -> None:
    """A bypass must not lose what the user registered."""
    ours = layer_class(form)
    fastload.register(ours)
    twin = fastload.warm(path, keras=form.package).twin
    assert twin is not None
    twin.unlink()
    twin.mkdir()  # no file can take its place
    model = fastload.load_model(path, keras=form.package)
    report = fastload.last_load()

    assert report is not None
    assert report.outcome.value == "bypass"
    assert type(model.get_layer("mine")) is ours


@ONE
def test_entry_points_that_python_cannot_read_declare_nothing(
    form: Form, path: Path, declared: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A malformed file of one package hides those of all; told once. This user's file counts."""
    broken = tmp_path / "site" / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[fastload.custom_objects]\nno equals sign\n")
    declarations._of_packages.cache_clear()
    declarations._warn_once.cache_clear()
    for _ in range(2):
        with pytest.raises(UnresolvedObjectError):
            load(path, form)
    told = caplog.text.count("entry points of packages cannot be read: ")
    declarations.declare({"Squeezed": f"{declared}:Own"})

    assert load(path, form) is sys.modules[declared].Own
    assert told == 1


def test_a_package_without_a_name_declares_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who declares a class is told to people, and nobody's metadata has to be in order."""

    class Nameless(metadata.EntryPoint):
        @property
        def dist(self) -> Any:
            raise KeyError("Name")

    point = Nameless("Tee", "string:Template", declarations.GROUP)
    found = SimpleNamespace(entry_points=lambda group: [point], EntryPoint=metadata.EntryPoint)
    monkeypatch.setattr(declarations, "metadata", found)
    declarations._of_packages.cache_clear()

    assert declarations.declarations()["Tee"].origin == "an entry point"


def test_whatever_fails_a_lookup_fails_no_load(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told with the name that was looked for."""

    def fail(_: str) -> Any:
        raise RuntimeError("no lookup here")

    monkeypatch.setattr(declarations, "declaration_of", fail)

    assert declarations.declared_object("Tee") is None
    assert "custom object 'Tee' cannot be imported: no lookup here" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="any user has a folder there")
@pytest.mark.parametrize("folder", ["~no_such_user/config", "relative"])
def test_a_folder_of_declarations_that_nobody_has_is_none(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a user who is not there, or below a working folder that is gone."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("FASTLOAD_CONFIG_DIR", folder)

    assert declarations.own_file() is None
    assert declarations.declared_object("Squeezed") is None
