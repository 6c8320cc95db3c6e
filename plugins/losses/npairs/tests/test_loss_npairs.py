from typing import ClassVar

import numpy as np
import pytest
from faceexp_loss_npairs import NPairs

from faceexp.contract import LossContext
from faceexp.testing import LossContract

CTX = LossContext(num_classes=4, embedding_dim=4)


class TestNPairsContract(LossContract):
    @pytest.fixture(params=[False, True], ids=["as they are", "normalised"])
    def plugin(self, request):
        return NPairs(normalize=request.param)


class TestNPairsOfFirstImagesContract(LossContract):
    skips: ClassVar[dict[str, str]] = {"test_order_of_rows_does_not_matter": "anchors are the first rows of identities"}

    @pytest.fixture
    def plugin(self):
        return NPairs(pairs="first_images", normalize=True)


def batch(seed=0):
    return np.array([0, 1, 2, 2, 0, 1, 2, 2]), np.random.default_rng(seed).normal(size=(8, 4))


def on_pairs(loss, pair_index):
    """The loss of a batch whose anchors and positives are the first and second rows of the pairs."""
    import tensorflow as tf

    rows = np.concatenate([pair_index[:, 0], pair_index[:, 1]])
    return lambda labels, x: loss(tf.gather(labels, rows), tf.gather(x, rows))


def label_sets(labels):
    """Two labels a row, as in the oracle's records: its own, and one it shares with all of the same parity."""
    classes = labels.max() + 1
    return np.eye(classes + 2, dtype=np.int32)[labels] + np.eye(classes + 2, dtype=np.int32)[classes + labels % 2]


@pytest.mark.parametrize("name", ["npairs_loss", "npairs_loss_multilabel"])
def test_values_and_gradients_of_tf_contrib(oracle_cases, agrees, name):
    seen = set()
    for case in oracle_cases(source="tf_contrib", loss=name, status="ok"):
        kind = case["params"].get("labels", "one per row")
        labels = label_sets(case["y"]) if kind == "multi" else case["y"]
        agrees(on_pairs(NPairs(reg_lambda=case["params"]["reg_lambda"]).build(CTX), case["pair_index"]), labels, case)
        seen.add(kind)
    assert seen == ({"one per row"} if name == "npairs_loss" else {"single", "multi"})


def test_values_and_gradients_of_pml(oracle_cases, agrees):
    cases = list(oracle_cases(source="pml", loss="NPairsLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        plain = case["params"].get("distance") == "DotProductSimilarity(normalize_embeddings=False)"
        assert plain or not case["params"]
        loss = NPairs(pairs="first_images", reg_lambda=0, normalize=not plain)
        agrees(loss.build(CTX), case["y"], case)


def test_pairs_of_first_images(evaluate, central_differences):
    labels, x = np.array([3, 0, 1, 0, 3, 0, 2, 3]), batch()[1]
    anchors, positives = [0, 1], [4, 3]  # The first and second rows of identities 3 and 0; 1 and 2 have one.

    def naive(x):
        logits = x[anchors] @ x[positives].T
        cross_entropy = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
        return cross_entropy + 0.1 / 4 * sum(np.mean(np.sum(x[rows] ** 2, axis=1)) for rows in (anchors, positives))

    value, gradient = evaluate(NPairs(pairs="first_images", reg_lambda=0.1).build(CTX), labels, x)
    assert value == pytest.approx(naive(x), rel=1e-5)
    np.testing.assert_allclose(gradient, central_differences(naive, x), rtol=1e-3, atol=1e-6)


def test_only_halves_need_halves():
    assert NPairs().traits().needs.halves == "similar"
    assert NPairs(pairs="first_images").traits().needs.halves is None


def test_positives_of_one_identity_share_the_target(evaluate):
    labels, x = batch()
    logits = x[:4] @ x[4:].T
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]])
    expected = -np.mean(np.sum(targets * log_softmax, axis=1))
    assert evaluate(NPairs(reg_lambda=0.0).build(CTX), labels, x)[0] == pytest.approx(expected, rel=1e-5)


def test_an_anchor_without_positive_contributes_nothing(evaluate):
    labels, x = np.array([0, 9, 0, 8]), batch()[1][:4]
    logits = x[0] @ x[2:].T
    expected = 0.5 * (np.log(np.exp(logits).sum()) - logits[0])
    assert evaluate(NPairs(reg_lambda=0.0).build(CTX), labels, x)[0] == pytest.approx(expected, rel=1e-5)


def test_defaults():
    assert NPairs() == NPairs(reg_lambda=0.002, normalize=False, pairs="halves")


@pytest.mark.parametrize("how", ["graph", "xla", "xla, shape unknown"])
def test_sets_of_labels_run_everywhere(evaluate, how):
    labels, x = batch()
    loss = NPairs().build(CTX)
    value, gradient = evaluate(loss, label_sets(labels), x)
    value_here, gradient_here = evaluate(loss, label_sets(labels), x, how)
    assert value_here == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(gradient_here, gradient, rtol=1e-4, atol=1e-6)


def test_is_made_for_inner_products_whether_it_normalises_or_not():
    assert NPairs().traits().distance == NPairs(normalize=True).traits().distance == "cosine"
