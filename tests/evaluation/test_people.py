"""Metrics for which every person counts alike, against loops over people and scikit-learn's weights."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from faceexp.evaluation import likely, retrieval, roc, verification
from faceexp.evaluation.catalogue import COLUMNS, METRICS
from faceexp.evaluation.checkpoints import ValidationAuc, validation_auc
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.metrics import POOLED, evaluate, examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import largest_share, pair_weights, people_of

THRESHOLD = 3.0
KEYS = [metric.key for metric in METRICS if metric in COLUMNS and metric.key != "rank_1"]


def embedded(images, seed=0, dim=4):
    """Return embeddings and labels of people with so many images each, in any order."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(images)), images))
    return random.normal(size=(len(images), dim))[labels] + random.normal(size=(len(labels), dim)), labels


def pairs_of(x, labels):
    """Yield the two people and the distance of each pair, in the order of np.triu_indices."""
    for first, second in itertools.combinations(range(len(labels)), 2):
        yield labels[first], labels[second], float(np.linalg.norm(x[first] - x[second]))


def rate_over_people(x, labels, is_similar, value):
    """Return the mean over people, or over pairs of people, of the mean of a value over their pairs."""
    of_group: dict[tuple[int, ...], list[float]] = {}
    for a, b, distance in pairs_of(x, labels):
        if (a == b) == is_similar:
            of_group.setdefault(tuple(sorted((a, b))), []).append(value(distance))
    return float(np.mean([np.mean(values) for values in of_group.values()]))


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(0, 30), start=st.integers(0, 435), length=st.integers(0, 435), seed=st.integers(0, 99))
def test_each_pair_knows_its_two_people(rows, start, length, seed):
    labels = 3 * np.random.default_rng(seed).integers(0, 5, rows) + 7
    names = np.unique(labels)
    left, right = np.triu_indices(rows, 1)
    for pairs in (None, np.column_stack([left, right])):
        first, second = people_of(labels, pairs).part(start, start + length).both()
        np.testing.assert_array_equal(names[first], labels[left][start : start + length])
        np.testing.assert_array_equal(names[second], labels[right][start : start + length])


@pytest.mark.parametrize("images", [(2, 3, 7), (1, 1, 5, 2), (9, 1)])
def test_people_weigh_alike(images):
    x, labels = embedded(images)
    measured = pair_distances(x, labels, "euclidean").person_averaged(labels)
    weights = measured.weight_of_each()
    people = [(a, b) for a, b, _ in pairs_of(x, labels)]
    with_pairs = sum(count > 1 for count in images)
    for group in set(people):
        of_group = [weight for each, weight in zip(people, weights, strict=True) if {*each} == {*group}]
        assert max(of_group) == pytest.approx(min(of_group))
        groups = with_pairs if group[0] == group[1] else math.comb(len(images), 2)
        assert sum(of_group) == pytest.approx(1 / groups)


@settings(deadline=None, max_examples=25)
@given(images=st.lists(st.integers(1, 8), min_size=3, max_size=7), seed=st.integers(0, 2**32 - 1))
def test_rates_are_means_over_people(images, seed):
    images = [*images, 2, 5]
    x, labels = embedded(images, seed)
    found = evaluate(x, labels, THRESHOLD, "euclidean", weights="people")
    tar, far = (rate_over_people(x, labels, kind, lambda d: d <= THRESHOLD) for kind in (True, False))
    assert found["accuracy"] == pytest.approx((tar + 1 - far) / 2, abs=1e-9)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    similar, different = (rate_over_people(unit, labels, kind, lambda d: d) for kind in (True, False))
    assert found["sim_diff_ratio"] == pytest.approx(similar / different, rel=1e-9)
    # scikit-learn takes the weight of each pair.
    measured = pair_distances(x, labels, "euclidean").person_averaged(labels)
    weights = measured.weight_of_each()
    assert found["auc"] == pytest.approx(
        roc_auc_score(measured.similar, -measured.distance, sample_weight=weights), abs=1e-9
    )
    far, tar, _ = roc_curve(measured.similar, -measured.distance, sample_weight=weights, drop_intermediate=False)
    for aim in (0.01, 0.001):
        assert found[f"tar@far={aim}"] == pytest.approx(tar[far <= aim * (1 + 1e-9)].max(), abs=1e-9)
    crossing = np.interp(0, tar + far - 1, far)
    assert found["eer"] == pytest.approx(crossing, abs=1e-9)
    curve = roc.roc(measured)
    best = verification.balanced_threshold(curve)
    reached = verification.balanced_accuracy(measured, best)
    assert reached == pytest.approx(((tar + 1 - far) / 2).max(), abs=1e-9)
    at_rate = verification.threshold_at_far(curve, 0.1)
    assert verification.rates(measured, at_rate)[0] <= 0.1
    assert verification.rates(measured, at_rate)[1] == pytest.approx(tar[far <= 0.1 * (1 + 1e-9)].max(), abs=1e-9)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_retrieval_averages_within_a_person_first(oracle_batches, oracle_metrics, distance):
    x, labels = oracle_batches["b"]["embeddings"], oracle_batches["b"]["labels"]
    expected = next(entry for entry in oracle_metrics["embedding_sets"] if entry["batch"] == "b")
    ranks = retrieval.person_averaged(retrieval.ranks(x, labels, distance), labels)
    by_class = expected[f"retrieval_{distance}_avg_of_class_avgs"]
    assert retrieval.precision_at_1(ranks) == pytest.approx(by_class["precision_at_1"], rel=1e-6)
    assert retrieval.r_precision(ranks) == pytest.approx(by_class["r_precision"], rel=1e-6)
    assert retrieval.map_at_r(ranks) == pytest.approx(by_class["mean_average_precision_at_r"], rel=1e-6)
    assert retrieval.mean_average_precision(ranks) == pytest.approx(by_class["mean_average_precision"], rel=1e-6)
    assert retrieval.mean_reciprocal_rank(ranks) == pytest.approx(by_class["mean_reciprocal_rank"], rel=1e-5)


def test_identification_averages_within_a_person_first():
    gallery, enrolled = np.array([[0.0], [10.0]]), np.array([0, 1])
    probes, labels = np.array([[1.0], [2.0], [9.0], [3.0]]), np.array([0, 0, 0, 1])
    assert retrieval.rank_1(gallery, enrolled, probes, labels, "euclidean") == 2 / 4
    assert retrieval.rank_1(gallery, enrolled, probes, labels, "euclidean", "people") == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_where_everybody_has_as_many_images_nothing_changes(oracle_batches, distance):
    x, labels = oracle_batches["m1"]["embeddings"], oracle_batches["m1"]["labels"]
    assert pair_weights(labels) is None
    pooled = evaluate(x, labels, 1.0, distance)
    assert list(pooled) == KEYS
    found = evaluate(x, labels, 1.0, distance, weights="people")
    assert found == pooled | {key + POOLED: value for key, value in pooled.items()}
    # The weighted formulas would give the same: one image more of one person hardly changes a value.
    more, of_one = np.concatenate([x, x[:1] + 0.01]), np.append(labels, labels[0])
    assert pair_weights(of_one) is not None
    nearly = evaluate(more, of_one, 1.0, distance, weights="people")
    for key in ("accuracy", "auc", "eer", "sim_diff_ratio", "map_at_r"):
        assert nearly[key] == pytest.approx(found[key], abs=0.01)


def test_pooled_metrics_keep_their_values(oracle_batches):
    x, labels = oracle_batches["b"]["embeddings"], oracle_batches["b"]["labels"]
    pooled = evaluate(x, labels, 1.0, "cosine")
    found = evaluate(x, labels, 1.0, "cosine", weights="people")
    assert {key: found[key + POOLED] for key in KEYS} == pytest.approx(pooled, rel=1e-12)
    assert sum(found[key] != pooled[key] for key in KEYS) > 6
    assert validation_auc(x, labels, "cosine") == pooled["auc"]
    assert ValidationAuc()(x, labels, "cosine") == found["auc"]


def test_a_person_with_many_images_does_not_decide_alone():
    """One person has 60 images and 19 have 4; one network knows the one person only, the other one all others only."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), [60] + [4] * 19)
    centres = 10 * np.eye(20)
    guessed = random.normal(size=(len(labels), 20))
    knows_one = np.where((labels == 0)[:, None], centres[labels] + 0.1 * guessed, guessed)
    knows_others = np.where((labels == 0)[:, None], 5 * random.normal(size=guessed.shape), centres[labels])
    one, others = (evaluate(x, labels, 1.0, "euclidean", weights="people") for x in (knows_one, knows_others))
    assert one["auc_pooled"] > 0.9
    assert others["auc_pooled"] < 0.6
    assert one["auc"] < 0.6
    assert others["auc"] > 0.9


def test_listed_pairs_always_weigh_alike():
    x, labels = embedded((2, 3, 7, 4))
    listed = np.column_stack(np.triu_indices(len(labels), 1))[::2]
    pooled = evaluate(x, labels, THRESHOLD, "euclidean", listed)
    found = evaluate(x, labels, THRESHOLD, "euclidean", listed, weights="people")
    for key in ("accuracy", "auc", "eer", "sim_diff_ratio"):
        assert found[key] == found[key + POOLED] == pooled[key]
    assert ValidationAuc()(x, labels, "euclidean", listed) == pooled["auc"]


def test_chunks_do_not_matter(monkeypatch):
    x, labels = embedded((2, 3, 7, 4, 1, 9))
    whole = examine(x, labels, THRESHOLD, "euclidean", further=[2.0], weights="people")
    for module in (likely, roc, verification):
        monkeypatch.setattr(module, "CHUNK", 11)
    monkeypatch.setattr(PairDistances, "chunks", _small(PairDistances.chunks))
    found = examine(x, labels, THRESHOLD, "euclidean", further=[2.0], weights="people")
    assert found.metrics == pytest.approx(whole.metrics, rel=1e-9)
    assert found.rates[0] == pytest.approx(whole.rates[0], rel=1e-9)


def _small(chunks):
    return lambda self, size: chunks(self, min(size, 11))


def test_people_without_pairs_of_both_kinds_have_no_rates():
    for labels in ([0, 0, 0], [0, 1, 2], [0], []):
        found = evaluate(np.ones((len(labels), 2)), np.array(labels, int), 1.0, "euclidean", weights="people")
        assert math.isnan(found["auc"])
        assert math.isnan(found["accuracy"])
    # A person with one image has different pairs alone.
    found = evaluate(np.array([[0.0], [1.0], [9.0]]), np.array([0, 0, 1]), 1.0, "euclidean", weights="people")
    assert found["auc"] == found["accuracy"] == 1


def test_the_largest_share_of_the_similar_pairs():
    labels = np.repeat(np.arange(20), [60] + [4] * 19)
    assert largest_share(labels) == 1770 / (1770 + 19 * 6)
    assert largest_share(np.arange(5)) == largest_share(np.array([], int)) == 0
    pairs = np.array([[0, 1], [0, 2], [0, 70], [60, 61], [64, 65]])
    assert largest_share(labels, pairs) == 2 / 4


def test_pairs_of_people_are_counted_once():
    labels = np.array([0, 0, 1, 1, 2])
    assert people_of(labels).pairs_of_people == 3
    assert people_of(labels, np.array([[0, 2], [3, 1], [0, 1], [4, 2]])).pairs_of_people == 2
    assert people_of(labels, np.empty((0, 2), int)).pairs_of_people == 0
