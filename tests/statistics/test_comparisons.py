"""Intervals and comparisons against SciPy, statsmodels, simulation and brute force."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from faceexp.data.splits import splits
from faceexp.evaluation.checkpoints import validation_auc
from faceexp.experiment.protocol import Protocol
from faceexp.statistics.comparisons import Comparison, Summary, compare, summarise

UP = {"auc": True}


@dataclass(frozen=True)
class Trial:
    label: str
    seed: int
    metrics: dict[str, float | None] = field(default_factory=dict)
    fold: int = 0
    status: str = "ok"
    kind: str = "loss"


def trials(metric="auc", **values):
    """Return one trial per value; the position is the seed."""
    return [Trial(label, seed, {metric: value}) for label, row in values.items() for seed, value in enumerate(row)]


def noisy(seed=0, n=6, **shifts):
    rng = np.random.default_rng(seed)
    common = rng.normal(scale=0.5, size=n)
    return {label: list(common + shift + rng.normal(scale=0.1, size=n)) for label, shift in shifts.items()}


def test_interval_is_scipys():
    values = noisy(x=0.0)
    (summary,) = summarise(trials(**values), UP)
    expected = stats.t.interval(0.95, 5, loc=np.mean(values["x"]), scale=stats.sem(values["x"]))
    assert summary.ci95 == pytest.approx(expected)
    assert (summary.label, summary.kind, summary.metric, summary.n, summary.group) == ("x", "loss", "auc", 6, "a")
    assert summary.mean == pytest.approx(np.mean(values["x"]))


def test_interval_with_the_corrected_variance():
    values = noisy(x=0.0)
    (summary,) = summarise(trials(**values), UP, test_train_ratio=0.25)
    half = stats.t.ppf(0.975, 5) * np.std(values["x"], ddof=1) * np.sqrt(1 / 6 + 0.25)
    assert summary.ci95 == pytest.approx((summary.mean - half, summary.mean + half))


def test_comparisons_are_scipys_and_statsmodels():
    values = noisy(x=0.0, y=0.05, z=0.3)
    found = compare(trials(**values), UP)
    tests = [stats.ttest_rel(values[c.a], values[c.b]) for c in found]
    assert [(c.a, c.b) for c in found] == [("x", "y"), ("x", "z"), ("y", "z")]
    expected = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert [c.p_corrected for c in found] == pytest.approx(expected)
    for comparison, test in zip(found, tests, strict=True):
        interval = test.confidence_interval()
        assert comparison.ci95 == pytest.approx((interval.low, interval.high))
        assert comparison.difference == pytest.approx(np.mean(values[comparison.a]) - np.mean(values[comparison.b]))
        spread = np.std(np.subtract(values[comparison.a], values[comparison.b]), ddof=1)
        assert comparison.effect_size == pytest.approx(comparison.difference / spread)
        power = TTestPower().power(comparison.minimum_detectable_difference / spread, nobs=6, alpha=0.05)
        assert power == pytest.approx(0.8, abs=1e-4)
    assert [c.verdict for c in found] == ["indistinguishable", "b>a", "b>a"]


def test_detectable_difference_by_simulation():
    rng = np.random.default_rng(0)
    found = compare(trials(**noisy(n=5, x=0.0, y=0.0)), UP)[0]
    spread = (found.ci95[1] - found.ci95[0]) / 2 / stats.t.ppf(0.975, 4) * np.sqrt(5)
    samples = rng.normal(found.minimum_detectable_difference, spread, size=(4000, 5))
    assert np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_corrected_comparison_scales_the_standard_error():
    values = noisy(x=0.0, y=0.1)
    plain = compare(trials(**values), UP)[0]
    corrected = compare(trials(**values), UP, test_train_ratio=0.5)[0]
    factor = math.sqrt(1 / 6 + 0.5) / math.sqrt(1 / 6)
    widths = [c.ci95[1] - c.ci95[0] for c in (plain, corrected)]
    assert widths[1] / widths[0] == pytest.approx(factor)
    assert corrected.minimum_detectable_difference == pytest.approx(factor * plain.minimum_detectable_difference)
    t = stats.ttest_rel(values["x"], values["y"]).statistic / factor
    assert corrected.p_corrected == pytest.approx(2 * stats.t.sf(abs(t), 5))


def test_verdict_follows_the_direction_of_the_metric():
    values = noisy(low=0.0, high=1.0)
    for higher, verdict, groups in [(True, "b>a", ["b", "a"]), (False, "a>b", ["a", "b"])]:
        assert [c.verdict for c in compare(trials(**values), {"auc": higher})] == [verdict]
        assert [s.group for s in summarise(trials(**values), {"auc": higher})] == groups


def test_only_common_ok_trials_with_a_number_are_compared():
    values = noisy(x=0.0, y=1.0)
    results = trials(**values)
    results[1] = Trial("x", 1, {"auc": 99.0}, status="diverged")
    results[8] = Trial("y", 2, {"auc": None})
    results[9] = Trial("y", 3, {"auc": math.nan})
    results[10] = Trial("y", 4, {})
    kept = [0, 5]
    (found,) = compare(results, UP)
    assert found.difference == pytest.approx(np.mean(np.subtract(values["x"], values["y"])[kept]))
    assert [summary.n for summary in summarise(results, UP)] == [5, 3]


def test_folds_are_trials_too():
    results = [
        Trial(label, seed, {"auc": seed + fold / 10}, fold) for label in "xy" for seed in (0, 1) for fold in (0, 1)
    ]
    assert [summary.n for summary in summarise(results, UP)] == [4, 4]
    with pytest.raises(ValueError, match="two results of 'x' for seed 0, fold 1"):
        summarise([*results, Trial("x", 0, {}, 1)], UP)
    with pytest.raises(ValueError, match="test_train_ratio"):
        compare(results, UP, test_train_ratio=-1)


def test_a_label_without_results_stays_visible():
    results = [Trial("lost", 0, status="failed", kind="baseline"), *trials(x=[0.5])]
    assert summarise(results, UP)[1] == Summary("x", "loss", "auc", 0.5, None, 1, 0.5, "a")
    lost = summarise(results, UP)[0]
    assert (lost.label, lost.kind, lost.ci95, lost.n, lost.group) == ("lost", "baseline", None, 0, "")
    assert math.isnan(lost.mean)
    (found,) = compare(results, UP)
    assert math.isnan(found.difference)
    assert (found.ci95, found.p_corrected, found.verdict) == (None, None, "indistinguishable")
    assert found.minimum_detectable_difference is None


def test_a_label_that_lacks_trials_is_ranked_by_what_all_have_in_common():
    """Seed 0 is easy: a loss that has this seed alone looks better than it is."""
    rows = {"lucky": {(0, 0): 0.96}, "good": {(0, 0): 0.99, (1, 0): 0.90}, "fair": {(0, 0): 0.97, (1, 0): 0.88}}
    results = [Trial(label, seed, {"auc": value}) for label, row in rows.items() for (seed, _), value in row.items()]
    summaries = {summary.label: summary for summary in summarise(results, UP)}
    assert summaries["lucky"].mean == 0.96
    # The two complete losses are 0.045 worse over both seeds than in the one that it has.
    assert summaries["lucky"].comparable == pytest.approx(0.96 - 0.045)
    assert summaries["good"].comparable == summaries["good"].mean == pytest.approx(0.945)


def test_one_common_trial_is_no_test():
    assert compare(trials(x=[0.5], y=[0.25]), UP) == [
        Comparison("auc", "x", "y", 0.25, None, None, "indistinguishable", None, None)
    ]


def test_differences_without_spread():
    found = compare(trials(x=[0.1, 0.2, 0.3], same=[0.1, 0.2, 0.3], shifted=[0.2, 0.3, 0.4]), UP)
    assert [(c.p_corrected, c.verdict, c.ci95, c.minimum_detectable_difference) for c in found] == [
        (p, "indistinguishable", None, None) for p in (1.0, None, None)
    ]
    assert [c.difference for c in found] == pytest.approx([0, -0.1, -0.1])


def test_metrics_are_corrected_each_for_itself():
    values = noisy(x=0.0, y=0.1, z=0.2)
    both = [Trial(t.label, t.seed, {"auc": t.metrics["auc"], "eer": -t.metrics["auc"]}) for t in trials(**values)]
    found = compare(both, {"auc": True, "eer": False})
    assert [c.metric for c in found] == ["auc"] * 3 + ["eer"] * 3
    assert [c.verdict for c in found[:3]] == [c.verdict for c in found[3:]]
    assert [c.p_corrected for c in found[:3]] == pytest.approx([c.p_corrected for c in compare(trials(**values), UP)])


def test_nothing_to_summarise():
    assert summarise([], UP) == []
    assert compare([], UP) == []


def largest_share(studies):
    """The share of false claims that a rule of 5 % passes in 99 cases of 100, and one of 12 % in four at most."""
    return stats.binom.ppf(0.99, studies, 0.05) / studies


def test_without_a_difference_hardly_any_family_rejects():
    repetitions = 400
    rejected = 0
    for seed in range(repetitions):
        found = compare(trials(**noisy(seed, n=5, w=0.0, x=0.0, y=0.0, z=0.0)), UP)
        rejected += any(c.verdict != "indistinguishable" for c in found)
    assert rejected / repetitions <= largest_share(repetitions)


def test_overlapping_training_sets_need_the_corrected_variance():
    """Random splits of one small sample: the plain test claims too much, the corrected one does not."""
    rng = np.random.default_rng(0)
    plain = corrected = 0
    repetitions = 300
    for _ in range(repetitions):
        sample = rng.normal(size=60)  # differences of two equal losses, one per test item
        splits = [rng.permutation(60)[:20] for _ in range(10)]
        results = trials(x=[sample[split].mean() for split in splits], y=[0.0] * 10)
        plain += compare(results, UP)[0].verdict != "indistinguishable"
        corrected += compare(results, UP, test_train_ratio=20 / 40)[0].verdict != "indistinguishable"
    assert corrected / repetitions <= largest_share(repetitions)
    assert plain / repetitions > 0.2


# Do intervals and verdicts keep their promises? Simulations in which the truth is known.


def coverage(draw, truth, repetitions, test_train_ratio=0.0):
    """Return how often the interval of a mean covers the truth; ``draw`` gives the values of one study."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(repetitions):
        interval = summarise(trials(x=draw(rng)), UP, test_train_ratio)[0].ci95
        assert interval is not None
        low, high = interval
        covered += low <= truth <= high
    return covered / repetitions


def tolerance(rate, repetitions):
    return 3 * math.sqrt(rate * (1 - rate) / repetitions)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(0.9, 0.02, size=5),
        # Accuracies near 0.9 as means over a few hundred pairs are: bounded, a little skewed, with a spread of 0.02.
        lambda rng: rng.beta(180, 20, size=5),
    ],
    ids=["normal", "beta"],
)
def test_interval_covers_the_true_mean_of_independent_trials_in_95_percent(draw):
    assert coverage(draw, 0.9, repetitions := 2000) == pytest.approx(0.95, abs=tolerance(0.95, repetitions))


def test_interval_covers_a_little_less_where_the_metric_is_very_skewed():
    # A spread of 0.065 this near to 1, as of tiny test parts: five trials are too few for Student's t to keep its 95 %.
    assert 0.90 < coverage(lambda rng: rng.beta(18, 2, size=5), 0.9, 2000) < 0.945
    assert coverage(lambda rng: rng.beta(18, 2, size=30), 0.9, 2000) > 0.935


@pytest.mark.parametrize("scores", [lambda rng: rng.normal(0.9, 0.1, size=60), lambda rng: rng.beta(9, 1, size=60)])
def test_corrected_interval_covers_the_true_mean_over_overlapping_splits(scores):
    def draw(rng):
        sample = scores(rng)  # one per test item; each trial tests on a third of the same sixty
        return [sample[rng.permutation(60)[:20]].mean() for _ in range(10)]

    repetitions = 700
    assert coverage(draw, 0.9, repetitions, test_train_ratio=20 / 40) >= 0.95 - tolerance(0.95, repetitions)
    assert coverage(draw, 0.9, repetitions) < 0.7  # what the correction is for


def equal_losses(rng, seeds, folds, people=20, images=4, dim=8):
    """Return trials of four losses that are equally good, and test images for each that is not tested.

    Embeddings are the person's centre, the image's own deviation from it, and as much noise of every loss, which stays
    from trial to trial: what a loss does not see in a face it never sees. So trials that test on the same people agree.
    """
    labels = np.repeat(np.arange(people, dtype=np.int32), images)
    faces = rng.normal(size=(people, dim))[labels] + 0.8 * rng.normal(size=(len(labels), dim))
    embedded = {label: faces + 0.6 * rng.normal(size=faces.shape) for label in "wxyz"}
    cut = [
        (seed, split)
        for seed in range(seeds)
        for split in splits(labels, Protocol(kind="open_set", folds=folds), int(rng.integers(2**31)))
    ]
    results = [
        Trial(label, seed, {"auc": validation_auc(rows[split.test], labels[split.test], "euclidean")}, split.fold)
        for seed, split in cut
        for label, rows in embedded.items()
    ]
    rest = [len(split.train) + len(split.validation) for _, split in cut]
    return results, float(np.mean([len(split.test) / others for (_, split), others in zip(cut, rest, strict=True)]))


@pytest.mark.parametrize(("seeds", "folds", "repetitions"), [(10, 1, 250), (3, 5, 250)])
def test_equal_losses_are_hardly_ever_told_apart(seeds, folds, repetitions):
    """At most 5 % of whole families of comparisons claim a difference that is not there."""
    rng = np.random.default_rng(0)
    corrected = plain = 0
    for _ in range(repetitions):
        results, ratio = equal_losses(rng, seeds, folds)
        corrected += any(c.verdict != "indistinguishable" for c in compare(results, UP, ratio))
        plain += any(c.verdict != "indistinguishable" for c in compare(results, UP))
    assert ratio == pytest.approx(1 / 4)
    assert corrected / repetitions <= largest_share(repetitions)
    assert plain / repetitions > 0.15  # trials are not independent, and the test would notice a missing correction
