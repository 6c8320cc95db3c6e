"""Variance components against simulations with known ones, SciPy, and plain loops."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from faceexp.statistics.power import UnanswerableError
from faceexp.statistics.spread import spreads


def simulated(random, folds, seeds, people, training, mean=0.8):
    """Return (seed, fold) -> value with these standard deviations."""
    of_folds = random.normal(0, people, folds)
    return {
        (seed, fold): mean + of_folds[fold] + random.normal(0, training)
        for fold in range(folds)
        for seed in range(seeds)
    }


def only(row):
    (spread,) = spreads({"a": row}, seeds_share_people=True)
    return spread


@pytest.mark.parametrize(("people", "training"), [(0.04, 0.02), (0.02, 0.03), (0.03, 0.0)])
def test_the_components_of_a_simulation_are_found_in_the_mean(people, training):
    random = np.random.default_rng(13)
    found = [only(simulated(random, 20, 4, people, training)) for _ in range(300)]
    # The mean of 300 estimates is within a few percent; truncation at 0 hardly matters with 20 folds.
    assert statistics.fmean(each.people for each in found) == pytest.approx(people**2, rel=0.08)
    assert statistics.fmean(each.training for each in found) == pytest.approx(training**2, rel=0.05, abs=1e-12)


def test_the_interval_holds_the_true_share_in_95_percent_of_studies():
    random = np.random.default_rng(14)
    share = 0.03**2 / (0.03**2 + 0.02**2)
    intervals = [only(simulated(random, 5, 3, 0.03, 0.02)).interval for _ in range(2000)]
    covered = np.mean([interval[0] <= share <= interval[1] for interval in intervals if interval])
    # Three standard errors of a share of 2000 are 1.5 %.
    assert covered == pytest.approx(0.95, abs=0.015)


ROWS = st.integers(2, 5).flatmap(
    lambda folds: st.lists(
        st.lists(st.floats(0, 1).map(lambda x: round(x, 3)), min_size=1, max_size=4), min_size=folds, max_size=folds
    )
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_a_plain_analysis_of_variance_gives_the_same(groups):
    row = {(seed, fold): value for fold, group in enumerate(groups) for seed, value in enumerate(group)}
    trials, folds = sum(map(len, groups)), len(groups)
    if len({seed for seed, _ in row}) < 2:
        return
    mean = statistics.fmean(row.values())
    means = [statistics.fmean(group) for group in groups]
    within = math.fsum((value - means[fold]) ** 2 for (_, fold), value in row.items()) / (trials - folds)
    between = math.fsum(len(group) * (of - mean) ** 2 for group, of in zip(groups, means, strict=True)) / (folds - 1)
    seeds = (trials - sum(len(group) ** 2 for group in groups) / trials) / (folds - 1)
    spread = only(row)
    assert (spread.folds, spread.trials) == (folds, trials)
    assert spread.training == pytest.approx(within, abs=1e-15)
    assert spread.people == pytest.approx(max(0, (between - within) / seeds), abs=1e-15)
    if spread.interval:
        share = spread.people_share
        assert share is not None
        assert spread.training_share == 1 - share
        assert 0 <= spread.interval[0] <= spread.interval[1] <= 1


def test_where_folds_have_as_many_seeds_it_is_the_f_test_of_scipy():
    row = simulated(np.random.default_rng(15), 4, 3, 0.09, 0.02)
    groups = [[value for (_, fold), value in row.items() if fold == each] for each in range(4)]
    ratio = stats.f_oneway(*groups).statistic
    spread = only(row)
    assert spread.training == pytest.approx(np.mean([np.var(group, ddof=1) for group in groups]))
    assert 1 + 3 * spread.people / spread.training == pytest.approx(ratio)
    # The interval of the intraclass correlation, as in Searle, Casella and McCulloch, section 3.6.
    ends = [ratio / stats.f.ppf(level, 3, 8) for level in (0.975, 0.025)]
    assert spread.interval == pytest.approx([(end - 1) / (end + 2) for end in ends])


def test_what_makes_both_rows_better_is_no_spread_of_their_difference():
    random = np.random.default_rng(16)
    base = simulated(random, 5, 3, 0.05, 0.01)
    values = {"base": base, "loss": {cell: value + random.normal(0.02, 0.001) for cell, value in base.items()}}
    rows = {spread.label: spread for spread in spreads(values, seeds_share_people=True)}
    (difference,) = spreads(values, seeds_share_people=True, reference="base")
    assert set(rows) == {"base", "loss"}
    assert difference.label == "loss"
    assert rows["loss"].people_share is not None
    assert rows["loss"].people_share > 0.8
    assert difference.people + difference.training < 1e-5
    gains = {cell: values["loss"][cell] - base[cell] for cell in base}
    assert (difference.people, difference.training) == (only(gains).people, only(gains).training)


def test_trials_that_are_missing_leave_the_others():
    row = simulated(np.random.default_rng(17), 3, 3, 0.02, 0.01)
    few = {cell: value for cell, value in row.items() if cell not in ((0, 0), (1, 0))}
    values = {
        "whole": row,
        "few": few,
        "one of each fold": {cell: row[cell] for cell in row if cell[0] == 0},
        "none": {},
    }
    found = spreads(values, seeds_share_people=True)
    assert [(spread.label, spread.folds, spread.trials) for spread in found] == [("whole", 3, 9), ("few", 3, 7)]
    (difference,) = spreads({"a": row, "b": few}, seeds_share_people=True, reference="a")
    assert (difference.trials, difference.people_share) == (7, None)  # they are the same


def test_pixels_are_not_trained_and_rounding_is_no_spread():
    pixels = {(seed, fold): 0.1 * fold + 0.2 for seed in range(3) for fold in range(4)}
    spread = only(pixels)
    assert (spread.training, spread.people_share, spread.training_share) == (0, 1, 0)
    assert spread.interval == (1, 1)
    same = {(seed, fold): (0.3 - 0.2 if seed else 0.2 - 0.1) for seed in range(3) for fold in range(4)}
    assert only(same).people_share is None


@pytest.mark.parametrize(
    ("seeds", "folds", "shared", "message"),
    [
        (3, 5, False, "each seed has other people and another training, which cannot be told apart; set split_seed"),
        (
            3,
            1,
            True,
            "with one fold all seeds test the same people, so the spread is that of training alone; add folds",
        ),
        (1, 5, True, "with one seed, each fold has one training; add seeds"),
    ],
)
def test_trials_that_cannot_tell_say_why(seeds, folds, shared, message):
    row = simulated(np.random.default_rng(0), folds, seeds, 0.02, 0.02)
    with pytest.raises(UnanswerableError, match=f"^{message}"):
        spreads({"a": row}, seeds_share_people=shared)


def test_a_reference_has_to_be_there():
    row = simulated(np.random.default_rng(0), 3, 2, 0.02, 0.02)
    with pytest.raises(UnanswerableError, match="there is no row 'b' from which the others could differ"):
        spreads({"a": row}, seeds_share_people=True, reference="b")
