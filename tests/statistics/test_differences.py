"""Differences of two rows and their errors, against SciPy and formulas worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from faceexp.statistics.differences import Rule, differences
from faceexp.statistics.paired import averaged_by_fold, mean_of, paired_difference

PLAIN = Rule(0.0, higher_is_better=True)


def row(*values, folds=1):
    """Values by seed and fold: the folds of a seed follow each other."""
    return {(place // folds, place % folds): value for place, value in enumerate(values)}


def test_without_a_ratio_it_is_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.05, (2, 7))
    (test,) = differences({"a": row(*a), "b": row(*b)}, [("a", "b")], PLAIN, lend=False)
    expected = stats.ttest_rel(a, b)
    assert (test.t, test.p_value, test.degrees) == pytest.approx((expected.statistic, expected.pvalue, 6))
    interval = expected.confidence_interval()
    assert test.interval(stats.t.ppf(0.975, 6)) == pytest.approx((interval.low, interval.high))
    assert test.seen == test.spread == pytest.approx(np.std(a - b, ddof=1))


def test_the_error_of_nadeau_and_bengio_by_hand():
    # The differences 1, 2 and 3 have a mean of 2 and a standard deviation of 1; 1/3 + 1/4 = 7/12.
    (test,) = differences({"a": row(4, 6, 8), "b": row(3, 4, 5)}, [("a", "b")], Rule(0.25, True), lend=False)
    assert (test.value, test.seen, test.trials, test.degrees) == (2, 1, 3, 2)
    assert test.error == pytest.approx(math.sqrt(7 / 12))
    assert test.p_value == pytest.approx(2 * stats.t.sf(2 / math.sqrt(7 / 12), 2))


def test_an_interval_ends_where_no_difference_can_be():
    (test,) = differences({"a": row(0.9, 0.2), "b": row(0.1, 0.3)}, [("a", "b")], PLAIN, lend=False)
    low, high = test.interval(12.7, 1.0)
    assert (low, high) == (-1, 1)
    assert test.interval(12.7)[1] > 1


def test_only_common_trials_are_compared():
    rows = {"a": {(0, 0): 0.9, (1, 0): 0.8, (2, 1): 0.1}, "b": {(0, 0): 0.5, (1, 0): 0.6, (2, 0): 9.0}, "none": {}}
    both, nothing, unknown = differences(rows, [("a", "b"), ("a", "none"), ("a", "who")], PLAIN, lend=False)
    assert both.value == pytest.approx(0.3)
    assert both.trials == 2
    for test in (nothing, unknown):
        assert math.isnan(test.value)
        assert (test.trials, test.error, test.p_value) == (0, None, None)
        assert math.isnan(test.t)


def test_a_negative_ratio_is_refused():
    with pytest.raises(ValueError, match="ratio"):
        differences({"a": row(1, 2), "b": row(2, 4)}, [("a", "b")], Rule(-0.1, True), lend=False)


def test_variances_that_lend_each_other_strength_come_nearer_and_know_more():
    rng = np.random.default_rng(1)
    rows = {label: row(*rng.normal(0.5, 0.02, 5)) for label in "abcdef"}
    pairs = [(label, "f") for label in "abcde"]
    alone, together = (differences(rows, pairs, PLAIN, lend=lend) for lend in (False, True))
    assert [test.seen for test in together] == [test.seen for test in alone]
    assert np.ptp([test.spread for test in together]) < np.ptp([test.spread for test in alone])
    assert {test.degrees for test in alone} == {4}
    assert all(4 < test.degrees <= 8 for test in together)


def test_seeds_that_test_the_same_people_are_averaged_within_each_fold():
    a, b = row(0.9, 0.7, 0.8, 0.6, folds=2), row(0.5, 0.5, 0.5, 0.5, folds=2)
    # Fold 0 has 0.9 and 0.8, fold 1 has 0.7 and 0.6.
    assert averaged_by_fold(a) == pytest.approx([0.85, 0.65])
    (test,) = differences({"a": a, "b": b}, [("a", "b")], Rule(0.0, True, average_seeds=True), lend=False)
    assert test.value == pytest.approx(0.25)
    assert (test.trials, test.degrees) == (2, 1)
    assert test.p_value == pytest.approx(stats.ttest_1samp([0.35, 0.15], 0).pvalue)


def test_a_difference_that_hardly_varies_is_no_certainty():
    a, b = row(1.0, 1.0, 1.0), row(0.5, 0.5, 0.5 + 1e-9)
    mean = paired_difference(a, b, 0.25)
    assert mean.value == pytest.approx(0.5)
    assert mean.error == 0
    (test,) = differences({"a": a, "b": b}, [("a", "b")], PLAIN, lend=False)
    assert (test.p_value, test.error) == (None, None)


def test_values_that_differ_by_less_than_a_metric_can_know_are_equal():
    (test,) = differences({"a": row(0.5, 0.6), "b": row(0.5, 0.6 + 1e-12)}, [("a", "b")], PLAIN, lend=False)
    assert (test.value, test.p_value, test.error) == (0, 1, None)


def test_among_others_a_difference_that_hardly_varies_is_judged_by_their_spread():
    rng = np.random.default_rng(2)
    rows = {"reference": row(0.5, 0.5, 0.5, 0.5), "constant": row(0.8, 0.8, 0.8, 0.8)}
    rows |= {label: row(*rng.normal(0.5, 0.05, 4)) for label in "abcd"}
    tests = differences(rows, [(label, "reference") for label in ("constant", *"abcd")], PLAIN, lend=True)
    assert tests[0].error > 0
    assert tests[0].seen == 0
    assert 1e-6 < tests[0].p_value < 0.05


@pytest.mark.parametrize("values", [(0.999, 0.95, 1.0), (0.01, 0.0, 0.2), (0.5, 0.4, 0.7), (0.0, 0.0), (1.0, 1.0)])
def test_the_interval_of_a_rate_stays_within_it_and_holds_the_mean(values):
    mean = mean_of(values, 0.25)
    interval = mean.interval(rate=True)
    assert interval is not None
    low, high = interval
    assert 0 <= low <= mean.value <= high <= 1


def test_far_from_the_ends_the_interval_of_a_rate_is_students():
    mean = mean_of((0.51, 0.5, 0.49, 0.5), 0.25)
    assert mean.interval(rate=True) == pytest.approx(mean.interval(), abs=2e-4)


def test_the_interval_of_a_rate_is_students_on_the_arcsine_scale_by_the_delta_method():
    mean = mean_of((0.9, 0.95, 0.97, 0.86), 0.25)
    half = stats.t.ppf(0.975, 3) * mean.error / (2 * math.sqrt(mean.value * (1 - mean.value)))
    middle = math.asin(math.sqrt(mean.value))
    low, high = math.sin(middle - half) ** 2, math.sin(min(middle + half, math.pi / 2)) ** 2
    assert mean.interval(rate=True) == pytest.approx((low, high))
    assert mean.value - low > high - mean.value  # wider on the side that is farther from its end


@pytest.mark.parametrize(("a", "b", "trials"), [(18, 2, 5), (180, 20, 5), (9, 1, 15), (5, 5, 5)])
def test_the_interval_of_a_rate_covers_the_truth(a, b, trials):
    """Rates of a few people, near 1 and in the middle: at least 92 % of the intervals hold the true mean."""
    draws: np.ndarray = np.random.default_rng(0).beta(a, b, (2000, trials))
    intervals = np.array([mean_of(values, 0.0).interval(rate=True) for values in draws])
    assert np.mean((intervals[:, 0] <= a / (a + b)) & (a / (a + b) <= intervals[:, 1])) >= 0.92
