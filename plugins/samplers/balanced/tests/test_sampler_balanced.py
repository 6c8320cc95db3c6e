"""Balanced batches: whom they hold, in which order, how evenly, and what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import islice, permutations

import numpy as np
import pytest
from faceexp_sampler_balanced import Balanced, draw, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.contract import BatchSupply
from faceexp.errors import InputError
from faceexp.testing import SamplerContract

LABELS = np.repeat(np.arange(40, dtype=np.int32), 10)  # as the ORL faces


class TestBalancedContract(SamplerContract):
    @pytest.fixture(params=[2, 3])
    def plugin(self, request):
        return Balanced(images_per_class=request.param)


def batches(count, labels=LABELS, seed=0, **options):
    return list(islice(Balanced(**options).build(labels, seed), count))


@st.composite
def problems(draw_from):
    """P, K and shuffled labels in which at least P identities have K images, and some may have fewer."""
    p, k = draw_from(st.integers(1, 6)), draw_from(st.integers(1, 6))
    counts = draw_from(st.lists(st.integers(k, k + 6), min_size=p, max_size=p + 5))
    counts += draw_from(st.lists(st.integers(0, k - 1), max_size=4))
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return p, k, np.random.default_rng(draw_from(st.integers(0, 99))).permutation(labels)


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_batch_holds_p_identities_with_k_different_images_each(problem, seed):
    p, k, labels = problem
    for batch in batches(40, labels, seed, classes_per_batch=p, images_per_class=k):
        assert batch.dtype == np.int64
        assert batch.shape == (p * k,)
        assert batch.min() >= 0
        assert len(set(batch.tolist())) == p * k  # no image twice
        assert set(Counter(labels[batch].tolist()).values()) == {k}


@given(problems())
@settings(max_examples=60, deadline=None)
def test_rows_are_ordered_by_image(problem):
    p, k, labels = problem
    for batch in batches(5, labels, classes_per_batch=p, images_per_class=k):
        identities = labels[batch].reshape(k, p)
        assert (identities == identities[0]).all()
        if k % 2 == 0:
            first, second = np.split(labels[batch], 2)
            np.testing.assert_array_equal(first, second)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_identities_are_visited_evenly_and_those_with_too_few_images_never(problem):
    p, k, labels = problem
    visits = Counter({identity: 0 for identity, count in Counter(labels.tolist()).items() if count >= k})
    for batch in batches(80, labels, classes_per_batch=p, images_per_class=k):
        visits.update(labels[batch[:p]].tolist())
        assert max(visits.values()) - min(visits.values()) <= 1
    assert len(visits) == sum(np.unique(labels, return_counts=True)[1] >= k)


def test_identities_come_in_another_order_each_time_round():
    rounds = [
        np.concatenate([LABELS[batch[:8]] for batch in batches(15, classes_per_batch=8)[5 * i : 5 * i + 5]])
        for i in range(3)
    ]
    assert all(sorted(identities) == list(range(40)) for identities in rounds)
    assert not np.array_equal(rounds[0], rounds[1])
    assert not np.array_equal(rounds[1], rounds[2])


def test_walk_goes_through_one_permutation_after_another():
    numbers = np.concatenate(list(islice(walk(np.random.default_rng(0), count=7, size=3), 7)))
    assert [sorted(numbers[i : i + 7].tolist()) for i in (0, 7, 14)] == [list(range(7))] * 3


def test_draw_is_uniform_over_ordered_choices():
    drawn = draw(np.random.default_rng(0), np.full(60_000, 4), 3)
    frequency = Counter(map(tuple, drawn.tolist()))
    assert set(frequency) == set(permutations(range(4), 3))
    # 24 orders, 2500 expected of each, standard deviation 49.
    assert all(abs(count - 2500) < 5 * 49 for count in frequency.values())


def test_draw_knows_how_many_each_row_has():
    drawn = draw(np.random.default_rng(0), np.array([2, 5, 3]), 2)
    assert drawn.shape == (3, 2)
    assert (drawn < np.array([[2], [5], [3]])).all()
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_every_image_is_drawn_sooner_or_later():
    assert set(np.concatenate(batches(200)).tolist()) == set(range(400))


def test_a_batch_that_the_consumer_overwrites_does_not_change_the_next():
    iterator = Balanced().build(LABELS, 0)
    expected = batches(40)
    for number in range(40):
        batch = next(iterator)
        np.testing.assert_array_equal(batch, expected[number])
        batch[:] = -1


def test_labels_need_not_be_consecutive():
    labels = np.array([7, 3, 7, 3, 100, 100], np.int32)
    (batch,) = batches(1, labels, classes_per_batch=3)
    assert sorted(batch.tolist()) == list(range(6))


def test_supply_is_similar_halves_for_even_k_only():
    assert Balanced().supply() == BatchSupply(size=32, classes=16, images_per_class=2, halves="similar")
    assert Balanced(images_per_class=3).supply() == BatchSupply(size=48, classes=16, images_per_class=3, halves=None)


@pytest.mark.parametrize(("p", "k", "have"), [(41, 2, 40), (2, 11, 0)])
def test_too_few_identities_are_refused_when_the_sampler_is_built(p, k, have):
    with pytest.raises(InputError) as caught:
        Balanced(classes_per_batch=p, images_per_class=k).build(LABELS, 0)
    assert str(caught.value) == (
        f"sampler 'balanced': a batch takes {k} images of each of {p} identities, but only {have} identities of the "
        "training part have that many; lower classes_per_batch or images_per_class"
    )
