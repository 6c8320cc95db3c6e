"""The inputs of phase 2: the same batches, whether they are in memory or read a few at a time."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.engine.inputs import TrainingInputs, resident


def test_large_batches_are_read_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("faceexp.engine.inputs.RESIDENT_BYTES", 1000)
    given = TrainingInputs([np.zeros((20, 5), np.float32)], np.arange(20), seed=0)
    # A batch of ten rows of five numbers of four bytes each takes 200.
    assert [given.batches_per_read(10, wanted) for wanted in (50, 4)] == [5, 4]
    assert given.batches_per_read(1000, 50) == 1
    given.source = "in memory"
    assert given.batches_per_read(10, 50) == 50


@pytest.mark.parametrize("fits", [True, False], ids=["resident", "read"])
def test_rows_come_from_both_views(fits, monkeypatch):
    """Whether inputs are in memory or are read a chunk at a time, batches are the same."""
    monkeypatch.setattr("faceexp.engine.inputs.RESIDENT_BYTES", 2**20 if fits else 0)
    views = [np.arange(40.0).reshape(20, 2), -np.arange(40.0).reshape(20, 2)]
    train = np.arange(5, 20)
    index = np.random.default_rng(0).integers(0, 15, (9, 8))

    def drawn(views, seed=1):
        source = resident(views, train, 17)
        assert (source is not None) == fits
        given = TrainingInputs(views, train, seed, source)
        # Two chunks, the first of which is not full.
        return np.concatenate([chunk_of(given, index[:4]), chunk_of(given, index[4:])])

    def chunk_of(given, part):
        inputs, places = given.read(part, 5)
        assert places.shape == (5, 8)
        return np.asarray(inputs)[places[: len(part)]]

    found, plain = drawn(views), views[0][train[index]]
    np.testing.assert_array_equal(np.abs(found), plain)
    flipped = found[..., 1] < 0
    assert 0.3 < flipped.mean() < 0.7
    np.testing.assert_array_equal(flipped, np.random.default_rng(1).integers(2, size=index.shape) == 1)
    np.testing.assert_array_equal(drawn(views[:1]), plain)
