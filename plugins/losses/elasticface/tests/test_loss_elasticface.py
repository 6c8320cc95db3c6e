import numpy as np
import pytest
from faceexp_loss_elasticface import ElasticFace, elasticface

from faceexp.testing import LossContract


class TestElasticFaceContract(LossContract):
    @pytest.fixture(params=[{}, {"form": "cos", "plus": True}], ids=str)
    def plugin(self, request):
        return ElasticFace(**request.param)


def test_without_deviation_it_is_arcface_or_cosface_of_pytorch_metric_learning(oracle_cases, agrees, with_proxies):
    seen = set()
    for form, name in (("arc", "ArcFaceLoss"), ("cos", "CosFaceLoss")):
        for case in oracle_cases(source="pml", loss=name, status="ok"):
            options = {option: value for option, value in case["params"].items() if option != "num_classes"}
            margin = options.get("margin", {"arc": 28.6, "cos": 0.35}[form])
            options["margin"] = np.radians(margin) if form == "arc" else margin
            loss = ElasticFace(form=form, sigma=0, **options)
            agrees(with_proxies(loss, case["proxies"], case["num_classes"]), case["y"], case)
            seen.add(form)
    assert seen == {"arc", "cos"}


def naive(labels, x, proxies, margins, form):
    """The loss with given margins, one row after the other."""
    unit, unit_proxies = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, proxies))
    terms = []
    for row, label, margin in zip(unit, labels, margins, strict=True):
        logits = unit_proxies @ row
        logits[label] = np.cos(np.arccos(logits[label]) + margin) if form == "arc" else logits[label] - margin
        terms.append(np.log(np.exp(8 * logits).sum()) - 8 * logits[label])
    return np.mean(terms)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("form", ["arc", "cos"])
def test_value_and_gradient_are_those_of_loops(proxy_batch, evaluate, unit, central_differences, form, plus):
    labels, x, proxies = proxy_batch()
    margins = np.random.default_rng(1).uniform(0, 0.2, 9)
    targets = (unit(x) @ unit(proxies).T)[np.arange(9), labels]
    given = margins
    if plus:
        margins = np.empty(9)
        margins[np.argsort(targets)] = np.sort(given)[::-1]  # The largest margin for the lowest cosine.

    def loss(labels, x):
        return elasticface(labels, x, proxies.astype(np.float32), given.astype(np.float32), form, 8, plus=plus)

    value, gradient = evaluate(loss, labels, x)
    assert value == pytest.approx(naive(labels, x, proxies, margins, form), rel=1e-5)
    expected = central_differences(lambda x: naive(labels, x, proxies, margins, form), x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_margins_are_normally_distributed(with_proxies):
    """Rows on their own proxy, another at a right angle: with a scale of 1 the loss tells the margin's cosine."""
    import tensorflow as tf

    loss = with_proxies(ElasticFace(form="cos", margin=0.6, sigma=0.1, scale=1), np.eye(2), num_classes=2)
    values = [float(loss(tf.constant([0]), tf.constant([[1.0, 0.0]]))) for _ in range(400)]
    margins = 1 + np.log(np.expm1(values))
    assert np.mean(margins) == pytest.approx(0.6, abs=0.03)
    assert np.std(margins) == pytest.approx(0.1, abs=0.02)


def test_defaults():
    assert ElasticFace() == ElasticFace(form="arc", margin=None, sigma=0.05, plus=False, scale=64)
