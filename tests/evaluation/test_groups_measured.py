"""Error rates within groups, against plain loops over pairs and people, and against SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from faceexp.evaluation import likely
from faceexp.evaluation.groups import FEWEST_PEOPLE, Rate, fmr, fnmr, tally, worst_over_best

THRESHOLDS = {"threshold": 2.0, "0.1": 1.2}


def faces(seed, images, width=3):
    """Return embeddings and labels of people with so many images each."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(images)), images)
    return random.normal(size=(len(images), width))[labels] + 0.8 * random.normal(size=(len(labels), width)), labels


def by_loops(trials, threshold, left_out=()):
    """FMR and FNMR over trials: the mean over people (and pairs of people) of the share of their pairs.

    A trial is embeddings, labels, rows of the group, and pairs of a list or nothing.
    """
    wrong, judged = {False: 0.0, True: 0.0}, {False: 0.0, True: 0.0}
    for x, labels, members, pairs in trials:
        inside = [row for row in members if labels[row] not in left_out]
        shares: dict[tuple[bool, object], list[bool]] = {}
        for i, j in itertools.combinations(inside, 2) if pairs is None else pairs:
            if i not in inside or j not in inside:
                continue
            same = labels[i] == labels[j]
            error = (math.dist(x[i], x[j]) <= threshold) != same
            unit = frozenset((labels[i], labels[j])) if pairs is None else (i, j)
            shares.setdefault((bool(same), unit), []).append(error)
        for (same, _), errors in shares.items():
            wrong[same] += float(np.mean(errors))
            judged[same] += 1
    return wrong[False] / judged[False], wrong[True] / judged[True]


def jackknifed(value, without):
    """The interval as a textbook writes it, on the scale of log odds."""
    error = math.sqrt((len(without) - 1) / len(without) * sum((each - np.mean(without)) ** 2 for each in without))
    half = stats.t.ppf(0.975, len(without) - 1) * error / (value * (1 - value))
    return [1 / (1 + math.exp(-(math.log(value / (1 - value)) + sign * half))) for sign in (-1, 1)]


def trial(seed, images, group, listed=0):
    x, labels = faces(seed, images)
    members = np.flatnonzero(group(labels))
    random = np.random.default_rng(seed)
    pairs = None
    if listed:
        rows = np.array(list(itertools.combinations(range(len(labels)), 2)))
        pairs = rows[np.sort(random.permutation(len(rows))[:listed])]
    return x, labels, members, pairs


@pytest.mark.parametrize("listed", [0, 300], ids=["every pair", "a list"])
def test_rates_and_intervals_are_those_of_plain_loops(monkeypatch, listed):
    """Over two trials that test some of the same people, with unequally many images."""
    monkeypatch.setattr(likely, "CHUNK", 37)
    images = (2, 5, 3, 4, 2, 6, 3, 4, 2, 3, 5, 2, 4)
    trials = [
        trial(0, images, lambda labels: labels % 3 > 0, listed),
        trial(1, images[:9], lambda labels: labels % 3 > 0, listed),
    ]
    tallies = [tally(x, labels, "euclidean", members, THRESHOLDS, pairs) for x, labels, members, pairs in trials]
    people = np.unique(trials[0][1][trials[0][2]])
    assert len(people) >= FEWEST_PEOPLE
    for name, threshold in THRESHOLDS.items():
        expected = by_loops(trials, threshold)
        leaving_out = {person: by_loops(trials, threshold, (person,)) for person in people.tolist()}
        for place, rate in enumerate((fmr(tallies, name), fnmr(tallies, name))):
            assert rate.value == pytest.approx(expected[place], abs=1e-9)
            # Whoever has no such pair in a list changes nothing, and does not count.
            for person in set(leaving_out) - set(rate.people.tolist()):
                assert leaving_out[person][place] == expected[place]
            without = [leaving_out[person][place] for person in rate.people.tolist()]
            assert rate.without == pytest.approx(without, abs=1e-9)
            assert 0 < rate.value < 1
            assert rate.ci95 == pytest.approx(jackknifed(expected[place], without), abs=1e-6)


def test_images_may_be_grouped_and_not_people():
    """Of a person in two groups, only the images in the group count."""
    x, labels = faces(2, (4,) * 8)
    members = np.flatnonzero(np.arange(len(labels)) % 4 != 1)
    made = tally(x, labels, "euclidean", members, THRESHOLDS)
    expected = by_loops([(x, labels, members, None)], 2.0)
    assert (fmr([made], "threshold").value, fnmr([made], "threshold").value) == pytest.approx(expected, abs=1e-9)


def test_the_cosine_is_measured_where_the_loss_is_made_for_it():
    x, labels = faces(3, (3,) * 7)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    everybody = np.arange(len(labels))
    made = tally(x, labels, "cosine", everybody, {"threshold": 0.3})
    # Half the squared distance of unit vectors is 1 minus their cosine.
    expected = by_loops([(unit, labels, everybody, None)], math.sqrt(0.6))
    assert (fmr([made], "threshold").value, fnmr([made], "threshold").value) == pytest.approx(expected, abs=1e-9)


def test_a_rate_of_zero_gets_its_upper_end():
    """That of Clopper and Pearson for as many people, as SciPy has it."""
    labels = np.repeat(np.arange(7), 3)
    made = tally(labels[:, None].astype(float), labels, "euclidean", np.arange(21), {"threshold": 0.5})
    exact = stats.binomtest(0, 7).proportion_ci(0.95, "exact")
    for rate in (fmr([made], "threshold"), fnmr([made], "threshold")):
        assert (rate.value, rate.refused) == (0, "")
        assert rate.ci95 == pytest.approx((exact.low, exact.high))


def test_a_group_that_is_too_small_is_refused_in_words():
    x, labels = faces(4, (3, 3, 3, 3, 3, 1))
    made = tally(x, labels, "euclidean", np.arange(len(labels)), THRESHOLDS)
    # Six people have different pairs, but only five have two images.
    assert fmr([made], "threshold").refused == ""
    refused = fnmr([made], "threshold")
    assert (
        refused.refused
        == "5 people have such pairs; without an error among fewer than 6, the rate may still be one half"
    )
    assert math.isnan(refused.value)
    nobody = tally(x, labels, "euclidean", np.empty(0, int), THRESHOLDS)
    assert fmr([nobody], "threshold").refused.startswith("0 people have such pairs")
    assert fnmr([nobody], "threshold").refused.startswith("0 people have such pairs")


def test_so_few_pairs_of_people_that_none_accepted_says_nothing_are_refused():
    x, labels = faces(5, (2,) * 8)
    made = tally(x, labels, "euclidean", np.arange(len(labels)), THRESHOLDS)
    assert made.pairs_of_people == 28
    assert fmr([made], "0.1", 3 / 28).refused == ""
    # Among 28 pairs, none would be accepted in more than 5 % of cases, though one in ten is.
    assert 0.9**28 > 0.05 > 0.9**30
    assert fmr([made], "0.1", 0.1).refused == (
        "28 pairs of people; none accepted among fewer than 30 would not show a rate below 0.1"
    )
    # The same people in another trial are no further pairs of people; other people are.
    assert fmr([made, made], "0.1", 0.1).refused.startswith("28 pairs of people")
    others = tally(x, labels + 8, "euclidean", np.arange(len(labels)), THRESHOLDS)
    assert fmr([made, others], "0.1", 0.1).refused == ""
    # What is rejected wrongly has nothing to do with it.
    assert fnmr([made], "0.1").refused == ""


def rate(value, people, without):
    return Rate(value, None, "", np.array(people), np.array(without))


def test_the_worst_group_over_the_best():
    rates = {
        "a": rate(0.10, range(6), [0.10, 0.11, 0.09, 0.10, 0.12, 0.08]),
        "b": rate(0.30, range(5, 12), [0.30, 0.33, 0.28, 0.29, 0.30, 0.31, 0.29]),
        "c": rate(0.20, range(20, 26), [0.2] * 6),
        "d": Rate(math.nan, None, "too few", np.array([30]), np.empty(0)),
    }
    ratio = worst_over_best(rates)
    assert (ratio.worst, ratio.best) == ("b", "a")
    assert ratio.value == pytest.approx(3)
    of_a = [0.10, 0.11, 0.09, 0.10, 0.12, 0.08, *[0.10] * 6]  # the people 0 to 11
    of_b = [*[0.30] * 5, 0.30, 0.33, 0.28, 0.29, 0.30, 0.31, 0.29]
    logs = np.log(of_b) - np.log(of_a)
    error = math.sqrt(11 / 12 * ((logs - logs.mean()) ** 2).sum())
    reach = math.exp(stats.t.ppf(1 - 0.025 / 3, 5) * error)  # three pairs of three groups
    assert ratio.ci95 == pytest.approx((3 / reach, 3 * reach))


def test_there_is_no_ratio_without_two_groups_that_have_errors():
    some, none = rate(0.1, range(6), [0.1] * 6), rate(0.0, range(6, 12), [0.0] * 6)
    assert worst_over_best({"a": some}) is None
    assert worst_over_best({"a": none, "b": none}) is None
    unbounded = worst_over_best({"a": some, "b": none})
    assert (unbounded.worst, unbounded.best, unbounded.value, unbounded.ci95) == ("a", "b", math.inf, None)
    # All errors of the best group are those of one person: it may have none.
    single = rate(0.05, range(6, 12), [0.0, *[0.06] * 5])
    ratio = worst_over_best({"a": some, "b": single})
    assert (ratio.value, ratio.ci95) == (pytest.approx(2), None)
