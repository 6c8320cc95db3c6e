"""Intervals over people, against loops, SciPy and people who were not measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from faceexp.evaluation import likely
from faceexp.evaluation.jackknife import range_of
from faceexp.evaluation.likely import accuracy_range
from faceexp.evaluation.listed import estimates
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of
from faceexp.evaluation.verification import balanced_accuracy


def faces(random, people, images=6, width=4):
    """Return embeddings and labels of random people; some people's images differ more than others'."""
    labels = np.repeat(np.arange(people), images)
    spread = 1.2 * random.lognormal(0, 0.3, people)[labels]
    noise = random.normal(size=(len(labels), width))
    return random.normal(size=(people, width))[labels] + spread[:, None] * noise, labels


def by_hand(value, without):
    """The interval as a textbook writes it."""
    units = len(without)
    error = math.sqrt((units - 1) / units * sum((each - np.mean(without)) ** 2 for each in without))
    half = stats.t.ppf(0.975, units - 1) * error / (value * (1 - value))
    return [1 / (1 + math.exp(-(math.log(value / (1 - value)) + sign * half))) for sign in (-1, 1)]


@pytest.mark.parametrize("images", [(4, 4, 4, 4, 4), (2, 3, 7, 4, 5)], ids=["even", "uneven"])
def test_the_accuracy_is_computed_anew_without_each_person(monkeypatch, images):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), images)
    x = random.normal(size=(5, 3))[labels] + random.normal(size=(len(labels), 3))
    monkeypatch.setattr(likely, "CHUNK", 17)

    def accuracy(chosen):
        rest = np.isin(labels, chosen)
        pairs = pair_distances(x[rest], labels[rest], "euclidean").person_averaged(labels[rest])
        return balanced_accuracy(pairs, 2.0)

    measured = pair_distances(x, labels, "euclidean").person_averaged(labels)
    without = [accuracy([b for b in range(5) if b != a]) for a in range(5)]
    expected = by_hand(accuracy(range(5)), without)
    assert accuracy_range(measured, people_of(labels), 2.0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("people", "beats"), [(5, False), (6, True)])
def test_six_people_of_whom_all_are_right_beat_guessing_and_five_do_not(people, beats):
    labels = np.repeat(np.arange(people), 3)
    measured = pair_distances(np.eye(people)[labels], labels, "euclidean")
    low, high = accuracy_range(measured, people_of(labels), 0.5) or (math.nan, math.nan)
    assert (low > 0.5, high) == (beats, 1.0)
    # The exact interval of a binomial of which all are right.
    assert low == pytest.approx(stats.binomtest(people, people).proportion_ci(0.95, "exact").low)


def test_what_cannot_be_known_has_no_interval():
    labels = np.repeat(np.arange(2), 3)
    measured = pair_distances(np.random.default_rng(0).normal(size=(6, 2)), labels, "euclidean")
    assert accuracy_range(measured, people_of(labels), 1.0) is None, "two people say nothing about how people differ"
    labels = np.arange(5)
    measured = pair_distances(np.random.default_rng(0).normal(size=(5, 2)), labels, "euclidean")
    assert accuracy_range(measured, people_of(labels), 1.0) is None, "there is no similar pair"
    assert accuracy_range(measured, people_of(labels), math.nan) is None
    assert range_of(math.nan, np.array([0.5, 0.5]), 2) is None
    assert range_of(0.5, np.array([0.5]), 1) is None


def test_listed_pairs_are_judged_without_each_person_in_turn():
    random = np.random.default_rng(3)
    x, labels = faces(random, 9)
    pairs = random.integers(0, len(labels), (400, 2))
    measured = pair_distances(x, labels, "euclidean", pairs)
    found = estimates(measured, people_of(labels, pairs), 2.5)

    def rates(chosen):
        distance, similar = measured.distance[chosen], measured.similar[chosen]
        nearer = distance[similar][:, None] < distance[~similar][None, :]
        return {
            "auc": nearer.mean(),
            "far": np.mean(distance[~similar] <= 2.5),
            "frr": np.mean(distance[similar] > 2.5),
        }

    values = rates(np.ones(len(pairs), bool))
    without = [rates(~(labels[pairs] == person).any(axis=1)) for person in range(9)]
    for name, value in values.items():
        assert found[name].value == pytest.approx(value)
        assert found[name].ci95 == pytest.approx(by_hand(value, [each[name] for each in without]), rel=1e-6)
    assert found["eer"].ci95[0] < found["eer"].value < found["eer"].ci95[1]


def test_an_interval_over_people_holds_what_other_people_meet_and_one_over_pairs_does_not():
    """Each of many lists shows 15 people; the rate that is meant is that of 300 others."""
    random = np.random.default_rng(4)
    of_others, labels = faces(random, 300)
    others = pair_distances(of_others, labels, "euclidean")
    truth = np.mean(others.distance[others.similar] > 3.0)
    held: dict[str, list[bool]] = {"people": [], "pairs": []}
    for _ in range(60):
        x, labels = faces(random, 15)
        measured = pair_distances(x, labels, "euclidean")
        for unit, people in (("people", people_of(labels)), ("pairs", None)):
            low, high = estimates(measured, people, 3.0)["frr"].ci95 or (math.nan, math.nan)
            held[unit].append(low <= truth <= high)
    # 95 % are meant; three standard errors of 60 draws are 8 points.
    assert np.mean(held["people"]) > 0.87
    assert np.mean(held["pairs"]) < 0.8


def test_pairs_of_one_kind_have_the_rates_that_there_are():
    measured = PairDistances(np.array([1.0, 2.0, 3.0]), np.ones(3, bool))
    found = estimates(measured, None, 1.5)
    assert found["frr"].value == pytest.approx(2 / 3)
    assert all(math.isnan(found[name].value) and found[name].ci95 is None for name in ("auc", "far", "eer"))


def test_no_false_accept_among_a_few_people_does_not_mean_that_there_are_none():
    labels = np.repeat(np.arange(10), 3)
    measured = pair_distances(np.eye(10)[labels], labels, "euclidean")
    found = estimates(measured, people_of(labels), 0.5)["far"]
    # None of ten: the rule of Clopper and Pearson gives up to 31 %.
    assert found.value == 0.0
    assert found.ci95 == pytest.approx((0.0, 0.308), abs=0.001)
