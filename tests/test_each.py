"""A test over a list of cases: it runs them all, names those that fail, and leaves fixtures to pytest."""

import inspect

import pytest
from each import each


def test_every_case_runs_and_those_that_fail_are_named():
    seen = []

    @each("number", range(5))
    def rule(number):
        seen.append(number)
        assert number % 2 == 0, f"{number} is odd"

    with pytest.raises(AssertionError) as caught:
        rule()

    assert seen == [0, 1, 2, 3, 4]
    assert "2 of 5 cases fail" in str(caught.value) and "- 1: " in str(caught.value) and "- 3: " in str(caught.value)


def test_cases_of_two_lists_meet_each_other_and_fixtures_stay_parameters():
    seen = []

    @each("one", "ab")
    @each(("two", "three"), [(1, 2), (3, 4)], ids=["first", "second"])
    def rule(fixture, one, two, three):
        seen.append((fixture, one, two, three))

    assert list(inspect.signature(rule).parameters) == ["fixture"]
    rule(fixture=0)
    assert seen == [(0, "a", 1, 2), (0, "a", 3, 4), (0, "b", 1, 2), (0, "b", 3, 4)]


def test_a_list_without_cases_is_refused():
    with pytest.raises(AssertionError):
        each("number", [])
