"""The range of the rate that other people meet, against loops and against people who were not measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from faceexp.evaluation import likely as module
from faceexp.evaluation.likely import LIKELY, likely_rates
from faceexp.evaluation.measured_pairs import PairDistances
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of
from faceexp.evaluation.roc import roc
from faceexp.evaluation.verification import rates, threshold_at_far


def faces(random, people, images=10, width=16):
    """Return embeddings and labels of random people; some people's images differ more than others'."""
    labels = np.repeat(np.arange(people), images)
    spread = 0.8 * random.lognormal(0, 0.2, people)[labels]
    return random.normal(size=(people, width))[labels] + spread[:, None] * random.normal(
        size=(len(labels), width)
    ), labels


@pytest.mark.parametrize("images", [(4, 4, 4, 4, 4), (2, 3, 7, 4, 5)], ids=["even", "uneven"])
def test_the_range_is_that_of_the_jackknife(monkeypatch, images):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), images)
    x = random.normal(size=(len(labels), 3))
    measured = pair_distances(x, labels, "euclidean").person_averaged(labels)
    monkeypatch.setattr(module, "CHUNK", 17)
    thresholds = [1.0, 2.5, 2.0]
    for threshold, found in zip(thresholds, likely_rates(measured, people_of(labels), thresholds), strict=True):

        def rate_of(chosen, threshold=threshold):
            left_out = np.isin(labels, chosen)
            rest = pair_distances(x[left_out], labels[left_out], "euclidean").person_averaged(labels[left_out])
            return rates(rest, threshold)[0]

        rate = rate_of(range(5))
        without = np.array([rate_of([b for b in range(5) if b != a]) for a in range(5)])
        error = math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
        half = stats.t.ppf((1 + LIKELY) / 2, 4) * error / (rate * (1 - rate))
        odds = [math.exp(math.log(rate / (1 - rate)) + sign * half) for sign in (-1, 1)]
        assert found == pytest.approx([each / (1 + each) for each in odds], rel=1e-6)


def test_listed_pairs_have_a_range_too():
    random = np.random.default_rng(1)
    x, labels = faces(random, 12)
    pairs = random.integers(0, len(labels), (3000, 2))
    (found,) = likely_rates(pair_distances(x, labels, "euclidean", pairs), people_of(labels, pairs), [4.5])
    (of_all,) = likely_rates(pair_distances(x, labels, "euclidean"), people_of(labels), [4.5])
    assert found == pytest.approx(of_all, abs=0.05)


@pytest.mark.parametrize("people", [8, 20, 40])
def test_the_range_holds_the_rate_of_other_people(people):
    """The threshold is set on a few people; the rate that it really has is that of 300 others."""
    random = np.random.default_rng(people)
    of_others, labels = faces(random, 300, images=3)
    others = pair_distances(of_others, labels, "euclidean")
    different = np.sort(others.distance[~others.similar])
    held = []
    for _ in range(60):
        x, labels = faces(random, people)
        measured = pair_distances(x, labels, "euclidean")
        threshold = threshold_at_far(roc(measured), 0.02)
        low, high = likely_rates(measured, people_of(labels), [threshold])[0] or (math.nan, math.nan)
        met = np.searchsorted(different, threshold, side="right") / len(different)
        held.append(low <= met <= high)
    # 90 % are meant; three standard errors of 60 draws are 12 points.
    assert np.mean(held) > 0.78


def test_what_cannot_be_known_has_no_range():
    similar = np.zeros(3, bool)
    three, two = people_of(np.array([0, 1, 2])), people_of(np.array([0, 1]))
    distances = PairDistances(np.array([1.0, 2.0, 3.0]), similar)
    assert likely_rates(distances, three, [0.5, 3.0]) == [None, None]
    assert likely_rates(distances, three, [1.5])[0] is not None
    assert likely_rates(PairDistances(distances.distance[:1], similar[:1]), two, [1.5]) == [None]
    assert likely_rates(PairDistances(np.empty(0), np.empty(0, bool)), people_of(np.array([], int)), [1.0]) == [None]
    assert likely_rates(distances, three, []) == []
