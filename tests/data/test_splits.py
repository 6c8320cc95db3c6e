"""Parts do not overlap, and every protocol keeps its promise about people."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.data.splits import UnservableError, smallest, splits
from faceexp.experiment.protocol import Protocol

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


@pytest.mark.parametrize("kind", ["open_set", "closed_set"])
def test_a_split_seed_cuts_every_seed_the_same_way_and_as_a_seed_of_that_number_would(kind):
    options = {"kind": kind, "folds": 3}
    _, as_seed = cut([10] * 20, 7, **options)
    for seed in (0, 1, 7):
        _, fixed = cut([10] * 20, seed, split_seed=7, **options)
        assert [(split.seed, split.fold) for split in fixed] == [(seed, 0), (seed, 1), (seed, 2)]
        for split, expected in zip(fixed, as_seed, strict=True):
            for name, part in parts_of(split).items():
                np.testing.assert_array_equal(part, parts_of(expected)[name])
    assert not np.array_equal(fixed[0].test, cut([10] * 20, 7, split_seed=8, **options)[1][0].test)


def test_a_split_seed_also_fixes_which_folds_of_a_list_are_for_validation():
    options = {"people": 20, "folds": 5, "unlisted": 0, "validation_fraction": 0.25}
    labels, pairs, _ = from_list(**options)  # one list; only its folds are chosen anew
    cuts = [
        splits(labels, Protocol(kind="pairs_file", path="x", validation_fraction=0.25, **fixed), seed, pairs)
        for fixed in ({}, {"split_seed": 3})
        for seed in range(6)
    ]
    ways = [{way[0].validation.tobytes() for way in some} for some in (cuts[:6], cuts[6:])]
    assert len(ways[0]) > 1
    assert len(ways[1]) == 1


def test_people_are_dealt_as_the_first_release_dealt_them():
    """What is in the store is found again only as long as a seed deals people in the same way."""
    labels = np.repeat(np.arange(12), 4)
    (split,) = splits(labels, Protocol(kind="open_set"), 5)
    dealt = [sorted(set(labels[part].tolist())) for part in parts_of(split).values()]
    assert dealt == [[0, 1, 2, 3, 4, 6, 8, 10], [5, 7], [9, 11]]


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


# Lists of pairs ---------------------------------------------------------------------------------------------------------


def listed_pairs(labels, people, folds, seed):
    """Return folds of pairs among the first people, who are dealt to the folds: one of each person, one of neighbours."""
    random = np.random.default_rng(seed)
    found = []
    for group in np.array_split(random.permutation(people), folds):
        own = {person: random.permutation(np.flatnonzero(labels == person)) for person in group}
        similar = [own[person][:2] for person in group]
        different = [(own[one][0], own[other][1]) for one, other in zip(group, np.roll(group, 1), strict=True)]
        found.append(np.array([*similar, *different]))
    return tuple(found)


def from_list(people=12, folds=3, unlisted=4, seed=0, **options):
    labels = labelled([4] * (people + unlisted))
    pairs = listed_pairs(labels, people, folds, seed)
    return labels, pairs, splits(labels, Protocol(kind="pairs_file", path="pairs.txt", **options), seed, pairs)


def images_of(part, pairs):
    return part[pairs]


def test_each_fold_of_a_list_is_tested_once_and_judged_by_the_others():
    labels, pairs, found = from_list()
    for fold, split in enumerate(found):
        np.testing.assert_array_equal(images_of(split.test, split.test_pairs), pairs[fold])
        others = np.concatenate([pairs[other] for other in range(3) if other != fold])
        np.testing.assert_array_equal(images_of(split.validation, split.validation_pairs), others)
        assert set(labels[split.train]) == {12, 13, 14, 15}


def test_people_of_other_folds_may_be_trained_on():
    labels, pairs, found = from_list(people=20, folds=5, unlisted=0, validation_fraction=0.25)
    for fold, split in enumerate(found):
        judged = {tuple(pair) for pair in images_of(split.validation, split.validation_pairs)}
        used = [other for other in range(5) if judged == {tuple(pair) for pair in pairs[other]}]
        assert len(used) == 1
        assert used != [fold]
        assert len(set(labels[split.train])) == 12


def test_people_in_several_folds_judge_no_threshold_of_their_own():
    labels = labelled([4] * 8)
    pairs = list(listed_pairs(labels, 6, 3, 0))
    shared = labels[pairs[0][0, 0]]
    other = labels[pairs[1][0, 0]]
    pairs[1] = np.vstack([pairs[1], [np.flatnonzero(labels == person)[3] for person in (shared, other)]])
    protocol = Protocol(kind="pairs_file", path="pairs.txt")
    first, second, _ = splits(labels, protocol, 0, tuple(pairs))
    assert len(first.validation_pairs) == 8  # of 9
    assert shared not in labels[first.validation]
    # In its own fold that pair is judged; then all of the people's other pairs are left out.
    assert len(second.test_pairs) == 5
    assert shared not in labels[second.validation]


@pytest.mark.parametrize(
    ("people", "unlisted", "message"),
    [
        (
            12,
            1,
            "the list names nearly everybody: 1 people are left to train on in fold 1; .*validation_fraction = 0.25",
        ),
        (12, 0, "0 people are left"),
    ],
)
def test_a_list_of_everybody_leaves_nobody_to_train_on(people, unlisted, message):
    with pytest.raises(UnservableError, match=message):
        from_list(people=people, unlisted=unlisted)


def test_folds_of_the_same_people_leave_nothing_to_choose_a_threshold_on():
    labels = labelled([6] * 6)
    (pairs,) = listed_pairs(labels, 2, 1, 0)
    with pytest.raises(
        UnservableError, match="have no similar pair without people of that fold.*must not share people"
    ):
        splits(labels, Protocol(kind="pairs_file", path="pairs.txt"), 0, (pairs, pairs))


def test_a_fold_without_a_kind_of_pairs_is_named():
    labels = labelled([4] * 12)
    pairs = listed_pairs(labels, 8, 2, 0)
    similar = labels[pairs[0][:, 0]] == labels[pairs[0][:, 1]]
    with pytest.raises(UnservableError, match="fold 1 has no different pair, so there is nothing to measure in it"):
        splits(labels, Protocol(kind="pairs_file"), 0, (pairs[0][similar], pairs[1]))


@pytest.mark.parametrize(("fraction", "held"), [({}, 2), ({"validation_fraction": 0.5}, 4)])
def test_a_list_without_folds_takes_its_threshold_from_people_whom_it_does_not_name(fraction, held):
    labels = labelled([4] * 14)
    pairs = listed_pairs(labels, 6, 1, 0)
    (split,) = splits(labels, Protocol(kind="pairs_file", **fraction), 0, pairs)
    np.testing.assert_array_equal(images_of(split.test, split.test_pairs), pairs[0])
    assert split.validation_pairs is None
    people = [set(labels[part]) for part in parts_of(split).values()]
    assert [len(group) for group in people] == [8 - held, held, 6]
    assert len(set.union(*people)) == 14


def test_where_nothing_is_trained_nobody_need_be_left_to_train_on():
    labels = labelled([4] * 12)
    protocol = Protocol(kind="pairs_file")
    found = splits(labels, protocol, 0, listed_pairs(labels, 12, 3, 0), trains=False)
    assert [len(split.train) for split in found] == [0, 0, 0]
    assert all(len(split.validation_pairs) for split in found)
    alone = listed_pairs(labels, 6, 1, 0)
    (split,) = splits(labels, protocol, 0, alone, trains=False)
    assert (len(split.train), len(set(labels[split.validation]))) == (0, 6)  # all others judge the threshold


@pytest.mark.parametrize(
    ("people", "trains", "message"),
    [
        (12, True, "the list has no folds, so the threshold comes from people whom it does not name, .* there are 0"),
        (12, False, "there are 0, of whom 0 are for validation: add people, or a column fold to the list"),
        (9, True, "there are 3, of whom 1 are for validation"),
    ],
)
def test_a_list_of_everybody_without_folds_is_refused(people, trains, message):
    labels = labelled([4] * 12)
    with pytest.raises(UnservableError, match=message):
        splits(labels, Protocol(kind="pairs_file"), 0, listed_pairs(labels, people, 1, 0), trains=trains)


# No leaks, whatever the protocol ----------------------------------------------------------------------------------------


LISTS = {"train": "train.txt", "validation": "validation.txt", "test": "test.txt"}


def cut_of(kind, seed, folds, fraction):
    """Return labels and splits of some data that the kind of protocol can serve."""
    if kind == "listed":
        labels = labelled([3, 4, 5] * 4)
        people = np.random.default_rng(seed).permutation(12)
        parts = tuple(np.flatnonzero(np.isin(labels, group)) for group in (people[:6], people[6:9], people[9:]))
        return labels, splits(labels, Protocol(kind="listed", **LISTS), seed, (), parts)
    if kind == "pairs_file":
        labels, _, found = from_list(people=24, folds=folds + 1, unlisted=5, seed=seed, validation_fraction=fraction)
        return labels, found
    return cut([12, 13, 14] * 6, seed, kind=kind, folds=folds, validation_fraction=fraction)


@QUICK
@given(
    st.sampled_from(get_args(Protocol.model_fields["kind"].annotation)), SEEDS, st.integers(1, 4), st.floats(0.3, 0.6)
)
def test_nothing_of_test_reaches_training_or_tuning(kind, seed, folds, fraction):
    labels, found = cut_of(kind, seed, folds, fraction)
    assert found
    for split in found:
        parts = parts_of(split)
        assert all(len(part) for part in parts.values())
        known, test = np.concatenate([split.train, split.validation]), split.test
        # Images always; people too, unless the protocol is about known people.
        assert not set(known) & set(test)
        assert not set(split.train) & set(split.validation)
        if kind == "closed_set":
            assert set(labels[test]) == set(labels[known])
        else:
            assert not set(labels[known]) & set(labels[test])
            assert not set(labels[split.train]) & set(labels[split.validation])
        for name, pairs in (("validation", split.validation_pairs), ("test", split.test_pairs)):
            if pairs is not None:
                assert 0 <= pairs.min() <= pairs.max() < len(parts[name])


def test_lists_whose_images_cannot_be_read_may_leave_too_little():
    """Before anything is decoded, planning says at which list it is; this is what is left after it."""
    protocol = Protocol(kind="listed", **LISTS)
    labels = np.repeat(np.arange(8), 2)
    train, validation, test = np.arange(8), np.arange(8, 12), np.arange(12, 16)
    (split,) = splits(labels, protocol, 3, (), (train, validation, test))
    assert (split.seed, split.fold) == (3, 0)
    for part, expected in zip(parts_of(split).values(), (train, validation, test), strict=True):
        np.testing.assert_array_equal(part, expected)
    with pytest.raises(
        UnservableError, match="only 1 of the people in the list for validation can be used; a part needs two"
    ):
        splits(labels, protocol, 3, (), (train, validation[:2], test))
    with pytest.raises(UnservableError, match="no person in test keeps two images, so there is no similar pair"):
        splits(labels, protocol, 3, (), (train, validation, test[1:3]))


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"kind": "pairs_file", "path": "x"}, 1),
        ({"kind": "listed", **LISTS}, 1),
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
