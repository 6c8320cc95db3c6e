"""Parts do not overlap, and every protocol keeps its promise about people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.experiment import Protocol
from faceexp.protocol import UnservableError, smallest, splits

QUICK = settings(max_examples=60, deadline=None)
COUNTS = st.lists(st.integers(2, 9), min_size=8, max_size=25)
SEEDS = st.integers(0, 2**31 - 1)


def labelled(counts):
    """Return labels of people with so many images each, in no order."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return np.random.default_rng(len(labels)).permutation(labels)


def cut(counts, seed=0, **options):
    labels = labelled(counts)
    return labels, splits(labels, Protocol(**options), seed)


def parts_of(split):
    return {"train": split.train, "validation": split.validation, "test": split.test}


def overlap_free_and_complete(labels, split):
    together = np.concatenate(list(parts_of(split).values()))
    assert sorted(together) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts_of(split).values())  # sorted, none twice


@QUICK
@given(COUNTS, SEEDS, st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_open_set_has_nobody_in_two_parts(counts, seed, test_fraction, validation_fraction):
    options = {"test_fraction": test_fraction, "validation_fraction": validation_fraction}
    try:
        labels, (split,) = cut(counts, seed, kind="open_set", **options)
    except UnservableError as error:
        assert "two at least" in str(error)
        return
    overlap_free_and_complete(labels, split)
    people = [set(labels[part]) for part in parts_of(split).values()]
    assert sum(len(group) for group in people) == len(set.union(*people)) == len(counts)
    assert all(len(group) >= 2 for group in people)
    assert (split.seed, split.fold) == (seed, 0)


@QUICK
@given(
    st.lists(st.integers(3, 9), min_size=2, max_size=15),
    SEEDS,
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
    st.sampled_from([1, 2, 3, 5]),
)
def test_closed_set_has_everybody_in_every_part(counts, seed, test_fraction, validation_fraction, folds):
    options = {"test_fraction": test_fraction, "validation_fraction": validation_fraction, "folds": folds}
    protocol = Protocol(kind="closed_set", **options)
    counts = [max(count, smallest(protocol)) for count in counts]
    try:
        labels, found = cut(counts, seed, kind="closed_set", **options)
    except UnservableError as error:
        assert "no similar pair" in str(error)
        return
    assert len(found) == folds
    for split in found:
        overlap_free_and_complete(labels, split)
        for part in parts_of(split).values():
            assert set(labels[part]) == set(range(len(counts)))


@QUICK
@given(st.lists(st.integers(2, 6), min_size=12, max_size=25), SEEDS, st.integers(2, 5))
def test_the_folds_of_an_open_set_test_everybody_once(counts, seed, folds):
    labels, found = cut(counts, seed, kind="open_set", folds=folds)
    assert [split.fold for split in found] == list(range(folds))
    tested = [set(labels[split.test]) for split in found]
    assert sum(len(people) for people in tested) == len(set.union(*tested)) == len(counts)
    for split in found:
        overlap_free_and_complete(labels, split)
        assert not set(labels[split.test]) & set(labels[np.concatenate([split.train, split.validation])])


@QUICK
@given(st.lists(st.integers(12, 16), min_size=2, max_size=8), SEEDS, st.integers(2, 5))
def test_the_folds_of_a_closed_set_test_every_image_once(counts, seed, folds):
    labels, found = cut(counts, seed, kind="closed_set", folds=folds)
    tested = np.concatenate([split.test for split in found])
    assert sorted(tested) == list(range(len(labels)))


@QUICK
@given(COUNTS, SEEDS, st.sampled_from(["open_set", "closed_set"]))
def test_a_seed_is_a_split(counts, seed, kind):
    counts = [10 + count for count in counts]
    _, first = cut(counts, seed, kind=kind)
    _, again = cut(counts, seed, kind=kind)
    for name, part in parts_of(first[0]).items():
        np.testing.assert_array_equal(part, parts_of(again[0])[name])


@pytest.mark.parametrize("kind", ["open_set", "closed_set"])
def test_other_seeds_are_other_splits(kind):
    tests = {tuple(cut([10] * 20, seed, kind=kind)[1][0].test) for seed in range(10)}
    assert len(tests) == 10


def test_fractions_are_of_people_or_of_each_persons_images():
    labels, (split,) = cut([10] * 20, kind="open_set", test_fraction=0.2, validation_fraction=0.25)
    assert [len(set(labels[part])) for part in parts_of(split).values()] == [12, 4, 4]
    labels, (split,) = cut([10] * 20, kind="closed_set", test_fraction=0.2, validation_fraction=0.25)
    for part, images in zip(parts_of(split).values(), (6, 2, 2), strict=True):
        assert set(np.bincount(labels[part])) == {images}


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([5] * 3, {}, "3 people leave 2 for training|3 people leave 1 for"),
        ([5] * 6, {"test_fraction": 0.9}, "6 people leave [01] for (training|validation)"),
        ([5] * 6, {"folds": 6}, "6 people leave 1 for (validation|test), which needs two at least; use more people"),
        ([1] * 20, {}, "no person in validation has two images, so there is no similar pair to judge"),
    ],
)
def test_open_set_says_what_it_lacks(counts, options, message):
    with pytest.raises(UnservableError, match=message):
        cut(counts, kind="open_set", **options)


def test_open_set_needs_a_similar_pair_in_test_too():
    # One person with two images: it is either in validation or in test, never in both.
    with pytest.raises(UnservableError, match="no person in (validation|test) has two images"):
        cut([2] + [1] * 11, kind="open_set")


@pytest.mark.parametrize(("counts", "name"), [([4] * 5, "validation"), ([6] * 5, "(validation|test)")])
def test_closed_set_needs_people_who_keep_two_images(counts, name):
    with pytest.raises(UnservableError, match=f"no person keeps two images for {name}, .*larger fraction"):
        cut(counts, kind="closed_set", test_fraction=0.25, validation_fraction=0.2)


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"kind": "open_set"}, 2),
        ({"kind": "open_set", "folds": 7}, 2),
        ({"kind": "closed_set"}, 3),
        ({"kind": "closed_set", "folds": 2}, 4),
        ({"kind": "closed_set", "folds": 3}, 3),
        ({"kind": "closed_set", "folds": 7}, 7),
    ],
)
def test_smallest(options, least):
    assert smallest(Protocol(**options)) == least
