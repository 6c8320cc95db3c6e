"""Conformance suites for plugin authors: subclass one, give it a plugin, and pytest runs every check.

>>> class TestMyLoss(LossContract):
...     @pytest.fixture
...     def plugin(self):
...         return MyLoss(margin=0.5)
"""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.contract import LossContext, LossPlugin


class LossContract:
    """What every loss has to keep; the subclass gives a fixture ``plugin``."""

    @pytest.fixture
    def plugin(self) -> LossPlugin:
        """Return the loss under test."""
        raise NotImplementedError("give your suite a fixture `plugin`")

    def test_finite_on_an_ordinary_batch(self, plugin: LossPlugin) -> None:
        """Check value and gradient on 8 identities with 4 images each."""
        import tensorflow as tf

        labels = np.repeat(np.arange(8), 4).astype(np.int32)
        x = tf.constant(np.random.default_rng(0).normal(size=(32, 16)), tf.float32)
        loss = plugin.build(LossContext(num_classes=8, embedding_dim=16, seed=0))
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(tf.constant(labels), x)
        assert np.isfinite(value.numpy())
        assert np.isfinite(tape.gradient(value, x).numpy()).all()
