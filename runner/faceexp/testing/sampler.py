"""What every sampler has to keep."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from faceexp.contract import BatchSupply, IntArray, SamplerPlugin
from faceexp.testing.plugin import RANDOM, PluginContract, assert_process_stays, random_state, random_state_kept


class SamplerContract(PluginContract):
    """What every sampler has to keep; the subclass gives a fixture ``plugin``, and maybe one ``labels``."""

    @pytest.fixture
    def labels(self) -> IntArray:
        """Return the labels to draw from: 40 identities with 10 images each, shuffled."""
        return np.random.default_rng(0).permutation(np.repeat(np.arange(40, dtype=np.int32), 10))

    @staticmethod
    def _draw(plugin: SamplerPlugin, labels: IntArray, seed: int = 0) -> tuple[list[IntArray], int]:
        """Return batches, and how many were asked for: 100, or those of three epochs."""
        count = max(100, 3 * len(labels) // plugin.supply().size)
        return list(islice(plugin.build(labels, seed), count)), count

    def test_gives_index_arrays(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Check that a batch is as large as ``supply()`` says, of integers that are indices into the labels."""
        for batch in self._draw(plugin, labels)[0]:
            # A masked array is an array, too, but one that hides some of its numbers.
            assert type(batch) is np.ndarray, f"a batch is a {type(batch).__name__}, not a NumPy array"
            assert batch.shape == (plugin.supply().size,), f"a batch has shape {batch.shape}"
            assert np.issubdtype(batch.dtype, np.integer), f"a batch is {batch.dtype}"
            assert batch.min() >= 0, f"{batch.min()} is no index"
            assert batch.max() < len(labels), f"{batch.max()} is no index of {len(labels)} images"
            assert batch.flags.writeable, "a batch is read-only; give each as an array of its own"

    def test_gives_each_batch_as_an_array_of_its_own(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Keep the first batches while later ones are drawn: they must not change."""
        kept = [(batch, np.array(batch)) for batch in islice(plugin.build(labels, 0), 20)]
        assert all(np.array_equal(batch, copy) for batch, copy in kept), "a batch changes when the next one is drawn"

    def test_leaves_the_labels_alone(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Compare the labels before and after: all trials share them."""
        given = np.array(labels)
        list(islice(plugin.build(given, 0), 20))
        assert np.array_equal(given, labels), "it changes the labels that it is given"

    def test_leaves_the_process_as_it_was(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Draw some batches: settings of NumPy and of Python must stay as they are; random numbers have a check."""
        assert_process_stays(lambda: list(islice(plugin.build(labels, 0), 20)), but=RANDOM)

    def test_never_ends(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Draw more batches than an epoch has."""
        drawn, wanted = self._draw(plugin, labels)
        assert len(drawn) == wanted, f"it ends after {len(drawn)} batches"

    def test_keeps_what_it_promises(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Compare every batch with ``supply()``: identities, different images of one identity, halves."""
        supply = plugin.supply()
        assert isinstance(supply, BatchSupply), f"supply() gives {supply!r}"
        for batch in self._draw(plugin, labels)[0]:
            people_of_rows = np.asarray(labels)[batch]
            people = len(np.unique(people_of_rows))
            assert people >= supply.classes, f"{people} identities instead of {supply.classes}"
            most = int(np.unique(np.asarray(labels)[np.unique(batch)], return_counts=True)[1].max())
            assert most >= supply.images_per_class, f"{most} images of an identity, not {supply.images_per_class}"
            half = len(people_of_rows) // 2
            similar = people_of_rows[:half] == people_of_rows[half : 2 * half]
            if supply.halves == "similar":
                assert similar.all(), "rows i and i + B/2 show different identities"
            if supply.halves == "mixed":
                assert similar.any(), "no rows i and i + B/2 show the same identity"
                assert not similar.all(), "all rows i and i + B/2 show the same identity"

    def test_the_seed_alone_decides(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Draw by turns from two samplers of one seed: the same batches, whatever else draws random numbers."""
        with random_state_kept():
            first, second = plugin.build(labels, 1), plugin.build(labels, 1)
            for here, there in islice(zip(first, second, strict=False), 20):
                assert np.array_equal(here, there), "two samplers of one seed draw different batches"
                random.random()  # noqa: S311 - what others may draw meanwhile
                np.random.random()  # noqa: NPY002

    def test_another_seed_draws_other_batches(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Compare the batches of two seeds."""
        (one, _), (other, _) = self._draw(plugin, labels, 1), self._draw(plugin, labels, 2)
        same = all(np.array_equal(here, there) for here, there in zip(one, other, strict=False))
        assert not same, "two seeds draw the same batches"

    def test_leaves_global_random_numbers_alone(self, plugin: SamplerPlugin, labels: IntArray) -> None:
        """Check that drawing does not move the global random state of Python and of NumPy."""
        with random_state_kept():
            before = random_state()
            list(islice(plugin.build(labels, 0), 20))
            moved = [name for name, state in random_state().items() if state != before[name]]
        assert not moved, f"it moves the global state of {' and of '.join(moved)}"
