from functools import cache

import numpy as np
import pytest
from faceexp_loss_cluster import Cluster, choose_facilities
from sklearn.metrics import normalized_mutual_info_score

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestClusterContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return Cluster()


@cache  # the search asks again and again about the same clusters, and scikit-learn checks its input each time
def nmi_of(labels, clusters):
    return float(np.float32(normalized_mutual_info_score(labels, clusters)))


class Naive:
    """The search as the paper and tf.contrib describe it, one candidate after the other."""

    def __init__(self, labels, x, multiplier):
        self.labels, self.multiplier = labels, multiplier
        distances = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
        self.distances = distances.astype(np.float32).astype(np.float64)  # so that sums are exact, and ties are ties

    def assign(self, facilities):
        clusters = np.argmin(self.distances[facilities], axis=0)
        clusters[facilities] = np.arange(len(facilities))
        return clusters

    def nmi(self, facilities):
        return nmi_of(tuple(self.labels.tolist()), tuple(self.assign(facilities).tolist()))

    def cost(self, facilities):
        return self.distances[facilities].min(axis=0).sum()

    def choose(self, *, pam):
        facilities: list[int] = []
        for _ in set(self.labels):
            candidates = [c for c in range(len(self.labels)) if c not in facilities]
            tried = [[*facilities, c] for c in candidates]
            scores = [self.multiplier * (1 - self.nmi(t)) - self.cost(t) for t in tried]
            facilities = tried[int(np.argmax(scores))]
        for _ in range(5 if pam else 0):
            clusters = self.assign(facilities)
            for k in range(len(facilities)):
                members = np.flatnonzero(clusters == k)
                tried = [[*facilities[:k], m, *facilities[k + 1 :]] for m in members.tolist()]
                spread = self.distances[np.ix_(members, members)].sum(axis=0)
                scores = [self.multiplier * (1 - self.nmi(t)) - s for t, s in zip(tried, spread, strict=True)]
                facilities = tried[int(np.argmax(scores))]
        return [int(f) for f in facilities]

    def loss(self, *, pam):
        facilities = self.choose(pam=pam)
        members = [np.flatnonzero(self.labels == label) for label in set(self.labels)]
        truth = sum(self.distances[np.ix_(m, m)].sum(axis=0).min() for m in members)
        return max(self.multiplier * (1 - self.nmi(facilities)) + truth - self.cost(facilities), 0)


def random_batch(seed):
    """A batch with some structure and identities of uneven size; of two sizes, because every size compiles anew."""
    rng = np.random.default_rng(seed)
    size, classes = (13, 30)[seed % 2], int(rng.integers(2, 8))
    labels = rng.integers(0, classes, size)
    centres = rng.normal(size=(classes, 5))
    return labels, (rng.uniform(0, 2) * centres[labels] + rng.normal(size=(size, 5))).astype(np.float32)


def batch_with_ties(seed):
    """A batch on a grid: photos that are in it twice, many equal distances, identities of one to many images."""
    rng = np.random.default_rng(seed)
    size, classes = (16, 30)[seed % 2], 1 + seed // 2  # 16 and one identity: the search takes 8 points at once
    labels = rng.permutation(np.minimum(rng.geometric(0.4, size), classes))
    x = np.round(rng.normal(scale=1.5, size=(size, 2)))
    x[: size // 4] = x[size // 2 : size // 2 + size // 4]
    return labels, x.astype(np.float32)


@cache
def compiled_choice():
    import tensorflow as tf

    return tf.function(choose_facilities, jit_compile=True, reduce_retracing=True, autograph=False)


def chosen(naive, *, pam):
    import tensorflow as tf

    distances, labels = tf.constant(naive.distances, tf.float32), tf.constant(naive.labels, tf.int32)
    rank, nmi = compiled_choice()(distances, labels, tf.constant(naive.multiplier, tf.float32), tf.constant(pam))
    order = np.argsort(rank.numpy(), kind="stable")
    return [int(i) for i in order[: (rank.numpy() < len(labels)).sum()]], float(nmi)


def test_values_and_gradients_of_tf_contrib(oracle_cases, agrees):
    seen = 0
    for case in oracle_cases(source="tf_contrib", loss="cluster_loss", status="ok"):
        params = case["params"]
        if (params["margin_type"], params.get("nmi_average")) != ("nmi", "arithmetic"):
            continue
        plugin = Cluster(margin_multiplier=params["margin_multiplier"], pam=params["enable_pam_finetuning"])
        agrees(plugin.build(CTX), case["y"], case)
        seen += 1
    assert seen > 0


@pytest.mark.parametrize("pam", [False, True])
@pytest.mark.parametrize("multiplier", [1.0, 10.0])
def test_chooses_the_facilities_of_the_naive_search(evaluate, multiplier, pam):
    for seed in range(6):
        labels, x = random_batch(seed)
        naive = Naive(labels, x, multiplier)
        facilities, nmi = chosen(naive, pam=pam)
        assert facilities == naive.choose(pam=pam), seed
        assert nmi == pytest.approx(naive.nmi(facilities), abs=1e-6), seed
        loss = Cluster(margin_multiplier=multiplier, pam=pam).build(CTX)
        assert evaluate(loss, labels, x)[0] == pytest.approx(naive.loss(pam=pam), rel=1e-4, abs=1e-4), seed


@pytest.mark.parametrize("pam", [False, True])
@pytest.mark.parametrize("seed", [*range(12), 34])  # In 34, a point that PAM moves is as near to two facilities.
def test_duplicates_and_ties_are_settled_as_by_the_naive_search(seed, pam):
    labels, x = batch_with_ties(seed)
    naive = Naive(labels, x, multiplier=2.0)
    assert (naive.distances == 0).sum() > len(naive.labels)
    facilities, nmi = chosen(naive, pam=pam)
    assert facilities == naive.choose(pam=pam)
    assert nmi == pytest.approx(naive.nmi(facilities), abs=1e-6)


def test_pairs_as_clusters_tie_and_the_first_wins():
    rng = np.random.default_rng(0)
    naive = Naive(np.repeat(np.arange(6), 2), np.repeat(rng.normal(size=(6, 3)), 2, axis=0), 1.0)
    naive.distances += 0.01 * (naive.distances == 0) * (1 - np.eye(12))  # both of a pair serve it equally well
    assert chosen(naive, pam=True)[0] == naive.choose(pam=True)


def test_pam_finds_better_facilities_than_greed_alone(evaluate):
    gains = []
    for seed in range(6):
        labels, x = random_batch(seed)
        with_pam, without = (evaluate(Cluster(pam=pam).build(CTX), labels, x)[0] for pam in (True, False))
        gains.append(with_pam - without)
    assert np.mean(gains) > 0


def test_gradient_is_that_of_the_value(evaluate):
    labels, x = random_batch(3)
    loss = Cluster().build(CTX)
    value, gradient = evaluate(loss, labels, x)
    assert value > 0
    direction = np.random.default_rng(1).normal(size=x.shape)
    direction /= np.linalg.norm(direction)
    step = 1e-3
    ahead, behind = (evaluate(loss, labels, x + sign * step * direction)[0] for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=0.02, abs=0.01)


def test_a_perfect_clustering_costs_nothing(evaluate):
    labels = np.repeat(np.arange(4), 3)
    x = 100 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(12, 4))
    value, gradient = evaluate(Cluster().build(CTX), labels, x)
    assert value == pytest.approx(0, abs=1e-3)
    assert np.abs(gradient).max() == 0


def test_defaults():
    assert Cluster() == Cluster(margin_multiplier=1.0, pam=True, normalize=False)
