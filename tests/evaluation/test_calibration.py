"""Thresholds and probabilities from validation pairs, against loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from faceexp.evaluation import calibration
from faceexp.evaluation.calibration import FARS, MOST_OVER, SUPPORT, calibrated, probability
from faceexp.evaluation.likely import likely_rates
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of
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


def embedded(people=8, images=10, seed=0, spread=0.6):
    """Return embeddings and labels of people whose images lie around a centre each."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), images)
    return random.normal(size=(people, 16))[labels] + spread * random.normal(size=(len(labels), 16)), labels


def odds_of(x, labels):
    found = calibrated(pair_distances(x, labels, "euclidean"))
    return [probability(distance, found.slope, found.intercept) for distance in np.linspace(2, 7, 11)]


@pytest.mark.parametrize("broken", [1, 4])
@pytest.mark.parametrize("scale", [100, 1e12])
def test_broken_photos_do_not_decide_the_probability(broken, scale):
    """Their distances to all others are large, to those of their own person as well."""
    x, labels = embedded()
    clean = odds_of(x, labels)
    assert clean[0] > 0.99
    assert clean[-1] < 0.01
    x[::20][:broken] *= scale
    assert odds_of(x, labels) == pytest.approx(clean, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_is_worse_than_chance_has_no_odds(seed):
    """Its probability may not rise with the distance."""
    random = np.random.default_rng(seed)
    distance = np.concatenate([random.normal(5, 1, 200), random.normal(4, 1, 2000)])
    found = calibrated(PairDistances(distance, np.arange(2200) < 200))
    assert (found.slope, found.intercept) == (0, 0)
    assert {probability(d, found.slope, found.intercept) for d in (0, 4, 9)} == {0.5}


def test_weights_of_pairs_decide_thresholds_and_probability():
    """A person with many images counts as much as one with few."""
    images = [40, 4, 4, 4, 4, 4, 4, 4]
    x, labels = embedded(8, 40)
    chosen = np.concatenate([np.flatnonzero(labels == person)[:count] for person, count in enumerate(images)])
    x, labels = x[chosen], labels[chosen]
    x[labels == 0] *= 0.2
    measured = pair_distances(x, labels, "euclidean")
    found = calibrated(measured.person_averaged(labels))
    weights = measured.person_averaged(labels).weight_of_each()
    reference = LogisticRegression(C=1e6, tol=1e-10, max_iter=1000)
    reference.fit(measured.distance[:, None], measured.similar, weights * len(weights))
    distances = np.linspace(1, 7, 13)
    mine = [probability(d, found.slope, found.intercept) for d in distances]
    np.testing.assert_allclose(mine, reference.predict_proba(distances[:, None])[:, 1], atol=0.02)
    assert found.far == pytest.approx(weights[~measured.similar & (measured.distance <= found.threshold)].sum())
    assert found.tar == pytest.approx(weights[measured.similar & (measured.distance <= found.threshold)].sum())
    pooled = calibrated(measured)
    assert abs(pooled.slope - found.slope) > 0.1
    assert weights[~measured.similar & (measured.distance <= found.thresholds["0.1"])].sum() <= 0.1


@pytest.mark.parametrize(("people", "refused"), [(8, 8), (20, 0)])
def test_a_threshold_says_what_other_people_may_meet_and_is_refused_where_that_is_anything(people, refused):
    missing = 0
    for seed in range(8):
        x, labels = embedded(people, seed=seed, spread=1.0)
        measured = pair_distances(x, labels, "euclidean")
        found, alone = calibrated(measured, people_of(labels)), calibrated(measured)
        assert (found.people, alone.people, alone.threshold_far_range) == (people, None, None)
        low, high = found.threshold_far_range or (math.nan, math.nan)
        assert low < found.far < high
        for aim, threshold in alone.thresholds.items():
            expected = None if threshold is None else likely_rates(measured, people_of(labels), [threshold])[0]
            assert found.far_range[aim] == expected
            enough = float(aim) * people * (people - 1) / 2 >= 1
            is_given = enough and expected is not None and expected[1] <= MOST_OVER * float(aim)
            assert found.thresholds[aim] == (threshold if is_given else None)
        missing += found.thresholds["0.01"] is None
    assert missing == refused


def test_one_kind_of_pair_calibrates_nothing():
    found = calibrated(PairDistances(np.array([0.1, 0.2]), np.array([True, True])))
    assert math.isnan(found.threshold)
    assert math.isnan(found.slope)
    assert set(found.thresholds.values()) == {None}


def test_probabilities_of_absurd_distances():
    assert probability(1e9, -1.0, 0.0) == 0.0
    assert probability(-1e9, -1.0, 0.0) == 1.0


@pytest.mark.parametrize(("people", "low", "high"), [(2, 0.10, 0.21), (6, 0.04, 0.09)])
def test_a_probability_that_rests_on_few_people_is_that_of_many_only_roughly(people, low, high):
    """The root mean square difference from the probability of 200 people, as docs/using-a-model.md states it."""

    def faces(random, count):
        labels = np.repeat(np.arange(count), 8)
        centres = random.normal(size=(count, 16)) * random.uniform(0.6, 1.4, (count, 1))
        spread = 1.5 * random.uniform(0.6, 1.6, count)[labels]
        return pair_distances(
            centres[labels] + spread[:, None] * random.normal(size=(len(labels), 16)), labels, "euclidean"
        )

    many = faces(np.random.default_rng(0), 200)
    fit = calibrated(many)
    both = [np.random.default_rng(1).choice(many.distance[many.similar == kind], 200) for kind in (True, False)]
    distances = np.concatenate(both).tolist()
    truth = np.array([probability(distance, fit.slope, fit.intercept) for distance in distances])
    errors = []
    for seed in range(30):
        few = calibrated(faces(np.random.default_rng([seed, people]), people))
        found = np.array([probability(distance, few.slope, few.intercept) for distance in distances])
        errors.append(np.sqrt(((found - truth) ** 2).mean()))
    assert low < np.mean(errors) < high
