import math
from typing import Any

import numpy as np
import pytest
from faceexp_loss_magface import MagFace
from pydantic import ValidationError

from faceexp.contract import LossContext
from faceexp.testing import LossContract


class TestMagFaceContract(LossContract):
    @pytest.fixture
    def plugin(self):
        return MagFace()


@pytest.mark.parametrize("seed", range(3))
def test_formula(proxy_batch, evaluate, with_proxies, unit, cross_entropy, central_differences, seed):
    labels, x, proxies = proxy_batch()
    x = np.random.default_rng(seed).normal(size=x.shape) * 2.5
    kinds = set()

    def naive(rows):
        norms = np.linalg.norm(rows, axis=1)
        theta = np.arccos(unit(rows) @ unit(proxies).T)
        logits, lengths = np.cos(theta), np.clip(norms, 4, 6)
        for i, label in enumerate(labels):
            margin = 0.5 + (lengths[i] - 4) / (6 - 4) * (1.5 - 0.5)
            angle = theta[i, label]
            beyond = angle + margin > np.pi
            logits[i, label] = np.cos(angle) - margin * np.sin(margin) if beyond else np.cos(angle + margin)
            kinds.update(
                {"beyond" if beyond else "within", "short" if norms[i] < 4 else "long" if norms[i] > 6 else "-"}
            )
        return cross_entropy(labels, 7 * logits) + 11 * np.mean(1 / lengths + lengths / 6**2)

    loss = with_proxies(MagFace(l_a=4, u_a=6, l_m=0.5, u_m=1.5, lambda_g=11, scale=7), proxies, num_classes=5)
    value, gradient = evaluate(loss, labels, x)
    assert value == pytest.approx(naive(x), rel=1e-4)
    np.testing.assert_allclose(gradient, central_differences(naive, x), rtol=1e-3, atol=1e-5)
    assert kinds == {"beyond", "within", "short", "long", "-"}


def test_defaults_are_the_papers():
    assert MagFace() == MagFace(l_a=10, u_a=110, l_m=0.45, u_m=0.8, lambda_g=35, scale=64)
    # The paper's bound, under which lengths converge: lambda_g >= s K l_a^2 u_a^2 / (u_a^2 - l_a^2), K the slope of m.
    assert MagFace().lambda_g >= 64 * (0.8 - 0.45) / (110 - 10) * 10**2 * 110**2 / (110**2 - 10**2)


def test_one_variable_of_proxies():
    loss: Any = MagFace().build(LossContext(num_classes=5, embedding_dim=4))
    assert [tuple(variable.shape) for variable in loss.weights] == [(5, 4)]


@pytest.mark.parametrize("options", [{"l_a": 110.0}, {"l_a": 20.0, "u_a": 10.0}, {"u_m": 0.4}])
def test_lower_bounds_lie_below_upper_ones(options):
    with pytest.raises(ValidationError, match="must"):
        MagFace(**options)


def test_margins_and_lengths_reach_their_bounds_together():
    widest = MagFace.from_toml({"l_m": math.pi, "u_m": math.pi, "l_a": 5e-324, "u_a": 1e15})
    assert (widest.l_m, widest.u_m) == (math.pi, math.pi)
    assert MagFace.from_toml({"l_m": 0.0, "u_m": 0.0}).u_m == 0


def test_a_margin_that_crosses_the_other_says_both_values():
    with pytest.raises(ValidationError, match=r"l_m, 3, must not be above u_m, 0.8; set both"):
        MagFace.from_toml({"l_m": 3.0})
