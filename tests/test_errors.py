"""What a person reads when their input is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceexp.errors import InputError, Problem, did_you_mean


def test_a_problem_says_where_and_what():
    assert str(Problem("unknown key", "x.toml:3")) == "x.toml:3: unknown key"
    assert str(Problem("unknown key")) == "unknown key"


@given(st.text())
def test_a_problem_is_always_one_line(message):
    assert len(str(Problem(message, "x.toml:3")).splitlines()) == 1


@pytest.mark.parametrize("given_as", ["one", Problem("one"), [Problem("one")], iter([Problem("one")])])
def test_an_input_error_carries_problems_however_it_is_made(given_as):
    assert InputError(given_as).problems == (Problem("one"),)


def test_an_input_error_reads_as_one_line_for_each_problem():
    error = InputError([Problem("no such key", "x.toml:1"), Problem("too\nlarge", "x.toml:2")])
    assert str(error) == "x.toml:1: no such key\nx.toml:2: too large"


def test_a_near_name_is_suggested():
    assert did_you_mean("margn", ["margin", "pairs"]) == "did you mean 'margin'?"


def test_several_near_names_are_suggested_the_nearest_first():
    assert did_you_mean("folds", ["fold", "folds2", "seeds"]) == "did you mean 'folds2' or 'fold'?"


def test_without_a_near_name_all_are_listed():
    assert did_you_mean("zzz", ["pairs", "margin"]) == "known: margin, pairs"
    assert did_you_mean("zzz", ["pairs", "margin"], always_list=False) == ""


def test_where_nothing_is_known_nothing_is_suggested():
    assert did_you_mean("margin", []) == ""


def test_a_list_of_very_many_names_is_cut():
    hint = did_you_mean("x", [f"name {number}" for number in range(500)])
    assert hint.startswith("known: name 0, name 1, name 10, ")
    assert len(hint) < 850
    named = hint.removeprefix("known: ").partition(" and ")[0].split(", ")
    assert hint.endswith(f" and {500 - len(named)} more")


def test_a_very_long_name_is_near_to_none():
    assert did_you_mean("a" * 100_000, ["aaa", "b"]) == "known: aaa, b"
