"""What it would take, against power by simulation and SciPy, and a search through every number of trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from faceexp.statistics.effort import MOST_TRIALS, Seen

SEEN = Seen(spread=0.03, trials=5, degrees=4, ratio=0.25, alpha=0.05 / 10)


def naive_detectable(seen, trials):
    """The same question asked of SciPy's noncentral t distribution, at the corrected level."""
    degrees = seen.degrees * (trials - 1) / (seen.trials - 1)
    critical = stats.t.ppf(1 - seen.alpha / 2, degrees)

    def lacking(size):
        return stats.nct.sf(critical, degrees, size) - 0.8  # the other side is hardly ever reached

    return optimize.brentq(lacking, 0.1, 3 * critical) * seen.spread * np.sqrt(1 / trials + seen.ratio)


@pytest.mark.parametrize("trials", [5, 10, 30])
@pytest.mark.parametrize("seen", [SEEN, replace(SEEN, degrees=8), replace(SEEN, ratio=0.0), replace(SEEN, alpha=0.05)])
def test_the_detectable_difference_is_that_of_scipy(seen, trials):
    assert seen.detectable(trials) == pytest.approx(naive_detectable(seen, trials), rel=1e-4)


def test_the_detectable_difference_is_found_in_80_percent_of_made_studies():
    """Trials share people: the variance of a mean is ``s^2 (1/n + r)``, which Nadeau and Bengio estimate."""
    rng = np.random.default_rng(0)
    n, ratio, spread, claims, studies = 6, 0.25, 0.03, 4, 4000
    difference = Seen(spread, n, n - 1, ratio, 0.05 / claims).detectable(n)
    shared = rng.normal(0, spread * np.sqrt(ratio), (studies, 1))
    values = difference + shared + rng.normal(0, spread, (studies, n))
    t = values.mean(axis=1) / (values.std(axis=1, ddof=1) * np.sqrt(1 / n + ratio))
    found = np.mean(t > stats.t.ppf(1 - 0.05 / claims / 2, n - 1))
    assert found == pytest.approx(0.8, abs=0.02)


def test_the_number_of_trials_is_the_first_that_finds_the_difference():
    for seen, difference in ((SEEN, 0.07), (SEEN, 0.1), (replace(SEEN, ratio=0.0, alpha=0.05 / 3), 0.02)):
        naive = next(number for number in range(2, 100) if naive_detectable(seen, number) <= difference)
        assert seen.trials_for(difference) == naive


def test_no_number_of_trials_finds_what_is_below_the_limit_of_the_people():
    assert SEEN.trials_for(SEEN.limit * 0.999) is None
    assert SEEN.trials_for(SEEN.limit * 1.001) <= MOST_TRIALS
    # z-values in place of t: (2.81 + 0.84) s sqrt(r).
    z = stats.norm.ppf(1 - 0.05 / 10 / 2) + stats.norm.ppf(0.8)
    assert SEEN.limit == pytest.approx(z * 0.03 * np.sqrt(0.25), rel=1e-3)
    assert replace(SEEN, ratio=0.0).limit == 0


def test_people_are_needed_by_the_square_of_the_difference():
    now = SEEN.detectable(5)
    assert SEEN.times_people(now) == pytest.approx(1)
    assert SEEN.times_people(now / 2) == pytest.approx(4)
