"""True accept rates at any false accept rate, against scikit-learn's ROC curve, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from faceexp.evaluation.fars import Impostors, at_far, impostors, rates_at
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.metrics import POOLED, examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import pair_weights, people_of
from faceexp.evaluation.roc import roc


def by_scikit_learn(distance, similar, far, weights=None):
    """Return the largest TAR with a FAR of at most ``far``, and the smallest FAR that has it."""
    fpr, tpr, _ = roc_curve(similar, -distance, sample_weight=weights, drop_intermediate=False)
    tar = tpr[fpr <= far * (1 + 1e-12)].max()
    return tar, fpr[tpr >= tar - 1e-12].min()


@pytest.mark.parametrize("far", [0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6])
def test_down_to_one_in_a_million(far):
    random = np.random.default_rng(0)
    similar = np.zeros(3_000_000, np.bool_)
    similar[::3000] = True
    distance = random.normal(5, 1, len(similar))
    distance[similar] -= 4
    found = at_far(roc(PairDistances(distance, similar)), far)
    tar, met = by_scikit_learn(distance, similar, far)
    assert found.tar == pytest.approx(tar, abs=1e-12)
    assert found.met == pytest.approx(met, abs=1e-15)
    assert found.met <= far
    if far >= 1e-5:
        assert found.met > far / 2


@settings(max_examples=40, deadline=None)
@given(
    distance=st.lists(st.integers(0, 12), min_size=4, max_size=60),
    seed=st.integers(0, 99),
    far=st.sampled_from([0.001, 0.1, 0.25, 0.5, 0.9]),
)
def test_pairs_at_the_same_distance_are_accepted_together(distance, seed, far):
    similar = np.random.default_rng(seed).random(len(distance)) < 0.5
    similar[:2] = True, False
    distance = np.array(distance, float)
    found = at_far(roc(PairDistances(distance, similar)), far)
    assert (found.tar, found.met) == pytest.approx(by_scikit_learn(distance, similar, far), abs=1e-12)


def test_every_person_counts_alike_and_pairs_alone_under_a_further_name():
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(30), random.integers(2, 9, 30))
    x = random.normal(size=(30, 4))[labels] + 0.7 * random.normal(size=(len(labels), 4))
    found = examine(x, labels, 1.0, "euclidean", weights="people", fars=(0.1, 0.03))
    pairs = pair_distances(x, labels, "euclidean")
    weights = pair_weights(labels).values(pairs.similar)
    for far in (0.1, 0.03):
        tar, met = by_scikit_learn(pairs.distance, pairs.similar, far, weights)
        assert found.metrics[f"tar@far={far}"] == pytest.approx(tar, abs=1e-9)
        assert found.at_fars[f"tar@far={far}"].met == pytest.approx(met, abs=1e-9)
        pooled, _ = by_scikit_learn(pairs.distance, pairs.similar, far)
        assert found.metrics[f"tar@far={far}{POOLED}"] == pytest.approx(pooled, abs=1e-12)
    assert "tar@far=0.01" not in found.metrics


def test_what_is_refused_has_no_value_and_what_nobody_asked_for_is_never_refused():
    labels = np.repeat(np.arange(8), 4)
    x = np.random.default_rng(0).normal(size=(32, 3))
    found = examine(x, labels, 1.0, "euclidean", weights="people", fars=(0.1, 0.01, 1e-6)).metrics
    assert math.isfinite(found["tar@far=0.1"])
    assert all(math.isnan(found[key]) for key in ("tar@far=0.01", "tar@far=1e-06", "tar@far=0.01_pooled"))
    assert math.isfinite(examine(x, labels, 1.0, "euclidean").metrics["tar@far=0.001"])


def test_a_rate_needs_ten_false_accepts_of_more_than_one_pair_of_people_and_six_people():
    many = Impostors(pairs=20_000_000, people=2000, pairs_of_people=1_999_000)
    assert many.refusal(1e-6) is None
    assert many.refusal(4e-7) == (
        "8 of 20,000,000 pairs of two people would be accepted, and a rate takes 10, of 25,000,000 pairs"
    )
    few = Impostors(pairs=2800, people=8, pairs_of_people=28)
    assert few.refusal(0.1) is None
    assert few.refusal(0.01) == "8 people make 28 pairs of people, and a rate takes 100, those of 15 people"
    assert Impostors(1000, 5, 10).refusal(0.5) == "5 people are in pairs of two people, and a rate takes 6"
    assert 15 * 14 / 2 >= 100 > 14 * 13 / 2


@pytest.mark.parametrize("far", [1e-3, 1e-4, 1e-5, 1e-6])
def test_the_numbers_that_a_refusal_asks_for_are_enough_and_not_too_many(far):
    enough = round(10 / far)
    assert Impostors(enough, 10_000, 49_995_000).refusal(far) is None
    assert f"of {enough:,} pairs" in Impostors(enough - 1, 10_000, 49_995_000).refusal(far)
    people = Impostors(10**9, 9, 36).refusal(far).split("those of ")[1].split()[0]
    needed = int(people.replace(",", ""))
    assert needed * (needed - 1) // 2 >= round(1 / far) > (needed - 1) * (needed - 2) // 2


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 5), min_size=2, max_size=25), listed=st.booleans())
def test_impostor_pairs_are_counted_as_a_loop_counts_them(labels, listed):
    labels = np.array(labels)
    rows = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]
    rows = rows[::2] if listed else rows
    different = [(i, j) for i, j in rows if labels[i] != labels[j]]
    found = impostors(people_of(labels, np.array(rows).reshape(-1, 2) if listed else None))
    assert found.pairs == len(different)
    assert found.pairs_of_people == len({frozenset((labels[i], labels[j])) for i, j in different})
    # Where every pair counts, everybody meets somebody else, unless there is one person alone.
    if listed:
        assert found.people == len({label for i, j in different for label in (labels[i], labels[j])})


def test_without_one_kind_of_pair_there_is_no_rate():
    one = PairDistances(np.array([1.0, 2.0]), np.array([True, True]))
    assert math.isnan(rates_at(roc(one), [0.1], [])["tar@far=0.1"].tar)
