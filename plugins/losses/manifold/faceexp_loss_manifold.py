"""Manifold loss as a faceexp plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from faceexp.contract import BatchNeeds, Distance, LossContext, LossPlugin, option
from faceexp.layers import proxy_layer
from faceexp.tensors import as_float32, inner_products, masked_logsumexp, unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from faceexp.contract import LossFunction


def inverse(matrix: tf.Tensor) -> tf.Tensor:
    """Inverse of a positive definite matrix, whose gradient takes no second decomposition.

    Args:
        matrix: float32 (N, N), symmetric.
    """
    import tensorflow as tf

    def both(matrix: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        inverted = tf.linalg.cholesky_solve(tf.linalg.cholesky(matrix), tf.eye(tf.shape(matrix)[0]))
        return inverted, lambda upstream: -tf.matmul(inverted, tf.matmul(upstream, inverted))

    result: tf.Tensor = tf.custom_gradient(both)(matrix)
    return result


def closeness(points: tf.Tensor, alpha: float) -> tf.Tensor:
    """How close points are on the manifold that they span: ``F = (1 - alpha) (I - alpha S)^-1``.

    ``F_ij`` is how often a random walk from i passes j. ``S = D^-1/2 C D^-1/2`` with ``C_ij = exp(2 max(cos_ij, 0))``
    for i != j, zeros for its diagonal, and D the sums of C's rows.

    Args:
        points: float32 (N, D), of any length.
        alpha: Chance that a walk makes a further step.

    Returns:
        float32 (N, N), symmetric.
    """
    import tensorflow as tf

    ways = tf.exp(2.0 * tf.nn.relu(inner_products(unit_rows(points))))
    identity = tf.eye(tf.shape(points)[0])
    ways *= 1.0 - identity
    root = tf.math.rsqrt(tf.reduce_sum(ways, axis=1))
    return (1.0 - alpha) * inverse(identity - alpha * root[:, None] * ways * root[None, :])


def shortfall(close: tf.Tensor, own: tf.Tensor, margin: float) -> tf.Tensor:
    """``mean_i log(1 + sum_k exp(c_ik - c_im + margin))`` over proxies k other than the own m that are not farther.

    Args:
        close: c, float32 (B, K): closeness of each row to each proxy.
        own: m, int32 (B,).
        margin: By how much the own proxy should be closer; those with ``c_ik - c_im + margin < 0`` cost nothing.
    """
    import tensorflow as tf

    violations = close - tf.gather(close, own, batch_dims=1)[:, None] + margin
    other = tf.range(tf.shape(close)[1])[None, :] != own[:, None]
    return tf.reduce_mean(tf.math.softplus(masked_logsumexp(violations, other & (violations >= 0))))


def manifold(
    labels: tf.Tensor, embeddings: tf.Tensor, proxies: tf.Tensor, alpha: float, margin: float, weight: float
) -> tf.Tensor:
    """Manifold loss: a proxy of an embedding's own should be closer to it on the manifold than all others.

    ``shortfall(F_ik) + weight shortfall(cos(F_i, F_k))`` with embeddings i, proxies k and the :func:`closeness` F of
    embeddings and proxies together: the intrinsic loss, and the context loss, which compares how close an embedding and
    a proxy are to all points.

    Args:
        labels: int32 (B,); row i belongs to the proxy ``labels[i] mod K``.
        embeddings: float32 (B, D), of any length.
        proxies: float32 (K, D), of any length.
        alpha: See :func:`closeness`.
        margin: See :func:`shortfall`.
        weight: Of the context loss.

    Returns:
        float32 scalar.
    """
    import tensorflow as tf

    embeddings = as_float32(embeddings)
    rows, own = tf.shape(labels)[0], tf.math.floormod(labels, tf.shape(proxies)[0])
    # The decomposition raises for what is not a number, which should rather show in the value.
    finite = tf.reduce_all(tf.math.is_finite(embeddings))
    close = closeness(tf.concat([tf.where(finite, embeddings, 0.0), proxies], axis=0), alpha)
    context = tf.matmul(unit_rows(close[:rows]), unit_rows(close[rows:]), transpose_b=True)
    value = shortfall(close[:rows, rows:], own, margin) + weight * shortfall(context, own, margin)
    return tf.where(finite, value, float("nan"))


class Manifold(LossPlugin):
    """Manifold loss: closeness to learned proxies, measured by random walks through the batch instead of a distance.

    Embeddings and proxies are normalised inside. Identity c belongs to proxy c mod K: with as many proxies as
    identities each has one of its own, with fewer they share them, as the paper's meta-classes do. Proxies are trained
    along with the embedding; the paper's search for the hardest ones before each step is left out, as in
    pytorch-metric-learning.
    """

    reference: ClassVar[str] = (
        "N. Aziere, S. Todorovic: Ensemble deep manifold similarity learning using hard proxies. CVPR 2019"
    )
    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[BatchNeeds] = BatchNeeds(classes=2)

    K: int = option(50, "Proxies.", unit="proxies", ge=2, le=1000, search={"low": 8, "high": 128, "log": True})
    context: float = option(1.0, "Weight of the context loss, the paper's lambda.", ge=0)
    alpha: float = option(
        0.8,
        "Chance that a random walk makes a further step.",
        unit="probability",
        gt=0,
        le=0.999,
        search={"low": 0.5, "high": 0.99},
    )
    margin: float = option(
        5e-4, "By how much the own proxy should be closer.", ge=0, search={"low": 1e-5, "high": 1e-2, "log": True}
    )

    def build(self, ctx: LossContext) -> LossFunction:
        """Return a layer with the proxies, ``(labels, embeddings) -> scalar``."""
        options = self.alpha, self.margin, self.context
        return proxy_layer(
            ctx, lambda labels, embeddings, proxies: manifold(labels, embeddings, proxies, *options), proxies=self.K
        )
