import pytest
from faceexp_loss_normalized_softmax import NormalizedSoftmax

from faceexp.testing import LossContract


class TestNormalizedSoftmaxContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return NormalizedSoftmax()


def test_values_and_gradients_of_pytorch_metric_learning(agrees_with_pml):
    assert agrees_with_pml(NormalizedSoftmax, "NormalizedSoftmaxLoss") > 0


def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy):
    labels, x, proxies = proxy_batch()
    logits = unit(x) @ unit(proxies).T / 0.3
    loss = with_proxies(NormalizedSoftmax(temperature=0.3), proxies, num_classes=5)
    assert evaluate(loss, labels, x)[0] == pytest.approx(cross_entropy(labels, logits), rel=1e-4)
