"""The area under the curve without each of the people: compared with leaving them out for good."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from faceexp.evaluation import measured_pairs
from faceexp.evaluation.left_out import MOST_GROUPS, OverPeople, auc_without, over_people
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import people_of


def area(embeddings, labels, kept, pairs=None):
    """Return the area of the pairs of some rows; every person counts alike, unless a list names the pairs."""
    if pairs is None:
        first, second = np.triu_indices(len(labels), 1)
    else:
        first, second = pairs.T
    chosen = kept[first] & kept[second]
    first, second = first[chosen], second[chosen]
    same = labels[first] == labels[second]
    if len(set(same.tolist())) < 2:
        return math.nan
    images = np.array([np.sum(labels == label) for label in labels])
    weight = np.where(
        same, 2 / (images[first] * np.maximum(images[first] - 1, 1)), 1 / (images[first] * images[second])
    )
    distance = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    return roc_auc_score(same, -distance, sample_weight=weight if pairs is None else None)


def left_out(embeddings, labels, identities, pairs=None):
    measured = pair_distances(embeddings, labels, "euclidean", pairs)
    if pairs is None:
        measured = measured.person_averaged(labels)
    return auc_without(measured, people_of(labels, pairs), identities)


@settings(deadline=None, max_examples=60)
@given(
    images=st.lists(st.integers(1, 5), min_size=3, max_size=8),
    seed=st.integers(0, 2**32 - 1),
    are_listed=st.booleans(),
)
def test_each_group_of_people_is_left_out_with_all_of_its_pairs(images, seed, are_listed):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(images), dtype=np.int32), images)
    # Whole numbers, so that many distances are equal.
    embeddings = random.integers(0, 4, (len(labels), 2)).astype(np.float32)
    # The first person and the last one are in the same group.
    identities = np.array([*range(len(images) - 1), MOST_GROUPS])
    pairs = np.stack(np.triu_indices(len(labels), 1), axis=1) if are_listed else None
    without = left_out(embeddings, labels, identities, pairs)
    groups = identities % MOST_GROUPS
    assert set(without) == set(groups.tolist())
    for group, value in without.items():
        expected = area(embeddings, labels, groups[labels] != group, pairs)
        assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_many_pairs_are_looked_at_in_parts(monkeypatch):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(12, dtype=np.int32), [3, 5, 2, 4] * 3)
    embeddings, identities = random.normal(size=(len(labels), 3)).astype(np.float32), np.arange(12)
    for pairs in (None, np.stack(np.triu_indices(len(labels), 1), axis=1)):
        whole = left_out(embeddings, labels, identities, pairs)
        monkeypatch.setattr("faceexp.evaluation.likely.CHUNK", 50)
        assert left_out(embeddings, labels, identities, pairs) == pytest.approx(whole)
        monkeypatch.setattr("faceexp.evaluation.likely.CHUNK", measured_pairs.CHUNK)


def test_trials_are_put_together_and_a_person_is_left_out_of_all_of_them():
    """Three people in two trials, by hand: person 1 is tested in both."""
    together = over_people([0.8, 0.6], [{0: 0.7, 1: 0.9}, {1: 0.5, 2: 0.6}])
    means = np.array([(0.7 + 0.6) / 2, (0.9 + 0.5) / 2, (0.8 + 0.6) / 2])
    error = math.sqrt(2 / 3 * ((means - means.mean()) ** 2).sum())
    assert together == OverPeople(pytest.approx(0.7), pytest.approx(error), 3)
    assert over_people([0.8], [{0: 0.7}]) is None, "one person says nothing of how much people differ"
    assert over_people([0.8], [{0: 0.7, 1: math.nan}]) is None
