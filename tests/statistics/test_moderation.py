"""Moderated variances against limma's formulas, written down once more, and samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, polygamma

from faceexp.statistics.moderation import moderated


def trigamma_inverse(value):
    """Newton's method as Smyth (2004) gives it."""
    y = 0.5 + 1 / value
    for _ in range(100):
        trigamma = polygamma(1, y)
        y += trigamma * (1 - trigamma / value) / polygamma(2, y)
    return float(y)


def fit_f_dist(variances, degrees):
    """``fitFDist`` of limma without a trend: s0^2 and d0."""
    e = np.log(variances) - digamma(degrees / 2) + np.log(degrees / 2)
    excess = np.sum((e - e.mean()) ** 2) / (len(e) - 1) - np.mean(polygamma(1, degrees / 2))
    if excess <= 0:
        return float(np.mean(variances)), np.inf
    half = trigamma_inverse(excess)
    return float(np.exp(e.mean() + digamma(half) - np.log(half))), 2 * half


def squeezed(variances, degrees):
    """``squeezeVar`` of limma, with what is borrowed cut at what each variance knows itself."""
    common, prior = fit_f_dist(variances, degrees)
    borrowed = np.minimum(prior, degrees)
    return (borrowed * common + degrees * variances) / (borrowed + degrees), borrowed + degrees


def sample(rng, number, degrees, prior, scale):
    """Variances as the model draws them: the true one is a scaled inverse chi-squared, the seen one a chi-squared."""
    true = scale * prior / rng.chisquare(prior, number)
    return true * rng.chisquare(degrees, number) / degrees


@pytest.mark.parametrize(
    ("number", "degrees", "prior"), [(5, 4.0, 3.0), (36, 2.0, 1.0), (45, 14.0, 6.0), (8, 4.0, 200.0)]
)
def test_variances_are_those_of_limma_with_the_cap(number, degrees, prior):
    for seed in range(20):
        variances = sample(np.random.default_rng(seed), number, degrees, prior, 0.0004)
        result = moderated(variances, np.full(number, degrees))
        expected, freedom = squeezed(variances, np.full(number, degrees))
        assert result.variances == pytest.approx(expected, rel=1e-5)
        assert result.degrees == pytest.approx(freedom, rel=1e-5)


def test_degrees_of_freedom_may_differ():
    degrees = np.array([4.0, 4.0, 3.0, 2.0, 14.0, 4.0])
    variances = np.array([1.0, 9.0, 0.04, 2.0, 30.0, 4.0])
    expected, freedom = squeezed(variances, degrees)
    result = moderated(variances, degrees)
    assert result.variances == pytest.approx(expected)
    assert result.degrees == pytest.approx(freedom)


@pytest.mark.parametrize(("prior", "degrees"), [(3.0, 8.0), (6.0, 14.0)])
def test_many_variances_show_the_distribution_that_they_are_drawn_from(prior, degrees):
    variances = sample(np.random.default_rng(0), 20_000, degrees, prior, 2.5)
    result = moderated(variances, np.full(20_000, degrees))
    assert result.degrees - degrees == pytest.approx(prior, rel=0.05)
    common = (result.variances * (prior + degrees) - degrees * variances) / prior
    assert np.median(common) == pytest.approx(2.5, rel=0.05)


def test_no_more_is_borrowed_than_a_variance_knows_itself():
    equal = np.random.default_rng(0).chisquare(4, 20) / 4  # one true variance: limma would borrow without end
    result = moderated(equal, np.full(20, 4.0))
    assert result.degrees == pytest.approx(8)
    assert np.ptp(result.variances) < np.ptp(equal)


def test_a_variance_of_zero_becomes_that_of_the_others_and_does_not_change_them():
    """limma counts it as a tiny one, and a difference that is the same in three trials then has a p-value of 1e-9."""
    varying = np.array([1.0, 9.0, 0.3, 2.0])
    alone, result = moderated(varying, np.full(4, 4.0)), moderated(np.array([0.0, *varying, 0.0]), np.full(6, 4.0))
    assert result.variances[1:-1] == pytest.approx(alone.variances)
    assert result.variances[0] == result.variances[-1] == pytest.approx(fit_f_dist(varying, np.full(4, 4.0))[0])
    assert result.degrees[0] == 4


@pytest.mark.parametrize("variances", [[], [3.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
def test_fewer_than_two_variances_say_nothing_of_each_other(variances):
    result = moderated(np.array(variances), np.full(len(variances), 4.0))
    assert result.variances.tolist() == variances
    assert result.degrees.tolist() == [4.0] * len(variances)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 50)), min_size=2, max_size=40))
def test_whatever_the_variances_they_stay_finite_and_keep_their_order(pairs):
    variances, degrees = (np.array(values, float) for values in zip(*pairs, strict=True))
    result = moderated(variances, degrees)
    assert np.isfinite(result.variances).all()
    assert ((result.degrees >= degrees) & (result.degrees <= 2 * degrees)).all()
    for freedom in set(degrees.tolist()):
        alike = (degrees == freedom) & (variances > 0)
        assert (np.diff(result.variances[alike][np.argsort(variances[alike])]) >= -1e-9).all()
