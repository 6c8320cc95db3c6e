"""A loss that draws random numbers from the seed of the contract passes every check as it is; and defects show in it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer, random_layer
from faceexp.testing import LossContract
from faceexp.testing.trial import Trial


class Elastic(LossPlugin):
    """ArcFace with a margin that is drawn anew for each image, as in ElasticFace.

    ``-log softmax(64 cos(theta + m))``, m normally distributed.
    """

    reference: ClassVar[str] = "Boutros et al.: ElasticFace: Elastic margin loss for deep face recognition. CVPRW 2022"
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=1)

    mean: float = option(0.5, "Mean of the margin.", unit="radians", ge=0, le=1)
    deviation: float = option(0.0125, "Standard deviation of the margin.", unit="radians", ge=0, le=0.1)

    def build(self, ctx: LossContext):
        import tensorflow as tf

        def loss(labels, embeddings, proxies, seed):
            margin = tf.random.stateless_normal(tf.shape(labels), seed, self.mean, self.deviation)
            rows, centers = (tf.math.l2_normalize(each, axis=1, epsilon=1e-12) for each in (embeddings, proxies))
            cosine = tf.clip_by_value(tf.matmul(rows, centers, transpose_b=True), -1 + 1e-6, 1 - 1e-6)
            own = tf.one_hot(labels, tf.shape(cosine)[1])
            turned = cosine * tf.cos(margin)[:, None] - tf.sqrt(1 - cosine**2) * tf.sin(margin)[:, None]
            logits = 64.0 * (own * turned + (1 - own) * cosine)
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(own, logits))

        return proxy_layer(ctx, loss, random=True)


class Blurred(LossPlugin):
    """The squared length of embeddings with noise, which is drawn for each of their numbers."""

    reference: ClassVar[str] = "this test"
    distance: ClassVar[Distance] = "euclidean"

    first_counts: bool = option(default=False, description="Count the first row of a batch twice, which is a defect.")

    def build(self, ctx: LossContext):
        import tensorflow as tf

        def loss(labels, embeddings, seed):
            noise = tf.random.stateless_normal(tf.shape(embeddings), seed, stddev=0.1)
            squared = tf.reduce_sum((embeddings + noise) ** 2, axis=1)
            return tf.reduce_mean(squared) + (squared[0] if self.first_counts else 0.0)

        return random_layer(ctx, loss)


class TestElasticContract(LossContract):
    """Its margins differ from image to image and from call to call."""

    @pytest.fixture
    def plugin(self):
        return Elastic(deviation=0.05)


class TestBlurredContract(LossContract):
    """A loss without weights."""

    @pytest.fixture
    def plugin(self):
        return Blurred()


def test_each_call_draws_other_numbers_and_a_seed_the_same_ones():
    labels, x = np.zeros(4, np.int32), np.ones((4, 8), np.float32)
    calls = []
    for seed in (1, 1, 2):
        loss = Blurred().build(LossContext(4, 8, seed))
        calls.append([float(loss(labels, x)) for _ in range(3)])
    assert calls[0] == calls[1]
    assert len({*calls[0], *calls[2]}) == 6


def test_an_evaluation_of_the_suite_begins_with_the_first_state():
    trial = Trial(Blurred())
    assert trial.draws
    batch = trial.ordinary()
    assert trial(*batch).value == trial(*batch).value != trial(*batch, seed=5).value


def test_the_mean_over_draws_is_that_of_theory():
    """The noise adds the sum of its variances: 8 numbers a row, with a variance of 0.01 each."""
    trial = Trial(Blurred())
    labels, x = trial.ordinary()
    mean, error = trial.mean_outcome(labels, x, "graph")
    assert mean[-1] == pytest.approx(np.mean(np.sum(x**2, axis=1)) + 0.08, abs=4 * error[-1])
    np.testing.assert_allclose(mean[:-1], 2 * x.ravel() / len(x), atol=5 * error[:-1].max())


def test_an_order_that_matters_shows_in_spite_of_the_noise():
    with pytest.raises(AssertionError, match="a permuted batch differs on average over 200 draws"):
        LossContract().test_order_of_rows_does_not_matter(Blurred(first_counts=True))


def test_a_loss_without_random_numbers_has_none():
    class Still(Blurred):
        """The same without noise."""

        def build(self, ctx: LossContext):
            import tensorflow as tf

            return lambda labels, embeddings: tf.reduce_mean(embeddings**2)

    assert not Trial(Still()).draws
