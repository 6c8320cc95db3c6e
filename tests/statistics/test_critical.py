"""Critical values against SciPy's integrals, published tables and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from faceexp.statistics.critical import dunnett, range_p_value


@pytest.mark.parametrize(
    ("others", "degrees", "published"),
    # Dunnett (1964), New Tables for Multiple Comparisons with a Control, Biometrics 20, two-sided, 5 %.
    [(2, 5, 3.03), (4, 20, 2.65), (9, 10, 3.24), (9, 20, 2.95), (8, 60, 2.73), (1, 10, 2.23)],
)
def test_dunnetts_value_is_that_of_the_published_table(others, degrees, published):
    assert dunnett(others, degrees, 0.05) == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(("others", "degrees", "alpha"), [(2, 2, 0.05), (3, 1, 0.05), (4, 7.5, 0.01), (9, 28, 0.05)])
def test_dunnetts_value_leaves_alpha_outside_by_scipys_integral(others, degrees, alpha):
    d = np.full(others, dunnett(others, degrees, alpha))
    shape = np.full((others, others), 0.5) + 0.5 * np.eye(others)
    inside = stats.multivariate_t(shape=shape, df=degrees, seed=0).cdf(d, lower_limit=-d)
    assert inside == pytest.approx(1 - alpha, abs=5e-4)


def test_dunnetts_value_for_many_losses_by_simulation():
    rng = np.random.default_rng(0)
    values, spread = rng.normal(size=(20_000, 37)), np.sqrt(rng.chisquare(8, size=20_000) / 8)
    largest = np.abs(values[:, 1:] - values[:, :1]).max(axis=1) / math.sqrt(2) / spread
    assert np.mean(largest > dunnett(36, 8, 0.05)) == pytest.approx(0.05, abs=0.005)


def test_with_very_many_degrees_of_freedom_t_is_normal():
    assert dunnett(4, 1e6, 0.05) == pytest.approx(2.44, abs=0.005)  # the last line of the published table
    assert range_p_value(3.86 / math.sqrt(2), 5, math.inf) == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize(
    ("rows", "degrees", "published"),
    # Studentised range, 5 %: Harter (1960), Tables of Range and Studentized Range.
    [(3, 10, 3.877), (5, 20, 4.232), (10, 20, 5.008), (2, 5, 3.635)],
)
def test_tukeys_p_value_is_that_of_the_published_table(rows, degrees, published):
    assert range_p_value(published / math.sqrt(2), rows, degrees) == pytest.approx(0.05, abs=1e-4)


def test_tukeys_p_value_is_scipys_and_for_two_rows_that_of_a_t_test():
    groups = np.random.default_rng(0).normal([[0], [0.5], [1], [0.2]], size=(4, 6))
    result = stats.tukey_hsd(*groups)
    pooled = math.sqrt(np.mean(np.var(groups, axis=1, ddof=1)))
    means = groups.mean(axis=1)
    largest = (means.max() - means.min()) / pooled / math.sqrt(2 / 6)
    assert range_p_value(largest, 4, 20) == pytest.approx(result.pvalue.min(), rel=1e-6)
    assert range_p_value(2.0, 2, 7) == pytest.approx(2 * stats.t.sf(2.0, 7))
