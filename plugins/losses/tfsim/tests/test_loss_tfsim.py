"""Losses of tensorflow-similarity: the library's values, on the engine's terms."""

import subprocess
import sys

import numpy as np
import pytest
from faceexp_loss_tfsim import (
    TfsimCircle,
    TfsimLoss,
    TfsimMultiSimilarity,
    TfsimPN,
    TfsimSoftNearestNeighbor,
    TfsimTriplet,
)

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)
LOSSES: list[type[TfsimLoss]] = [TfsimCircle, TfsimMultiSimilarity, TfsimPN, TfsimSoftNearestNeighbor, TfsimTriplet]


class TestCircleContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return TfsimCircle()


class TestMultiSimilarityContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return TfsimMultiSimilarity()


class TestPNContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return TfsimPN()


class TestSoftNearestNeighborContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return TfsimSoftNearestNeighbor()


class TestTripletContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return TfsimTriplet()


def means_nothing(loss, batch):
    """The library takes excluded pairs where a batch has no similar (e) or no different ones (d)."""
    return loss in {TfsimPN, TfsimTriplet} and batch in {"d", "e"}


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_gradients_of_the_library(oracle_cases, agrees, evaluate, loss):
    seen = 0
    for case in oracle_cases(source="tf_similarity", loss=loss.library_class, status="ok"):
        options = dict(case["params"])
        built = loss(normalize=options.pop("l2_normalize_first"), **options).build(CTX)
        if means_nothing(loss, case["batch"]):
            value, gradient = evaluate(built, case["y"], case["x"])
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
        else:
            agrees(built, case["y"], case)
            seen += 1
    assert seen > 0


def batch(scale=1.0):
    return np.repeat(np.arange(4), 3), scale * np.random.default_rng(0).normal(size=(12, 5))


@pytest.mark.parametrize(
    "distance", ["cosine", "euclidean", "l2", "squared_euclidean", "sql2", "manhattan", "l1", "snr"]
)
def test_distances_are_those_of_the_library(evaluate, distance):
    import tensorflow as tf
    from tensorflow_similarity.losses import TripletLoss

    labels, x = batch()
    rows = TripletLoss(distance=distance, margin=0.3, reduction="sum_over_batch_size").call(
        tf.constant(labels), tf.constant(x, tf.float32)
    )
    value, _ = evaluate(TfsimTriplet(distance=distance, margin=0.3, normalize=False).build(CTX), labels, x)
    assert value == pytest.approx(np.mean(rows), rel=1e-5)


def test_soft_nearest_neighbours_count_from_the_nearest(evaluate):
    """The library divides zero by zero here: exp(-d) underflows for every pair."""
    labels, x = batch(scale=20.0)
    d = ((x[:, None] - x[None, :]) ** 2).sum(axis=2) / 2.0
    terms = []
    for i in range(12):
        others = np.delete(np.arange(12), i)
        near = np.exp(d[i, others].min() - d[i, others])
        terms.append(-np.log(1e-9 + near[labels[others] == labels[i]].sum() / near.sum()))
    loss = TfsimSoftNearestNeighbor(normalize=False, temperature=2.0).build(CTX)
    value, gradient = evaluate(loss, labels, x)
    assert value == pytest.approx(np.mean(terms), rel=1e-4)
    assert np.abs(gradient).max() > 0


def test_rows_that_the_library_cannot_evaluate_leave_the_others_alone(evaluate):
    """Rows 0, 1 and 2 have a different row so far away that exponentials underflow: the library takes log 0."""
    import tensorflow as tf
    from tensorflow_similarity.losses import MultiSimilarityLoss

    labels = np.array([0, 0, 1, 1, 2, 2])
    x = np.array([[9, 0, 1], [9, 1, 0], [-9, 0, 1], [0, 1, 1], [0, 1, 0.5], [0, 0.5, 1]])
    library = MultiSimilarityLoss(reduction="sum_over_batch_size")
    rows = library.call(tf.constant(labels), tf.constant(x, tf.float32)).numpy()[:, 0]
    assert np.isfinite(rows).tolist() == [False, False, False, True, True, True]

    value, gradient = evaluate(TfsimMultiSimilarity(normalize=False).build(CTX), labels, x)
    assert value == pytest.approx(rows[3:].sum() / 6, rel=1e-5)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient[3:]).max(axis=1) > 0).all()


def test_soft_margin_of_rows_far_apart_is_zero(evaluate):
    """log(1 + exp(v)) of a very negative v: the library gives infinity."""
    labels, x = np.array([0, 0, 1, 1]), np.array([[20.0, 0], [20, 1], [-20, 0], [-20, 1]])
    value, gradient = evaluate(TfsimTriplet(normalize=False).build(CTX), labels, x)
    assert value == 0
    assert (gradient == 0).all()


def test_building_is_silent_and_leaves_random_numbers_alone():
    """Importing the library prints, in C++ too; TensorFlow, which greets before, is the user's own affair."""
    code = """
import random, sys
import numpy as np
import tensorflow as tf
from faceexp_loss_tfsim import TfsimTriplet
from faceexp.contract import LossContext
tf.constant(0)
before, numpy_before = random.getstate(), np.random.get_state()[1].tolist()
sys.stderr.write("[")
TfsimTriplet().build(LossContext(num_classes=4, embedding_dim=4))
sys.stderr.write("]")
assert random.getstate() == before, "random"
assert np.random.get_state()[1].tolist() == numpy_before, "np.random"
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr[-2:]) == (0, "", "[]")


def test_defaults_are_those_of_the_library():
    import inspect

    from tensorflow_similarity import losses

    for loss in LOSSES:
        library = inspect.signature(getattr(losses, loss.library_class)).parameters
        for name, value in loss().model_dump(exclude={"normalize"}).items():
            assert value == library[name].default, f"{loss.library_class} {name}"


@pytest.mark.parametrize("loss", LOSSES)
def test_stays_finite_without_normalisation_too(loss):
    """The cosine of rows that are not normalised is the hardest case for the library's exponentials."""
    plugin, suite = loss(normalize=False, distance="cosine"), LossContract()
    suite.test_finite_on_ordinary_batches(plugin)
    suite.test_finite_on_duplicates(plugin)
    suite.test_finite_on_one_identity(plugin)
    suite.test_finite_on_distinct_identities(plugin)
    suite.test_finite_on_two_rows(plugin)
    suite.test_finite_on_large_embeddings(plugin)
    suite.test_not_a_number_shows(plugin)


@pytest.mark.parametrize("loss", LOSSES)
def test_without_normalisation_the_distance_decides_what_it_is_made_for(loss):
    assert loss(normalize=False, distance="cosine").traits().distance == "cosine"
    assert loss(normalize=False, distance="sql2").traits().distance == "euclidean"
