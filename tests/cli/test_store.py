"""What the verbs say of a shared store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, document_of

pytest.importorskip("fsspec", exc_type=ImportError)


def test_doctor_asks_the_store(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the address without a password, and no key."""
    assert document_of(cli("doctor", "--json"))["store"] is None
    monkeypatch.setenv("FASTLOAD_REMOTE", f"file://{tmp_path}/store/")
    monkeypatch.setenv("FASTLOAD_REMOTE_MODE", "readwrite")
    monkeypatch.setenv("FASTLOAD_REMOTE_KEY", "a-secret")
    document, text = cli("doctor", "--json"), cli("doctor").stdout

    assert document_of(document)["store"] == {
        "url": f"file://{tmp_path}/store",
        "mode": "readwrite",
        "is_signed": True,
        "timeout_s": 10.0,
        "fault": None,
    }
    assert "signed with FASTLOAD_REMOTE_KEY" in text
    assert "a-secret" not in text + document.stdout


def test_doctor_says_why_a_store_is_away(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no reason to fail: loads do without it."""
    fine = cli("doctor").exit_code
    monkeypatch.setenv("FASTLOAD_REMOTE", "nosuch://me:password@bucket")
    done = cli("doctor")

    assert "nosuch://bucket" in done.stdout
    assert "password" not in done.stdout
    assert "is not used" in done.stdout
    assert done.exit_code == fine


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FASTLOAD_REMOTE", "bucket/prefix"),
        ("FASTLOAD_REMOTE_MODE", "write"),
        ("FASTLOAD_REMOTE_TIMEOUT", "soon"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    name: str, value: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTLOAD_REMOTE", "file:///store")
    monkeypatch.setenv(name, value)
    done = cli("doctor")

    assert done.exit_code != 0
    assert name in str(done.exception) + done.output


def test_to_publish_nowhere_is_a_wrong_use(cli: Cli, tmp_path: Path) -> None:
    done = cli("warm", "--publish", str(tmp_path))

    assert done.exit_code == 2
    assert "FASTLOAD_REMOTE" in done.output
