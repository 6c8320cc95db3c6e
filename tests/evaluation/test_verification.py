"""Verification metrics against reference values, scikit-learn and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from faceexp.evaluation import verification as v
from faceexp.evaluation.embeddings import normalise
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import auc, roc

BATCHES = ["a", "b", "d", "e", "m1"]
# Few distinct distances: ties within and between the kinds.
TIED = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40).map(
    lambda drawn: PairDistances(np.array([d for d, _ in drawn], float), np.array([s for _, s in drawn]))
)
BOTH = TIED.filter(lambda pairs: 0 < pairs.similar.sum() < len(pairs.similar))


def reference(oracle_metrics, batch):
    return next(entry for entry in oracle_metrics["embedding_sets"] if entry["batch"] == batch)


def agrees(value, expected):
    return math.isnan(value) if expected is None else value == pytest.approx(expected, rel=1e-6)


def every_threshold(pairs):
    """Yield (threshold, TAR, FAR) by brute force, accepting none first."""
    for threshold in [-1.0, *np.unique(pairs.distance)]:
        accept = pairs.distance <= threshold
        yield threshold, accept[pairs.similar].mean(), accept[~pairs.similar].mean()


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("batch", BATCHES)
def test_reference_values(oracle_batches, oracle_metrics, batch, distance):
    expected = reference(oracle_metrics, batch)[distance]
    pairs = pair_distances(oracle_batches[batch]["embeddings"], oracle_batches[batch]["labels"], distance)
    curve = roc(pairs)
    assert (curve.n_similar, curve.n_different) == (expected["n_similar"], expected["n_different"])
    assert agrees(auc(curve), expected["auc"])
    assert agrees(v.average_precision(curve), expected["average_precision"])
    assert agrees(v.eer(curve), expected["eer"])
    assert agrees(v.best_accuracy(curve), expected["best_accuracy"])
    for far in ["0.1", "0.01", "0.001"]:
        assert agrees(v.tar_at_far(curve, float(far)), (expected["tar_at_far"] or {}).get(far))


@pytest.mark.parametrize("batch", BATCHES)
def test_reference_ratios(oracle_batches, oracle_metrics, batch):
    expected = reference(oracle_metrics, batch)
    x, y = oracle_batches[batch]["embeddings"], oracle_batches[batch]["labels"]
    pairs = pair_distances(x, y, "euclidean")
    squared = PairDistances(pairs.distance**2 / x.shape[1], pairs.similar)
    assert agrees(v.distance_ratio(pairs), expected["sim_diff_ratio_l2"])
    assert agrees(v.distance_ratio(squared), expected["sim_diff_ratio_mean_squared"])


def test_the_ratio_of_a_trial_is_measured_on_normalised_rows(oracle_batches):
    x, y = oracle_batches["m1"]["embeddings"], oracle_batches["m1"]["labels"]
    scale = np.random.default_rng(0).uniform(0.1, 10, (len(x), 1))
    expected = v.distance_ratio(pair_distances(x / np.linalg.norm(x, axis=1, keepdims=True), y, "euclidean"))
    assert v.sim_diff_ratio(x * scale, y) == pytest.approx(expected, rel=1e-6)
    some = np.array([[0, 1], [2, 3], [4, 9]])
    left, right = normalise(x)[some.T]
    d, same = np.linalg.norm(left - right, axis=1), y[some[:, 0]] == y[some[:, 1]]
    if same.any() and not same.all():
        assert v.sim_diff_ratio(x, y, some) == pytest.approx(d[same].mean() / d[~same].mean())


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_agrees(seed):
    rng = np.random.default_rng(seed)
    similar = rng.random(500) < 0.2
    pairs = PairDistances(np.round(rng.gamma(4, size=500) + ~similar, 2 - seed), similar)
    curve = roc(pairs)
    assert auc(curve) == pytest.approx(roc_auc_score(similar, -pairs.distance))
    assert v.average_precision(curve) == pytest.approx(average_precision_score(similar, -pairs.distance))
    far, tar, _ = roc_curve(similar, -pairs.distance, drop_intermediate=False)
    ours, theirs = set(zip(curve.far, curve.tar, strict=True)), set(zip(far, tar, strict=True))
    assert ours <= theirs
    for left_out_far, left_out_tar in theirs - ours:
        beside = curve.far[curve.tar == left_out_tar]
        assert beside.min() < left_out_far < beside.max()


@settings(deadline=None)
@given(BOTH)
def test_roc_is_the_polyline_of_all_thresholds(pairs):
    curve = roc(pairs)
    rates = [(tar, far) for _, tar, far in every_threshold(pairs)]
    vertices = list(zip(curve.tar, curve.far, strict=True))
    assert vertices[0] == (0, 0)
    assert vertices[-1] == (1, 1)
    assert set(vertices) <= set(rates)
    for tar, far in set(rates) - set(vertices):  # only inside horizontal pieces
        assert any(t == tar for t in curve.tar)
        same = curve.far[curve.tar == tar]
        assert same.min() < far < same.max()
    accepted = [(pairs.distance <= d).sum() for d in curve.accepted]
    rejected = [(pairs.distance < d).sum() for d in curve.rejected]
    assert accepted == rejected == list(curve.true_accepts + curve.false_accepts)


@settings(deadline=None)
@given(BOTH)
def test_auc_is_the_chance_of_the_right_order(pairs):
    similar, different = pairs.distance[pairs.similar][:, None], pairs.distance[~pairs.similar]
    expected = np.mean((similar < different) + 0.5 * (similar == different))
    assert auc(roc(pairs)) == pytest.approx(expected)


@settings(deadline=None)
@given(BOTH)
def test_rank_metrics_ignore_monotone_transforms_and_order(pairs):
    def metrics(chosen):
        curve = roc(chosen)
        return [auc(curve), v.eer(curve), v.tar_at_far(curve, 0.1), v.best_accuracy(curve)]

    expected = metrics(pairs)
    assert metrics(PairDistances(np.expm1(pairs.distance), pairs.similar)) == expected
    order = np.random.default_rng(0).permutation(len(pairs.similar))
    assert metrics(PairDistances(pairs.distance[order], pairs.similar[order])) == expected


@settings(deadline=None)
@given(BOTH)
def test_eer_lies_where_the_error_rates_cross(pairs):
    curve = roc(pairs)
    rate = v.eer(curve)
    assert 0 <= rate <= 1
    tar = [1 - rate] if rate in curve.far else np.interp([rate], curve.far, curve.tar)
    assert 1 - tar[0] == pytest.approx(rate, abs=1e-12)
    worse = [max(far, 1 - tar) for _, tar, far in every_threshold(pairs)]
    better = [min(far, 1 - tar) for _, tar, far in every_threshold(pairs)]
    assert max(better) - 1e-12 <= rate <= min(worse) + 1e-12


@settings(deadline=None)
@given(BOTH, st.floats(0, 1), st.floats(0, 1))
def test_tar_at_far_is_the_best_allowed_and_monotone(pairs, one, other):
    curve = roc(pairs)
    assert v.tar_at_far(curve, one) == max(tar for _, tar, far in every_threshold(pairs) if far <= one)
    assert v.tar_at_far(curve, min(one, other)) <= v.tar_at_far(curve, max(one, other))


def test_tar_at_far_is_the_first_rate_at_which_nothing_is_accepted_wrongly():
    pairs = PairDistances(np.array([1.0, 2, 3, 4]), np.array([True, False, True, False]))
    curve = roc(pairs)
    assert [v.tar_at_far(curve, far) for far in (0, 0.49, 0.5, 1)] == [0.5, 0.5, 1, 1]
    with pytest.raises(ValueError, match="far must be"):
        v.tar_at_far(curve, -0.1)


@settings(deadline=None)
@given(TIED)
def test_best_accuracy_by_brute_force(pairs):
    thresholds = [-1.0, *np.unique(pairs.distance)]
    expected = max(np.mean((pairs.distance <= threshold) == pairs.similar) for threshold in thresholds)
    assert v.best_accuracy(roc(pairs)) == pytest.approx(expected)


@settings(deadline=None)
@given(BOTH)
def test_threshold_reaches_the_best_balanced_accuracy(pairs):
    threshold = v.balanced_threshold(roc(pairs))
    best = max((tar + 1 - far) / 2 for _, tar, far in every_threshold(pairs))
    assert v.balanced_accuracy(pairs, threshold) == pytest.approx(best, abs=1e-12)
    assert math.isfinite(threshold)
    assume(pairs.distance.min() < threshold < pairs.distance.max())
    below, above = pairs.distance[pairs.distance <= threshold].max(), pairs.distance[pairs.distance > threshold].min()
    assert threshold == (below + above) / 2


@pytest.mark.parametrize(
    ("similar", "different", "expected"),
    [
        ([1.0, 2.0], [4.0, 5.0], 3.0),
        ([1.0, 3.0], [2.0, 7.0], 5.0),  # both gaps (1, 2) and (3, 7) are best: the wider
        ([1.0, 3.0], [2.0, 4.0], 1.5),  # equally wide: the first
        ([5.0], [2.0], np.nextafter(2.0, 0)),  # nothing beats accepting none
        ([0.0], [0.0], -5e-324),
        ([1.0], [np.nextafter(1.0, 2.0)], 1.0),  # no number lies between
    ],
)
def test_where_the_threshold_lies(similar, different, expected):
    distance = np.array(similar + different)
    pairs = PairDistances(distance, np.arange(len(distance)) < len(similar))
    assert v.balanced_threshold(roc(pairs)) == expected


def test_balanced_accuracy_weighs_both_kinds_equally():
    pairs = PairDistances(np.array([1.0, 3, 1, 3, 3, 3]), np.array([True, True, False, False, False, False]))
    assert v.balanced_accuracy(pairs, 2.0) == (0.5 + 0.75) / 2
    assert v.balanced_accuracy(pairs, 3.0) == 0.5
    assert math.isnan(v.balanced_accuracy(pairs, math.nan))


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_of_pair_alone_leaves_rates_undefined(kind):
    pairs = PairDistances(np.array([1.0, 2.0]), np.array([kind, kind]))
    curve = roc(pairs)
    values = [auc(curve), v.eer(curve), v.tar_at_far(curve, 0.1), v.average_precision(curve)]
    values += [v.balanced_threshold(curve), v.balanced_accuracy(pairs, 1.5), v.distance_ratio(pairs)]
    assert all(math.isnan(value) for value in values)
    assert v.best_accuracy(curve) == 1
    assert np.isnan(curve.far if kind else curve.tar).all()


@pytest.mark.parametrize("shares", [(0.2, 0.8), (1.0, 0.0), (0.0, 1.0)], ids=["both", "similar", "different"])
def test_pairs_are_judged_by_chunks_as_they_are_all_at_once(monkeypatch, shares):
    """Ties within and between chunks; chunks of one kind alone; a last chunk that is shorter."""
    random = np.random.default_rng(0)
    pairs = PairDistances(random.integers(0, 10, 907) / 4, random.choice([True, False], 907, p=shares))
    pairs.similar[:100] = shares[0] == 1
    whole, rates, ratio = roc(pairs), v.rates(pairs, 1.0), v.distance_ratio(pairs)
    monkeypatch.setattr(v, "CHUNK", 40)
    monkeypatch.setattr("faceexp.evaluation.roc.CHUNK", 40)
    assert len(list(pairs.chunks(40))) == 23
    for name, value in vars(roc(pairs)).items():
        np.testing.assert_array_equal(value, getattr(whole, name))
    np.testing.assert_array_equal(v.rates(pairs, 1.0), rates)
    assert v.distance_ratio(pairs) == pytest.approx(ratio, nan_ok=True)


def test_nothing_at_all():
    pairs = PairDistances(np.empty(0), np.empty(0, bool))
    curve = roc(pairs)
    assert all(math.isnan(value) for value in [auc(curve), v.best_accuracy(curve), v.distance_ratio(pairs)])
    assert math.isnan(v.distance_ratio(PairDistances(np.zeros(2), np.array([True, False]))))
