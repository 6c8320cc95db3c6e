"""Eigenfaces of many images."""

from __future__ import annotations

import numpy as np

from faceexp.engine import baselines


def test_many_images_use_the_seeded_solver():
    pixels = np.random.default_rng(0).integers(0, 256, (2001, 2, 2, 1)).astype(np.uint8)
    everyone = np.arange(2001)
    (first,), (again,) = (baselines.eigenfaces(pixels, everyone, everyone[:5]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (5, 4)


def test_eigenfaces_of_very_many_images_are_those_of_a_random_choice(monkeypatch):
    """Transformed in blocks, too; the axes of a choice are close to the axes of all."""
    pixels = np.random.default_rng(0).integers(0, 256, (600, 2, 2, 1)).astype(np.uint8)
    pixels[:, 0] //= 4  # so that axes differ in what they explain
    pixels[:, 0, 0] //= 4
    everyone = np.arange(600)
    whole, _ = baselines.eigenfaces(pixels, everyone, everyone, everyone[:7])
    monkeypatch.setattr(baselines, "PCA_IMAGES", 300)
    monkeypatch.setattr(baselines, "BLOCK", 64)
    some, few = baselines.eigenfaces(pixels, everyone, everyone, everyone[:7])
    np.testing.assert_allclose(some[:7], few, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(some, whole)
    smallest = whole.std(axis=0)[2:]
    np.testing.assert_allclose(some.std(axis=0)[2:], smallest, rtol=0.1)
