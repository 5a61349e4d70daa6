"""Facts about code are the same in each process, whatever the order of its sets."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest

from fastload.runtime.core.code_facts import Facts
from tests.conftest import SRC

PROGRAM = """
import sys, types
from fastload.runtime.core.code_facts import Facts

def chosen(mode):
    def inner(other):
        return other in {"causal", "full", "half"}, ("nested", mode in {"one", "two", "three"})
    return inner if mode in {"valid", "same", "causal"} else None

module = types.ModuleType("keras.tables")
module.NAMES = {name: len for name in {"relu", "selu", "elu", "gelu"}}
module.chosen = chosen
print(Facts(frozenset({"NAMES"})).of_holder(module, ["NAMES", "chosen"]))
"""


def number(change: str, seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(SRC)}
    program = PROGRAM.replace('"half"', f'"{change}"')
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_sets_is_no_fact(seed: int) -> None:
    assert number("half", seed) == number("half", 0)


def test_what_is_in_a_set_is_a_fact() -> None:
    """In a function in a function, too."""
    assert number("third", 0) != number("half", 0)


def test_what_is_found_deep_first_counts_whole_where_it_is_found_less_deep() -> None:
    def number_of(value: int) -> int:
        table = [[[value]]]
        module = types.ModuleType("keras.tables")
        vars(module).update(deep=[[table]], table=table)
        return Facts(frozenset()).of_holder(module, ["deep", "table"])

    assert number_of(1) == number_of(1)
    assert number_of(1) != number_of(2)
