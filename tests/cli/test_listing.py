"""`ls` and `info` say what is in the cache, in whatever state it is."""

from __future__ import annotations

import json
from pathlib import Path

from fastload.cache.stats import note_stock_seconds
from fastload.twin.format import FUNCTIONS, REFUSALS, SIGNATURES

from .conftest import ARRAYS, Cli, Twins, document_of

WEIGHTS_BYTES = sum(array.nbytes for array in ARRAYS.values())


def test_a_cache_that_does_not_exist_is_empty_and_stays_away(cli: Cli, cache_root: Path) -> None:
    """Looking makes no folder."""
    told = cli("ls")
    document = document_of(cli("ls", "--json"))

    assert (told.exit_code, told.stdout) == (0, f"No twins in {cache_root}\n")
    assert document == {"cache": str(cache_root), "layers": [], "size_bytes": 0, "entries": []}
    assert not cache_root.exists()


def test_twins_are_listed_by_last_use(cli: Cli, twins: Twins) -> None:
    """The one in use comes first."""
    old = twins.add("a" * 64, unused_s=3 * 86_400)
    new = twins.add("b" * 64, generation="keras2", unused_s=7200)
    lines = cli("ls").stdout.splitlines()

    assert lines[1].split()[:6] == [new.name[:12], "HDF5", "Keras", "2", "23.6", "KiB"]
    assert " 2 hours " in lines[1]
    assert lines[2].startswith(old.name[:12])
    assert " 3 days " in lines[2]
    assert lines[-1].startswith("2 twins, ")


def test_the_json_of_ls_has_a_fixed_shape(cli: Cli, twins: Twins, tmp_path: Path) -> None:
    """Programs rely on these keys."""
    model = tmp_path / "model.h5"
    entry = twins.add_for(model, "a" * 64)
    (listed,) = document_of(cli("ls", "--json"))["entries"]
    times = {listed.pop("created"), listed.pop("last_used")}

    assert all(time.endswith("+00:00") for time in times)
    assert listed == {
        "name": entry.name,
        "twin": str(entry.path),
        "layer": None,
        "models": [str(model)],
        "kind": "keras_hdf5",
        "keras": "keras3",
        "weights_bytes": WEIGHTS_BYTES,
        "size_bytes": entry.path.stat().st_size,
        "fault": None,
    }


def test_a_content_at_several_paths_is_listed_once(cli: Cli, twins: Twins, tmp_path: Path) -> None:
    """Copies of a model share a twin."""
    for name in ("one.h5", "two.h5"):
        twins.add_for(tmp_path / name, "a" * 64)
    (listed,) = document_of(cli("ls", "--json"))["entries"]

    assert listed["models"] == [str(tmp_path / "one.h5"), str(tmp_path / "two.h5")]
    assert "and 1 more" in " ".join(cli("ls", env={"COLUMNS": "200"}).stdout.split())


def test_a_twin_that_cannot_be_read_does_not_hide_the_others(cli: Cli, twins: Twins) -> None:
    """Its row says so."""
    broken, sound = twins.add("a" * 64), twins.add("b" * 64)
    broken.path.write_bytes(b"no twin")
    result = cli("ls", "--json")
    listed = {each["name"]: each for each in document_of(result)["entries"]}

    assert result.exit_code == 0
    assert listed[sound.name]["fault"] is None
    assert listed[broken.name]["fault"]["code"] == "FL103"
    assert listed[broken.name]["weights_bytes"] is None
    assert "unreadable (FL103)" in " ".join(cli("ls", env={"COLUMNS": "200"}).stdout.split())


def test_a_row_is_one_line_where_no_terminal_is(cli: Cli, twins: Twins, tmp_path: Path) -> None:
    """So that `grep` finds what it looks for; and no colours are in the way."""
    name = "m" * 120 + ".h5"
    twins.add_for(tmp_path / name, "a" * 64)
    table = cli("ls").stdout.splitlines()[:-1]

    assert sum(line.endswith(name) for line in table) == 1
    assert "\x1b" not in "".join(table)


def test_info_tells_what_a_twin_holds(cli: Cli, twins: Twins) -> None:
    """Everything but the weights' values."""
    entry = twins.add(
        "a" * 64,
        groups={"": {"model_config": "{}"}},
        object_names={"Dense": "dense", "lab>Swish": "act"},
        versions={"python": "3.11"},
    )
    note_stock_seconds(entry, 4.5)
    (told,) = document_of(cli("info", entry.name[:8], "--json"))["entries"]

    assert told["source_digest"] == "a" * 64
    assert told["versions"] == {"python": "3.11"}
    assert told["objects"] == {"Dense": "dense", "lab>Swish": "act"}
    assert told["registered_objects"] == ["lab>Swish"]
    assert told["opens_as_hdf5"] is True
    assert told["weights"] == 3
    assert told["bytes_by_dtype"] == {"float32": 24_000, "float16": 200, "int64": 8}
    assert told["largest"][0] == {
        "name": "model_weights/dense/kernel:0",
        "dtype": "float32",
        "shape": [60, 100],
        "size_bytes": 24_000,
    }
    assert told["stock_seconds"] == 4.5


def test_info_in_words_names_the_same(cli: Cli, twins: Twins, tmp_path: Path) -> None:
    """By a path of the model, with its brackets, which are no styles."""
    model = tmp_path / "net[bold].h5"
    entry = twins.add_for(model, "a" * 64, object_names={"lab>Swish": "act"})
    told = cli("info", model).stdout

    assert f"Entry           {entry.name}\n" in told
    assert f"Model           {model}\n" in told
    assert "Stock Keras     does not open it\n" in told
    assert "Custom objects  lab>Swish\n" in told
    assert "3 (float32 23.4 KiB, float16 200 Bytes, int64 8 Bytes)\n" in told


def test_info_on_a_damaged_twin_tells_the_fault(cli: Cli, twins: Twins) -> None:
    """What can be told still is."""
    entry = twins.add("a" * 64)
    entry.path.write_bytes(b"no twin")
    told = cli("info", entry.name)

    assert told.exit_code == 0
    assert "Fault           [FL103] " in told.stdout
    assert "it does not begin with a fastload header" in told.stdout


def test_info_lists_signatures_and_what_is_served(cli: Cli, twins: Twins) -> None:
    """A SavedModel's twin that serves all but `load_model`."""
    specs = {
        "serving_default": {
            "inputs": {"image": ["float32", [None, 8]], "label": ["string", None]},
            "outputs": {"score": ["float32", []]},
        }
    }
    refused = {section: ["FL203", "it is older"] for section in ("keras", "functions")}
    entry = twins.add(
        "a" * 64,
        source_kind="saved_model",
        documents={
            FUNCTIONS: b"",
            SIGNATURES: json.dumps(specs).encode(),
            REFUSALS: json.dumps(refused).encode(),
        },
    )
    told = cli("info", entry.name).stdout
    (document,) = document_of(cli("info", entry.name, "--json"))["entries"]

    assert document["signatures"] == specs
    assert document["serves"] == ["load_predictor"]
    assert "Serves          load_predictor\n" in told
    assert "not load_model: [FL203] it is older\n" in told
    rows = [line.split() for line in told.splitlines()[-4:]]
    assert rows == [
        ["Signature", "Name", "Dtype", "Shape"],
        ["serving_default", "takes", "image", "float32", "?", "x", "8"],
        ["takes", "label", "string", "any"],
        ["gives", "score", "float32", "scalar"],
    ]


def test_info_on_a_damaged_document_tells_the_fault(cli: Cli, twins: Twins) -> None:
    """Its bytes are not those that were written."""
    specs = json.dumps({"x": {"inputs": {}, "outputs": {}}}).encode()
    entry = twins.add("a" * 64, documents={SIGNATURES: specs})
    content = entry.path.read_bytes()
    assert content.count(specs) == 1
    entry.path.chmod(0o600)
    entry.path.write_bytes(content.replace(specs, specs.replace(b"x", b"y")))

    told = cli("info", entry.name)

    assert told.exit_code == 0
    assert "its document 'signatures.json' does not match its digest" in told.stdout
