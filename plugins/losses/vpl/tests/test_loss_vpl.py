import numpy as np
import pytest
from faceexp_loss_vpl import VPL

from faceexp.testing import LossContract


class TestVPLContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return VPL()


def call(loss, labels, x):
    import tensorflow as tf

    return float(loss(tf.constant(labels, tf.int32), tf.constant(x, tf.float32)))


def naive(labels, x, prototypes):
    """ArcFace with a margin of 0.2 and a scale of 8, one row after the other."""
    unit, unit_prototypes = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, prototypes))
    terms = []
    for row, label in zip(unit, labels, strict=True):
        logits = unit_prototypes @ row
        logits[label] = np.cos(np.arccos(logits[label]) + 0.2)
        terms.append(np.log(np.exp(8 * logits).sum()) - 8 * logits[label])
    return np.mean(terms)


def test_first_it_is_arcface_of_pytorch_metric_learning(oracle_cases, agrees, with_proxies):
    cases = list(oracle_cases(source="pml", loss="ArcFaceLoss", status="ok"))
    assert len(cases) > 0
    for case in cases:
        options = {option: value for option, value in case["params"].items() if option != "num_classes"}
        options["margin"] = np.radians(options.get("margin", 28.6))
        agrees(with_proxies(VPL(**options), case["proxies"], case["num_classes"]), case["y"], case)


def test_values_and_gradients_over_several_batches(proxy_batch, evaluate, with_proxies, unit, central_differences):
    """Each batch is compared with a loop that remembers what it has seen of every identity, and when."""
    _, _, proxies = proxy_batch()
    loss = with_proxies(VPL(margin=0.2, scale=8, share=0.3, lifetime=2, start=1), proxies, num_classes=5)
    remembered: dict[int, tuple[int, np.ndarray]] = {}
    rng, fresh = np.random.default_rng(0), []
    for step, people in enumerate([[0, 1], [0, 2], [3, 3], [3, 4], [0, 1]], start=1):
        labels, x = np.repeat(people, 2), 2 * rng.normal(size=(4, 4))
        prototypes = unit(proxies)
        used = [c for c, (seen, _) in remembered.items() if step > 1 and step - seen <= 2]
        for c in used:
            prototypes[c] = 0.7 * prototypes[c] + 0.3 * remembered[c][1]
        fresh.append(sorted(used))
        value, gradient = evaluate(loss, labels, x)
        assert value == pytest.approx(naive(labels, x, prototypes), rel=1e-5)
        expected = central_differences(lambda x, y=labels, p=prototypes: naive(y, x, p), x)
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
        for c in set(people):
            mean = unit(x)[labels == c].mean(axis=0)
            remembered[c] = step, mean / np.linalg.norm(mean)
    assert fresh == [[], [0, 1], [0, 1, 2], [0, 2, 3], [3, 4]]  # The first is forgotten after two more batches.


def test_a_share_of_zero_remembers_nothing(proxy_batch, with_proxies):
    labels, x, proxies = proxy_batch()
    loss = with_proxies(VPL(share=0), proxies, num_classes=5)
    assert call(loss, labels, x) == call(loss, labels, x)


def test_defaults():
    assert VPL() == VPL(margin=0.5, scale=64, share=0.15, lifetime=200, start=0)
