"""Thresholds and probabilities from validation pairs, against loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from faceexp.evaluation import calibration
from faceexp.evaluation.calibration import FARS, SUPPORT, calibrated, probability
from faceexp.evaluation.pairs import PairDistances
from faceexp.evaluation.verification import balanced_accuracy


def measured(n_similar=400, n_different=20_000, gap=2.0, seed=0):
    random = np.random.default_rng(seed)
    distance = np.concatenate([random.normal(3, 1, n_similar), random.normal(3 + gap, 1, n_different)])
    order = random.permutation(len(distance))
    return PairDistances(np.abs(distance)[order], (np.arange(len(distance)) < n_similar)[order])


def rates(pairs, threshold):
    return np.mean(pairs.distance[~pairs.similar] <= threshold), np.mean(pairs.distance[pairs.similar] <= threshold)


def test_thresholds_accept_no_more_than_they_should_and_nearly_as_much():
    pairs = measured()
    found = calibrated(pairs)
    assert set(found.thresholds) == {str(far) for far in FARS}
    for name, threshold in found.thresholds.items():
        far, tar = rates(pairs, threshold)
        assert far <= float(name)
        # No other threshold at that rate accepts more similar pairs.
        allowed = [
            t for t in pairs.distance[pairs.similar] if np.mean(pairs.distance[~pairs.similar] <= t) <= float(name)
        ]
        assert tar == np.mean(pairs.distance[pairs.similar] <= max(allowed))


def test_a_rate_that_too_few_pairs_could_check_gets_no_threshold():
    for n_different in (99, 100, 999, 1000, 9999, 10_000):
        found = calibrated(measured(50, n_different))
        for name, threshold in found.thresholds.items():
            assert (threshold is not None) == (n_different * float(name) >= SUPPORT)


def test_the_default_threshold_has_the_best_accuracy_and_says_its_rates():
    pairs = measured()
    found = calibrated(pairs)
    assert balanced_accuracy(pairs, found.threshold) >= max(balanced_accuracy(pairs, t) for t in pairs.distance[::7])
    assert (found.far, found.tar) == pytest.approx(rates(pairs, found.threshold))
    assert (found.n_similar, found.n_different) == (400, 20_000)


def test_the_probability_is_a_logistic_regression_of_equally_frequent_kinds():
    pairs = measured()
    found = calibrated(pairs)
    reference = LogisticRegression(C=1e6, class_weight="balanced", tol=1e-10, max_iter=1000)
    reference.fit(pairs.distance[:, None], pairs.similar)
    distances = np.linspace(0, 8, 30)
    mine = [probability(d, found.slope, found.intercept) for d in distances]
    np.testing.assert_allclose(mine, reference.predict_proba(distances[:, None])[:, 1], atol=0.01)
    assert np.all(np.diff(mine) < 0)
    # Of pairs drawn as often from both kinds, so many are similar as it says.
    similar, different = (pairs.distance[pairs.similar == kind] for kind in (True, False))
    for low, high in ((2, 3), (3.5, 4.5), (5, 6)):
        shares = [np.mean((kind >= low) & (kind < high)) for kind in (similar, different)]
        said = probability((low + high) / 2, found.slope, found.intercept)
        assert said == pytest.approx(shares[0] / sum(shares), abs=0.06)


def test_many_pairs_are_thinned_without_changing_the_fit(monkeypatch):
    whole = calibrated(measured())
    monkeypatch.setattr(calibration, "MOST_PAIRS", 2000)
    thin = calibrated(measured())
    assert thin.slope == pytest.approx(whole.slope, rel=0.02)
    assert thin.intercept == pytest.approx(whole.intercept, rel=0.02)
    assert thin.thresholds == whole.thresholds


def test_of_very_many_pairs_some_are_sorted(monkeypatch):
    whole = calibrated(measured())
    monkeypatch.setattr(calibration, "MOST_SORTED", 5000)
    monkeypatch.setattr(calibration, "CHUNK", 999)
    thin = calibrated(measured())
    assert thin.slope != whole.slope
    assert thin.slope == pytest.approx(whole.slope, rel=0.05)
    assert thin.intercept == pytest.approx(whole.intercept, rel=0.05)
    assert (thin.threshold, thin.thresholds) == (whole.threshold, whole.thresholds)


def test_perfectly_separate_pairs_have_finite_odds():
    pairs = PairDistances(np.array([0.1, 0.2, 0.9, 1.0]), np.array([True, True, False, False]))
    found = calibrated(pairs)
    assert math.isfinite(found.slope)
    assert probability(0.1, found.slope, found.intercept) > 0.9
    assert probability(1.0, found.slope, found.intercept) < 0.1
    same = calibrated(PairDistances(np.full(4, 0.5), np.array([True, False, True, False])))
    assert probability(0.5, same.slope, same.intercept) == pytest.approx(0.5)


def test_one_kind_of_pair_calibrates_nothing():
    found = calibrated(PairDistances(np.array([0.1, 0.2]), np.array([True, True])))
    assert math.isnan(found.threshold)
    assert math.isnan(found.slope)
    assert set(found.thresholds.values()) == {None}


def test_probabilities_of_absurd_distances():
    assert probability(1e9, -1.0, 0.0) == 0.0
    assert probability(-1e9, -1.0, 0.0) == 1.0
