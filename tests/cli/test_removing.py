"""`rm`, `prune` and `verify --remove` take away what was named, and nothing of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastload.cli import verify as verifying

from .conftest import ARRAYS, Cli, Twins, damage, document_of


def test_rm_removes_the_named_twin_with_what_belongs_to_it(cli: Cli, twins: Twins) -> None:
    """The other stays."""
    gone, stays = twins.add("a" * 64), twins.add("b" * 64)
    gone.used_path.touch()
    size_bytes = gone.path.stat().st_size
    result = cli("rm", gone.name[:10], "--json")

    assert document_of(result)["removed"] == [{"name": gone.name, "size_bytes": size_bytes}]
    assert not gone.path.exists()
    assert not gone.used_path.exists()
    assert stays.path.exists()


def test_a_dry_run_says_the_same_and_removes_nothing(cli: Cli, twins: Twins) -> None:
    """Not even with `--all`, and nobody is asked."""
    entry = twins.add("a" * 64)
    told = cli("rm", "--all", "--dry-run").stdout

    assert told.startswith(f"Would remove {entry.name[:12]} (")
    assert entry.path.exists()


def test_rm_all_needs_a_yes_where_nobody_can_be_asked(cli: Cli, twins: Twins) -> None:
    """A script has to say that it means it."""
    entry = twins.add("a" * 64)
    refused = cli("rm", "--all")

    assert refused.exit_code == 2
    assert "Give --yes to remove every twin without being asked." in refused.stderr
    assert entry.path.exists()
    assert cli("rm", "--all", "--yes").exit_code == 0
    assert not entry.path.exists()


@pytest.mark.parametrize("words", [["rm"], ["verify"], ["rm", "abc", "--all"]])
def test_entries_are_named_or_all_are_meant_never_both(cli: Cli, words: list[str]) -> None:
    """Neither is no less a mistake."""
    assert cli(*words).exit_code == 2


def test_nothing_is_removed_from_a_folder_of_others(cli: Cli, cache_root: Path) -> None:
    """Even where a file is named as a twin would be."""
    cache_root.mkdir(mode=0o700)
    other = cache_root / f"{'a' * 32}.h5"
    other.touch()
    for words in (["rm", "--all", "--yes"], ["rm", "aaaa"], ["prune", "--max-size", "0"]):
        result = cli(*words)
        assert result.exit_code == 1
        assert result.stderr.startswith("fastload: [FL101] the cache folder ")
        assert "it has no CACHEDIR.TAG of fastload" in result.stderr
    assert other.exists()


def test_rm_all_of_an_absent_cache_is_done_at_once(cli: Cli, cache_root: Path) -> None:
    """There is nothing to confirm either."""
    result = cli("rm", "--all")
    assert (result.exit_code, result.stdout) == (0, "Nothing to remove\n")
    assert not cache_root.exists()


def test_prune_removes_what_was_not_used_for_long(cli: Cli, twins: Twins) -> None:
    """First on trial."""
    old, new = twins.add("a" * 64, unused_s=40 * 86_400), twins.add("b" * 64)
    trial = document_of(cli("prune", "--older-than", "30d", "--dry-run", "--json"))
    still_there = old.path.exists()
    real = document_of(cli("prune", "--older-than", "30d", "--json"))

    assert still_there
    assert trial == {**real, "dry_run": True}
    assert [twin["name"] for twin in real["removed"]] == [old.name]
    assert real["kept_bytes"] == new.path.stat().st_size
    assert not old.path.exists()


def test_prune_keeps_the_twins_used_last_up_to_a_size(cli: Cli, twins: Twins) -> None:
    """The size may have a unit."""
    old, new = twins.add("a" * 64, unused_s=9000), twins.add("b" * 64)
    told = cli("prune", "--max-size", f"{new.path.stat().st_size / 1024}KiB").stdout

    assert "(1 twin, 0 leftovers)" in told
    assert (old.path.exists(), new.path.exists()) == (False, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--older-than", "30"], "not an age: '30' (write 45m, 12h, 30d or 2w)"),
        (["--max-size", "big"], "not a size: 'big'"),
    ],
)
def test_a_limit_that_makes_no_sense_is_a_usage_error(
    cli: Cli, words: list[str], message: str
) -> None:
    """Before anything is looked at."""
    result = cli("prune", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_verify_reads_every_byte_and_names_what_is_damaged(cli: Cli, twins: Twins) -> None:
    """One bit is enough."""
    sound, broken = twins.add("a" * 64), twins.add("b" * 64)
    damage(broken)
    result = cli("verify", "--all", "--json")
    told = {each["name"]: each for each in document_of(result)["entries"]}

    assert result.exit_code == 1
    assert told[sound.name]["intact"] is True
    assert told[broken.name]["intact"] is False
    assert told[broken.name]["damaged"] == ["model_weights/dense/kernel:0"]
    assert broken.path.exists()


@pytest.mark.parametrize("name", ARRAYS)
def test_verify_finds_damage_in_each_weight(cli: Cli, twins: Twins, name: str) -> None:
    """However small it is."""
    entry = twins.add("a" * 64)
    damage(entry, ARRAYS[name].tobytes())
    result = cli("verify", entry.name)

    assert (result.exit_code, result.stdout) == (1, f"{entry.name[:12]}: damaged: {name}\n")


def test_verify_finds_damage_in_a_document(cli: Cli, twins: Twins) -> None:
    """A restore needs those as much as weights."""
    entry = twins.add("a" * 64, documents={"config.json": b"{}" * 500})
    damage(entry, b"{}" * 500)
    result = cli("verify", entry.name)

    assert result.exit_code == 1
    assert "the document 'config.json' does not match its digest" in result.stdout


def test_verify_can_remove_what_is_damaged_alone(cli: Cli, twins: Twins) -> None:
    """The exit status still tells that there was damage."""
    sound, broken = twins.add("a" * 64), twins.add("b" * 64)
    broken.path.write_bytes(broken.path.read_bytes()[:-1])
    result = cli("verify", "--all", "--remove")

    assert result.exit_code == 1
    assert "; removed" in result.stdout
    assert (sound.path.exists(), broken.path.exists()) == (True, False)
    assert cli("verify", "--all").exit_code == 0


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_twin_that_is_removed_meanwhile_is_no_damage(
    cli: Cli, twins: Twins, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """`verify` passes it over, as `ls` does."""
    kept, gone = twins.add("a" * 64), twins.add("b" * 64)
    checked = verifying._checked

    def remove_then_check(*arguments: Any, **options: Any) -> Any:
        gone.path.unlink(missing_ok=True)
        return checked(*arguments, **options)

    monkeypatch.setattr(verifying, "_checked", remove_then_check)
    result = cli("verify", "--all", *words)

    assert result.exit_code == 0, result.output
    assert kept.name[:12] in result.stdout
    assert gone.name[:12] not in result.stdout


def test_verify_has_nothing_against_an_absent_cache(cli: Cli) -> None:
    """Nothing is damaged there."""
    result = cli("verify", "--all")
    assert (result.exit_code, result.stdout) == (0, "Nothing to check\n")
