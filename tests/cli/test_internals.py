"""`fastload doctor --internals`, for people."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from fastload.cli.doctor import doctor
from fastload.runtime import internals
from fastload.runtime.importing import Feature, Part

EXPECTED = """
a test
  found               json
  found               json.load[fp]
  missing             json.moved  (can do without)
  of another version  json.later  >=3.0  (can do without)

1 of 4 names are missing here
"""


def test_a_missing_name_is_told_and_the_status_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    feature = Feature("a test", {"json": Part(("json",), "load[fp] ?moved ?later>=3.0")})
    monkeypatch.setattr(internals, "FEATURES", (feature,))
    monkeypatch.setattr(internals, "light_import", SimpleNamespace(DEFERRED={}))
    monkeypatch.setattr(internals, "linking", SimpleNamespace(MEANWHILE={}))
    result = CliRunner().invoke(doctor, ["--internals"])

    assert result.exit_code == 1
    assert result.stdout == EXPECTED
