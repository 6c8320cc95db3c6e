"""Random batches: every image once per epoch, and what is refused."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from faceexp_sampler_random import Random
from hypothesis import given, settings
from hypothesis import strategies as st

from faceexp.contract import BatchSupply
from faceexp.errors import InputError
from faceexp.testing import SamplerContract

LABELS = np.repeat(np.arange(10, dtype=np.int32), 10)


class TestRandomContract(SamplerContract):
    @pytest.fixture
    def plugin(self):
        return Random()


def batches(count, labels=LABELS, seed=0, size=64):
    return list(islice(Random(batch_size=size).build(labels, seed), count))


@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_image_comes_once_per_epoch(size, more, seed):
    images, epochs = size + more, 4
    drawn = batches(-(-epochs * images // size), np.zeros(images, np.int32), seed, size)
    assert all(batch.shape == (size,) and batch.dtype == np.int64 for batch in drawn)
    sequence = np.concatenate(drawn)[: epochs * images].reshape(epochs, images)
    np.testing.assert_array_equal(np.sort(sequence, axis=1), np.tile(np.arange(images), (epochs, 1)))


def test_the_order_is_random_and_another_each_epoch():
    first, second = np.concatenate(batches(8, size=25)).reshape(2, 100)
    assert not np.array_equal(first, np.arange(100))
    assert not np.array_equal(first, second)


def test_batches_cross_the_borders_of_epochs():
    first, second = batches(2)  # of 64 of 100 images
    assert len(set(first.tolist()) | set(second[:36].tolist())) == 100


def test_labels_do_not_matter():
    np.testing.assert_array_equal(batches(9), batches(9, labels=LABELS[::-1]))


def test_supply_promises_nothing_but_the_size():
    assert Random().supply() == BatchSupply(size=64, classes=1, images_per_class=1, halves=None)


def test_a_batch_larger_than_the_training_part_is_refused_when_the_sampler_is_built():
    assert len(batches(1, size=100)[0]) == 100
    with pytest.raises(InputError) as caught:
        Random(batch_size=101).build(LABELS, 0)
    assert str(caught.value) == (
        "sampler 'random': batch_size is 101, but the training part has only 100 images; set batch_size to 100 or less"
    )
