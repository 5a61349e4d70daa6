"""Half of the forms of slow tests, and in time all of them."""

from __future__ import annotations

from tests.drawing import drawn

FORMS = [f"tests/test_one.py::test_one[{form}]" for form in "abcde"]


def test_one_commit_draws_the_larger_half() -> None:
    assert len(drawn("a commit", FORMS)) == 3
    assert drawn("a commit", FORMS) == drawn("a commit", reversed(FORMS))


def test_a_test_of_one_form_is_always_taken() -> None:
    assert all(drawn(str(seed), FORMS[:1]) == set(FORMS[:1]) for seed in range(20))


def test_other_commits_draw_the_others() -> None:
    assert frozenset().union(*(drawn(str(seed), FORMS) for seed in range(20))) == set(FORMS)
