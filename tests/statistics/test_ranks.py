"""Ranks over sets: against the formula and the table of Demsar (2006), and what so few sets can decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from faceexp.statistics.ranks import critical_difference, ranked


@pytest.mark.parametrize(
    ("rows", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (10, 3.164)]
)
def test_critical_differences_are_those_of_the_published_table(rows, quantile):
    # Table 5 (a) of Demsar (2006), q at 5 %.
    assert critical_difference(rows, 14) == pytest.approx(quantile * (rows * (rows + 1) / (6 * 14)) ** 0.5, rel=3e-4)


def test_the_critical_difference_of_the_published_example():
    # Four rows on fourteen sets.
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_mean_ranks_and_the_test_against_the_formula():
    random = np.random.default_rng(3)
    values = {label: (random.normal(size=9) + shift).tolist() for label, shift in (("a", 0), ("b", 1), ("c", 3))}
    found = ranked(values, higher_is_better=True)
    ranks = {
        label: [1 + sum(other[place] > own[place] for other in values.values()) for place in range(9)]
        for label, own in values.items()
    }
    assert found.mean_rank == pytest.approx({label: sum(row) / 9 for label, row in ranks.items()})
    statistic = 12 * 9 / (3 * 4) * (sum((sum(row) / 9) ** 2 for row in ranks.values()) - 3 * 4**2 / 4)
    # With two degrees of freedom, chi-squared is exceeded with this probability.
    assert found.p == pytest.approx(math.exp(-statistic / 2))
    assert found.critical == critical_difference(3, 9)


def test_rows_that_differ_on_every_set_are_told_apart():
    values = {"a": [9.0] * 8, "b": [8.0] * 8, "c": [7.0] * 8, "d": [6.0] * 8}
    found = ranked(values, higher_is_better=True)
    assert list(found.mean_rank.values()) == [1, 2, 3, 4]
    assert found.apart == (("a", "c"), ("a", "d"), ("b", "d"))
    turned = ranked(values, higher_is_better=False)
    assert list(turned.mean_rank) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("rows", [2, 3, 4, 6, 10, 40, 200])
def test_two_sets_never_decide_anything(rows):
    found = ranked({str(row): [float(row)] * 2 for row in range(rows)}, higher_is_better=True)
    assert found.fewest_sets >= 3
    assert (found.p, found.critical, found.apart) == (None, None, ())
    # With one set less than the fewest, not even the first and the last rank lie far enough apart.
    assert critical_difference(rows, found.fewest_sets - 1) > rows - 1 >= critical_difference(rows, found.fewest_sets)


def test_rows_that_are_equal_everywhere_do_not_differ():
    found = ranked({"a": [0.5] * 5, "b": [0.5] * 5, "c": [0.5] * 5}, higher_is_better=True)
    assert (found.p, found.apart) == (1.0, ())


@pytest.mark.parametrize("values", [{}, {"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0]}])
def test_one_row_or_one_set_has_no_ranks(values):
    assert ranked(values, higher_is_better=True) is None
