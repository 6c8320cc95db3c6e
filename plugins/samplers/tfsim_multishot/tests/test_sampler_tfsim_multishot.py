"""tensorflow-similarity's sampler: it draws indices, silently, from nobody's random numbers but its own."""

# ruff: noqa: S311 - the library draws from these, and so the tests do

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from faceexp_sampler_tfsim_multishot import TfsimMultishot

from faceexp.contract import BatchSupply
from faceexp.errors import InputError
from faceexp.testing import SamplerContract

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(40, dtype=np.int32), 10))


class TestTfsimMultishotContract(SamplerContract):
    @pytest.fixture(params=[2, 3])
    def plugin(self, request):
        return TfsimMultishot(images_per_class=request.param)


def batches(count, labels=LABELS, seed=0, **options):
    return list(islice(TfsimMultishot(**options).build(labels, seed), count))


@pytest.mark.parametrize(("p", "k"), [(16, 2), (3, 4), (5, 3), (4, 1), (40, 10)])
def test_a_batch_holds_p_identities_with_k_different_images_each_ordered_by_image(p, k):
    for batch in batches(10, classes_per_batch=p, images_per_class=k):
        assert type(batch) is np.ndarray
        assert batch.dtype == np.int64
        assert batch.shape == (p * k,)
        assert len(set(batch.tolist())) == p * k
        identities = LABELS[batch].reshape(k, p)
        assert (identities == identities[0]).all()
        assert len(set(identities[0].tolist())) == p


def test_identities_with_too_few_images_are_never_drawn():
    labels = np.repeat(np.array([3, 5, 8, 9], np.int32), [1, 2, 3, 4])
    drawn = batches(50, labels, classes_per_batch=2)
    assert set(labels[np.concatenate(drawn)].tolist()) == {5, 8, 9}
    assert all(set(Counter(labels[batch].tolist()).values()) == {2} for batch in drawn)


def test_every_image_is_drawn_sooner_or_later():
    assert set(np.concatenate(batches(200)).tolist()) == set(range(400))


def test_it_draws_what_the_library_draws():
    """The library alone, after `random.seed`, gives the same images, ordered by identity."""
    from tensorflow_similarity.samplers import MultiShotMemorySampler

    random.seed(7)
    alone = MultiShotMemorySampler(np.arange(400), LABELS, classes_per_batch=4, examples_per_class_per_batch=3)
    expected = [alone[0][0].numpy().reshape(4, 3).T.ravel() for _ in range(5)]
    np.testing.assert_array_equal(batches(5, seed=7, classes_per_batch=4, images_per_class=3), expected)


def test_two_samplers_and_the_program_do_not_disturb_each_other():
    expected_one, expected_two = batches(4, seed=1), batches(4, seed=2)
    random.seed(3)
    expected_numbers = [random.random() for _ in range(4)]

    random.seed(3)
    one, two = TfsimMultishot().build(LABELS, 1), TfsimMultishot().build(LABELS, 2)
    for number in range(4):
        assert random.random() == expected_numbers[number]
        np.testing.assert_array_equal(next(one), expected_one[number])
        np.testing.assert_array_equal(next(two), expected_two[number])


def test_random_state_is_restored_when_the_library_fails(monkeypatch):
    from tensorflow_similarity.samplers import MultiShotMemorySampler

    iterator = TfsimMultishot().build(LABELS, 0)
    before = random.getstate()

    def fail(_self, _batch):
        random.random()
        raise RuntimeError

    monkeypatch.setattr(MultiShotMemorySampler, "__getitem__", fail)
    with pytest.raises(RuntimeError):
        next(iterator)
    assert random.getstate() == before


def test_in_a_fresh_process_it_writes_nothing_and_disturbs_no_random_state():
    """Importing the library draws random numbers, prints, and logs from C++; importing the plugin does none of it."""
    code = """
import random, sys
import numpy as np
from faceexp_sampler_tfsim_multishot import TfsimMultishot
assert not sys.modules.keys() & {"tensorflow", "keras", "sklearn", "tensorflow_similarity"}, "heavy import"
before, numpy_before = random.getstate(), np.random.get_state()[1].tolist()
next(TfsimMultishot(classes_per_batch=4).build(np.repeat(np.arange(10), 5), 0))
assert random.getstate() == before, "random"
assert np.random.get_state()[1].tolist() == numpy_before, "np.random"
sys.stdout.write("o"), sys.stderr.write("e")  # both are back in place
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr, done.returncode) == ("o", "e", 0)


def test_supply_is_similar_halves_for_even_k_only():
    assert TfsimMultishot().supply() == BatchSupply(size=32, classes=16, images_per_class=2, halves="similar")
    assert TfsimMultishot(images_per_class=3).supply() == BatchSupply(size=48, classes=16, images_per_class=3)


@pytest.mark.parametrize(("p", "k", "have"), [(41, 2, 40), (2, 11, 0)])
def test_too_few_identities_are_refused_when_the_sampler_is_built(p, k, have):
    with pytest.raises(InputError) as caught:
        TfsimMultishot(classes_per_batch=p, images_per_class=k).build(LABELS, 0)
    assert str(caught.value) == (
        f"sampler 'tfsim_multishot': a batch takes {k} images of each of {p} identities, but only {have} identities of "
        "the training part have that many; lower classes_per_batch or images_per_class"
    )
