"""What `--json` prints is what `fastload schema` says, to the last member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.cli.main import VERBS
from fastload.cli.output import print_json
from fastload.cli.schema import schemas
from tests.bench.made_up import everything
from tests.conftest import SavedOnce
from tests.small_models import KERAS3_ARCHIVE

from .conftest import Cli, Twins, damage, document_of
from .test_reporting import record_two_loads

jsonschema = pytest.importorskip("jsonschema")


def closed(schema: Any) -> Any:
    """Return *schema* with nothing allowed that it does not name: a test must see what is new."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    is_open = "additionalProperties" in schema or "properties" not in schema
    return found if is_open else {**found, "additionalProperties": False}


def check(verb: str, document: Any) -> None:
    """See that *document* is what its schema says, with no member that it does not name."""
    jsonschema.validate(
        document,
        closed(schemas()[verb]),
        cls=jsonschema.Draft202012Validator,
        format_checker=jsonschema.FormatChecker(),
    )


def test_each_verb_with_json_has_a_schema() -> None:
    """And errors have one; no other."""
    with_json = {
        str(verb.name)
        for verb in VERBS
        if any("--json" in parameter.opts for parameter in verb.params)
    }

    assert set(schemas()) == with_json | {"error"}


@pytest.mark.parametrize("verb", sorted(schemas()))
def test_each_is_a_schema_itself(verb: str) -> None:
    """Of the draft that it names; and what is described is an object, or one of several."""
    found = schemas()[verb]
    jsonschema.Draft202012Validator.check_schema(found)

    assert found["title"] == f"fastload {verb} --json"
    assert found["description"]


def test_schemas_are_printed(cli: Cli) -> None:
    """One, or all by name; there is none of a verb without documents."""
    assert document_of(cli("schema", "ls")) == schemas()["ls"]
    assert document_of(cli("schema")) == schemas()
    assert cli("schema", "run").exit_code == 2


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


def test_documents_of_the_cache(cli: Cli, twins: Twins, model: Path, tmp_path: Path) -> None:
    """Of whole twins and of a damaged one."""
    entry = twins.add_for(model, "a" * 64)
    broken = twins.add("b" * 64)
    broken.path.chmod(0o600)
    broken.path.write_bytes(b"\x89HDF\r\n\x1a\n")
    record_two_loads(twins)
    archive = tmp_path / "twins.tar"
    words = {
        "ls": (),
        "info": (entry.name,),
        "verify": (entry.name,),
        "stats": ("--by-model",),
        "export": (entry.name, "-o", archive),
        "import": (archive,),
        "prune": ("--dry-run",),
        "rm": ("--dry-run", entry.name),
    }
    documents = {verb: document_of(cli(verb, *rest, "--json")) for verb, rest in words.items()}
    faults = [each["fault"] for each in documents["ls"]["entries"]]

    for verb, document in documents.items():
        check(verb, document)
    assert sum(fault is not None for fault in faults) == 1
    check("info", document_of(cli("info", broken.name, "--json")))


def test_documents_of_damage(cli: Cli, twins: Twins) -> None:
    """What was found damaged, and removed."""
    damage(twins.add("a" * 64))
    document = document_of(cli("verify", "--all", "--remove", "--json"))

    check("verify", document)
    assert document["entries"][0]["removed"] is True


def test_documents_of_an_empty_cache(cli: Cli, cache_root: Path) -> None:
    for verb in ("ls", "stats", "prune"):
        check(verb, document_of(cli(verb, "--json")))


def test_documents_of_models(
    cli: Cli, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Before and after the twin is written."""
    pytest.importorskip("tensorflow")
    path, keras = saved_once(KERAS3_ARCHIVE), ("--keras", KERAS3_ARCHIVE.package)
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    inputs = ("--inputs", tmp_path / "x.npy")
    words: list[tuple[Any, ...]] = [
        ("explain", path, "/no/such/model", *keras),
        ("estimate", path),
        ("estimate", path, "--budget", "1MiB"),
        ("estimate", path, "--budget", "1"),
        ("warm", path, "/no/such/model", "--verify", *keras),
        ("explain", path, *keras),
        ("info", path),
        ("predict", path, *inputs, *keras),
        ("predict", path, *inputs, "--output", tmp_path / "y.npy", *keras),
    ]
    for each in words:
        check(each[0], document_of(cli(*each, "--json")))


def test_documents_of_measurements(capsys: pytest.CaptureFixture[str]) -> None:
    """All that one can have."""
    print_json(everything().to_document())

    check("bench", json.loads(capsys.readouterr().out))


def test_documents_of_declarations(cli: Cli, cache_root: Path) -> None:
    check("register", document_of(cli("register", "Thing=pathlib:Path", "--json")))


@pytest.mark.slow
def test_documents_of_the_installation(cli: Cli, cache_root: Path) -> None:
    """Both: `doctor` imports every TensorFlow and Keras that is here."""
    pytest.importorskip("tensorflow")
    for options in ((), ("--internals",)):
        check("doctor", document_of(cli("doctor", *options, "--json")))


@pytest.mark.parametrize(
    "words", [("info", "/no/such/model"), ("info",), ("bench", "/no/such/model")]
)
def test_documents_of_errors(cli: Cli, words: tuple[str, ...]) -> None:
    check("error", document_of(cli(*words, "--json")))


def test_a_document_with_a_member_too_many_or_too_few_is_seen() -> None:
    """The check can fail."""
    document = json.loads(json.dumps(everything().to_document()))
    del document["functions"][0]["code"]
    with pytest.raises(jsonschema.ValidationError, match="'code' is a required property"):
        check("bench", document)
    with pytest.raises(jsonschema.ValidationError, match="'more' was unexpected"):
        check("error", {"error": {"code": "FL000", "message": ""}, "more": 1})
