"""Pairs: how many are similar, how they are drawn, and what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import islice, permutations

import numpy as np
import pytest
from faceexp_sampler_pairs import Pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from faceexp.contract import BatchSupply
from faceexp.errors import InputError
from faceexp.testing import SamplerContract

LABELS = np.repeat(np.arange(40, dtype=np.int32), 10)  # as the ORL faces


class TestPairsContract(SamplerContract):
    @pytest.fixture(params=[0.0, 0.5, 1.0])
    def plugin(self, request):
        return Pairs(similar_share=request.param)


def batches(count, labels=LABELS, seed=0, **options):
    return list(islice(Pairs(**options).build(labels, seed), count))


@st.composite
def shuffled_labels(draw):
    """Labels of two or more identities, one of which has two images or more; some may have one."""
    counts = [draw(st.integers(2, 6)), *draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))]
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels)


@given(shuffled_labels(), st.integers(1, 20), st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_the_share_of_pairs_is_similar(labels, pairs, share, seed):
    for batch in batches(10, labels, seed, batch_size=2 * pairs, similar_share=share):
        assert batch.dtype == np.int64
        assert batch.shape == (2 * pairs,)
        anchors, partners = np.split(batch, 2)
        assert (anchors != partners).all()  # never an image with itself
        assert (labels[anchors] == labels[partners]).sum() == round(share * pairs)


def test_the_order_of_pairs_is_shuffled():
    is_similar = [LABELS[batch[:64]] == LABELS[batch[64:]] for batch in batches(400)]
    # Each of the 64 places holds a similar pair in half of the batches, 200 +- 10.
    assert (np.abs(np.sum(is_similar, axis=0) - 200) < 50).all()


def test_every_pair_that_fits_is_as_likely_as_any_other():
    labels = np.array([0, 1, 0, 2, 1, 0], np.int32)  # three, two and one images
    frequency: dict[bool, Counter[tuple[int, int]]] = {True: Counter(), False: Counter()}
    for batch in batches(400, labels, batch_size=128):
        for anchor, partner in batch.reshape(2, 64).T.tolist():
            frequency[bool(labels[anchor] == labels[partner])][anchor, partner] += 1

    possible = set(permutations(range(6), 2))
    similar = {(a, b) for a, b in possible if labels[a] == labels[b]}
    assert set(frequency[True]) == similar
    assert set(frequency[False]) == possible - similar
    images = Counter(labels.tolist())
    for (anchor, _), count in frequency[True].items():
        # One of the 5 images that have a partner, then one of these; 12800 pairs.
        expected = 12_800 / 5 / (images[labels[anchor]] - 1)
        assert abs(count - expected) < 5 * expected**0.5
    for (anchor, _), count in frequency[False].items():
        expected = 12_800 / 6 / (6 - images[labels[anchor]])
        assert abs(count - expected) < 5 * expected**0.5


@pytest.mark.parametrize(
    ("size", "share", "supply"),
    [
        (128, 0.5, BatchSupply(size=128, classes=2, images_per_class=2, halves="mixed")),
        (128, 1.0, BatchSupply(size=128, classes=2, images_per_class=2, halves="similar")),
        (128, 0.0, BatchSupply(size=128, classes=2, images_per_class=1, halves=None)),
        (8, 0.1, BatchSupply(size=8, classes=2, images_per_class=1, halves=None)),  # 0.4 of a pair is none
        (2, 1.0, BatchSupply(size=2, classes=1, images_per_class=2, halves="similar")),  # one pair, one identity
        (8, 0.9, BatchSupply(size=8, classes=2, images_per_class=2, halves="similar")),  # 3.6 pairs are all 4
    ],
)
def test_supply_follows_from_the_kinds_that_occur(size, share, supply):
    assert Pairs(batch_size=size, similar_share=share).supply() == supply


def test_defaults_are_those_of_the_study():
    assert (Pairs().batch_size, Pairs().similar_share) == (128, 0.5)


def refused(labels, share=0.5):
    with pytest.raises(InputError) as caught:
        Pairs(similar_share=share).build(np.array(labels, np.int32), 0)
    return [str(problem) for problem in caught.value.problems]


NO_SIMILAR = (
    "sampler 'pairs': no identity of the training part has two images for a similar pair; set similar_share = 0"
)
NO_DIFFERENT = "sampler 'pairs': the training part has no two identities for a different pair; set similar_share = 1"


def test_similar_pairs_need_two_images_of_an_identity():
    assert refused([0, 1, 2]) == [NO_SIMILAR]
    assert batches(1, np.arange(3), similar_share=0.0)


def test_different_pairs_need_two_identities():
    assert refused([0, 0, 0]) == [NO_DIFFERENT]
    assert batches(1, np.zeros(3, np.int32), similar_share=1.0)


def test_both_mistakes_are_reported_at_once():
    assert refused([0]) == [NO_SIMILAR, NO_DIFFERENT]
    assert refused([]) == [NO_SIMILAR, NO_DIFFERENT]


def test_a_batch_of_similar_pairs_alone_still_shows_two_identities():
    labels = np.repeat([0, 1], [50, 2])  # by chance alone, most batches of two pairs would show identity 0 twice
    batches = Pairs(batch_size=4, similar_share=1.0).build(labels, seed=3)
    assert all(len(np.unique(labels[next(batches)])) == 2 for _ in range(200))


def test_one_identity_is_served_as_it_is():
    labels = np.zeros(5, int)
    assert len(next(Pairs(batch_size=4, similar_share=1.0).build(labels, seed=3))) == 4


def test_a_batch_has_two_halves():
    with pytest.raises(ValidationError, match="multiple of 2"):
        Pairs(batch_size=7)
