"""Power against statsmodels, brute force and simulation."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from faceexp.report.terminal.power import verdict as verdict_in_words
from faceexp.results.schema import TrialRecord
from faceexp.statistics.comparisons import compare
from faceexp.statistics.power import UnanswerableError, from_counts, from_run
from faceexp.statistics.power.mcnemar import exact_power, pairs_needed
from faceexp.statistics.power.trials import MOST_SEEDS, Design, t_test_power

STUDY = {"balanced L2": 111, "contrastive": 110, "npairs": 114, "cluster": 112}  # right of 134


# Counts of right answers


def test_no_two_losses_of_the_source_study_can_be_told_apart():
    power = from_counts(STUDY, 134)
    assert {pair.verdict for pair in power.pairs} == {"indistinguishable"}
    assert [(pair.a, pair.b) for pair in power.pairs[:2]] == [("npairs", "contrastive"), ("npairs", "balanced L2")]
    assert len(power.pairs) == 6
    assert min(pair.best_case_p for pair in power.pairs) == 0.125 > power.alpha
    assert min(pair.p_corrected for pair in power.pairs) == 1
    assert all(low < 0 < high for low, high in (pair.ci95 for pair in power.pairs))
    # It would have taken many times its 134 pairs, and it could have found only large differences.
    needed = power.pairs[0].pairs_needed
    assert (needed.nested, needed.unrelated) == (264, 2420)
    assert power.detectable.nested > 0.05
    assert power.detectable.unrelated > 0.14


def test_p_values_and_intervals_of_counts_are_statsmodels():
    right = {"x": 90, "y": 80, "z": 97}
    power = from_counts(right, 100)
    tables = [[[right[label], 100 - right[label]] for label in (pair.a, pair.b)] for pair in power.pairs]
    fisher = multipletests([stats.fisher_exact(table).pvalue for table in tables], method="holm")[1]
    assert [pair.p_corrected for pair in power.pairs] == pytest.approx(fisher)
    # Nested errors: of the pairs on which the two differ, all are right of one and wrong of the other.
    nested = [mcnemar([[right[p.b], right[p.a] - right[p.b]], [0, 0]], exact=True).pvalue for p in power.pairs]
    assert [pair.best_case_p for pair in power.pairs] == pytest.approx(nested)
    assert [pair.best_case_p_corrected for pair in power.pairs] == pytest.approx(
        multipletests(nested, method="holm")[1]
    )
    for loss in power.losses:
        assert loss.ci95 == pytest.approx(proportion_confint(loss.right, 100, method="wilson"))
    ends = {loss.label: (loss.accuracy, *loss.ci95) for loss in power.losses}
    for pair in power.pairs:
        (a, a_low, a_high), (b, b_low, b_high) = ends[pair.a], ends[pair.b]
        newcombe = (a - b - math.hypot(a - a_low, b_high - b), a - b + math.hypot(a_high - a, b - b_low))
        assert pair.ci95 == pytest.approx(newcombe)


def test_no_other_answers_with_these_counts_give_a_smaller_p_than_nested_ones():
    (pair,) = from_counts({"a": 30, "b": 24}, 40).pairs
    p_values = [mcnemar([[24 - extra, 6 + extra], [extra, 0]], exact=True).pvalue for extra in range(11)]
    assert pair.best_case_p == min(p_values) == p_values[0]
    assert len(set(p_values)) == 11


@pytest.mark.parametrize(
    ("a", "b", "verdict"), [(30, 25, "indistinguishable"), (30, 24, "undecided"), (38, 24, "distinguishable")]
)
def test_what_counts_can_decide(a, b, verdict):
    (pair,) = from_counts({"a": a, "b": b}, 40).pairs
    assert pair.verdict == verdict
    assert (pair.best_case_p <= 0.05) == (verdict != "indistinguishable")
    assert (pair.p_corrected <= 0.05) == (verdict == "distinguishable")


def test_holm_can_put_a_difference_out_of_reach():
    two = from_counts({"a": 30, "b": 24}, 40)
    many = from_counts({"a": 30, "b": 24, "c": 27, "d": 28}, 40)
    assert (two.pairs[0].best_case_p, two.pairs[0].verdict) == (0.03125, "undecided")
    assert (many.pairs[0].best_case_p, many.pairs[0].verdict) == (0.03125, "indistinguishable")
    assert "corrected for six comparisons, give p = 0.188 for a against b" in verdict_in_words(many)


def test_equal_counts_need_no_number_of_pairs():
    (pair,) = from_counts({"a": 30, "b": 30}, 40).pairs
    assert (pair.difference, pair.best_case_p, pair.verdict) == (0, 1, "indistinguishable")
    assert set(asdict(pair.pairs_needed).values()) == {None}


def rejections(difference, discordance, n, alpha=0.05, repetitions=50_000):
    """Return how often McNemar's test finds a difference: its chi-square form, and the exact one."""
    rng = np.random.default_rng(0)
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    more, fewer, _ = rng.multinomial(n, shares, size=repetitions).T
    chi_square = (more - fewer) ** 2 / np.maximum(more + fewer, 1)
    exact = 2 * stats.binom.cdf(np.minimum(more, fewer), more + fewer, 0.5)
    return np.mean(stats.chi2.sf(chi_square, 1) <= alpha), np.mean(exact <= alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6])
@pytest.mark.parametrize(("accuracy", "difference"), [(0.85, 0.03), (0.9, 0.05), (0.7, 0.02)])
def test_so_many_pairs_of_unrelated_errors_find_the_difference_in_80_percent(accuracy, difference, alpha):
    worse = accuracy - difference
    discordance = accuracy * (1 - worse) + worse * (1 - accuracy)
    n = pairs_needed(difference, discordance, alpha)
    _, exact = rejections(difference, discordance, n, alpha)
    # Where very many answers differ, Connor's formula is used, which is made for the chi-square form of the test.
    assert exact == pytest.approx(0.795, abs=0.015)
    assert rejections(difference, discordance, n // 2, alpha)[1] < 0.6


@pytest.mark.parametrize("difference", [0.03, 0.05, 0.1])
def test_so_many_pairs_of_nested_errors_find_the_difference_in_80_percent(difference):
    # Few answers differ, so that the chi-square form claims too much; the exact one is meant.
    for alpha in (0.05, 0.05 / 6):
        n = pairs_needed(difference, difference, alpha)
        assert rejections(difference, difference, n, alpha)[1] == pytest.approx(0.803, abs=0.007)
        assert rejections(difference, difference, n // 2, alpha)[1] < 0.4


def power_by_definition(pairs, difference, discordance, alpha):
    """Return the power of McNemar's exact test, summed up over all numbers of answers of each kind."""
    more, fewer = (discordance + difference) / 2, (discordance - difference) / 2
    total = 0.0
    for b in range(pairs + 1):
        for c in range(pairs - b + 1):
            if b + c and mcnemar([[0, b], [c, 0]], exact=True).pvalue <= alpha:
                total += stats.multinomial.pmf([b, c, pairs - b - c], pairs, [more, fewer, 1 - discordance])
    return total


@pytest.mark.parametrize(("difference", "discordance"), [(1.0, 1.0), (0.9, 0.9), (0.5, 0.6), (0.6, 0.62)])
def test_few_pairs_are_counted_by_the_exact_test(difference, discordance):
    """Connor's formula, which is made for many pairs, gives 4 for a difference of 100 points; no 4 pairs show it."""
    n = pairs_needed(difference, discordance)
    assert exact_power(n, difference, discordance, 0.05) == pytest.approx(
        power_by_definition(n, difference, discordance, 0.05), abs=1e-9
    )
    assert power_by_definition(n, difference, discordance, 0.05) >= 0.8 - 1e-9
    assert power_by_definition(n - 1, difference, discordance, 0.05) < 0.8


def test_six_answers_of_one_kind_are_the_fewest_that_show_a_difference():
    (pair,) = from_counts({"a": 2, "b": 0}, 2).pairs
    assert asdict(pair.pairs_needed) == dict.fromkeys(asdict(pair.pairs_needed), 6)
    assert mcnemar([[0, 6], [0, 0]], exact=True).pvalue == 2 / 2**6 <= 0.05 < mcnemar([[0, 5], [0, 0]]).pvalue


def test_what_no_answers_can_show_is_not_claimed():
    """Fisher's test takes 5 of 5 and 0 of 5 for two samples; of 5 pairs McNemar's test cannot reject."""
    (pair,) = from_counts({"a": 5, "b": 0}, 5).pairs
    assert pair.p_corrected < 0.01
    assert (pair.best_case_p, pair.verdict) == (0.0625, "indistinguishable")


def test_the_detectable_difference_is_the_one_that_needs_these_pairs():
    power = from_counts(STUDY, 134)
    for case, difference in asdict(power.detectable).items():
        needed = from_counts(STUDY, 134, difference=difference).pairs_needed
        assert getattr(needed, case) == pytest.approx(134, abs=1)


def test_counts_too_few_to_find_any_difference():
    power = from_counts({"a": 2, "b": 1}, 3)
    assert set(asdict(power.detectable).values()) == {None}
    assert set(asdict(from_counts({"a": 0, "b": 0}, 1000).detectable).values()) == {None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 3}, 4), "one count has nothing to be compared with"),
        (({"a": 3, "b": 5}, 4), "b: 5 right of 4 pairs"),
        (({"a": 3, "b": -1}, 4), "b: -1 right of 4 pairs"),
        (({"a": 0, "b": 0}, 0), "a: 0 right of 0 pairs"),
        (({"a": 3, "b": 2}, 4, 0.05, 0.8, 0.0), "the difference must be above 0"),
        (({"a": 3, "b": 2}, 4, 0.05, 0.8, 0.8), "no loss can be 80 points below the best one, at 75.0 %"),
        (({"a": 3, "b": 2}, 4, 0.0), "0 < alpha < power < 1"),
        (({"a": 3, "b": 2}, 4, 0.05, 1.0), "0 < alpha < power < 1"),
        (({"a": 3, "b": 2}, 4, 0.8, 0.8), "0 < alpha < power < 1"),
    ],
)
def test_counts_without_an_answer(arguments, message):
    with pytest.raises(UnanswerableError, match=message):
        from_counts(*arguments)


# The t-test


def test_power_of_a_t_test_is_that_of_statsmodels():
    for n in (2, 5, 15, 100):
        for effect in (0.1, 0.5, 1.0):
            expected = TTestPower().power(effect, nobs=n, alpha=0.05)
            assert t_test_power(n, effect * math.sqrt(n)) == pytest.approx(expected, abs=1e-4)


def test_power_of_a_t_test_by_simulation_at_a_strict_level():
    # Where statsmodels gives nan, or a detectable effect below the critical value.
    samples = np.random.default_rng(0).normal(6 / math.sqrt(5), 1, size=(20_000, 5))
    rejected = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05 / 15)
    assert t_test_power(5, 6, 0.05 / 15) == pytest.approx(rejected, abs=0.01)
    assert 0.2 < rejected < 0.8


def test_power_of_a_t_test_grows_from_alpha_to_1():
    for n in (2, 3, 15, 100_000):
        for alpha in (0.05, 0.05 / 700):
            powers = [t_test_power(n, noncentrality, alpha) for noncentrality in (0, *np.geomspace(0.1, 1e6, 40))]
            assert powers[0] == pytest.approx(alpha, rel=1e-4)
            assert powers[-1] == pytest.approx(1)
            assert (np.diff(powers) >= 0).all()


# Trials of a run


DESIGN = Design(
    test_train_ratio=1 / 3,
    test_share=0.2,
    validation_share=0.25,
    test_people=20,
    test_pairs=5000,
    listed=False,
    most_folds=50,
)


def trials(seeds=3, folds=5, spread=0.02, **means):
    """Return means with noise, trials of one seed and fold alike in part."""
    rng = np.random.default_rng(0)
    cells = [(seed, fold) for seed in range(seeds) for fold in range(folds)]
    common = rng.normal(scale=0.05, size=len(cells))
    return {
        label: dict(zip(cells, map(float, mean + common + rng.normal(scale=spread, size=len(cells))), strict=True))
        for label, mean in means.items()
    }


def asked(table, design=DESIGN, metric="accuracy", higher_is_better=True, **options):
    return from_run(table, design, metric, higher_is_better=higher_is_better, **options)


def spread_of(table, a, b):
    return float(np.std([table[a][cell] - table[b][cell] for cell in table[a]], ddof=1))


def power_by_simulation(difference, spread, n, ratio, alpha=0.05, repetitions=40_000):
    """Return how often the corrected t-test finds a difference where trials are as alike as the correction supposes."""
    rng = np.random.default_rng(0)
    shared = rng.normal(scale=spread * math.sqrt(ratio), size=(repetitions, 1))
    differences = difference + shared + rng.normal(scale=spread, size=(repetitions, n))
    error = differences.std(axis=1, ddof=1) * math.sqrt(1 / n + ratio)
    return np.mean(2 * stats.t.sf(np.abs(differences.mean(axis=1)) / error, n - 1) <= alpha)


def test_the_best_loss_is_compared_with_every_other_row():
    table = trials(good=0.9, better=0.95, pixels=0.97, bad=0.7)
    power = asked(table, losses={"good", "better", "bad"})
    assert (power.metric, power.best, power.comparisons, power.seeds, power.folds) == ("accuracy", "better", 6, 3, 5)
    assert power.mean == pytest.approx(np.mean([*table["better"].values()]))
    assert [row.label for row in power.rows] == ["pixels", "good", "bad"]
    for row in power.rows:
        difference = np.mean([table["better"][cell] - value for cell, value in table[row.label].items()])
        assert row.difference == pytest.approx(difference)
        assert row.asked == pytest.approx(abs(difference))
        assert (row.n, row.single.alpha, row.corrected.alpha) == (15, 0.05, 0.05 / 6)
    assert power.rows[0].difference < 0  # a baseline may be better than every loss
    assert asked(table).best == "pixels"
    lowest = asked(table, higher_is_better=False)
    assert (lowest.best, [row.label for row in lowest.rows]) == ("bad", ["good", "better", "pixels"])
    assert lowest.mean == pytest.approx(np.mean([*table["bad"].values()]))


def test_with_a_reference_every_loss_is_compared_with_it_and_corrected_for_the_losses_alone():
    table = trials(good=0.9, better=0.95, start=0.8, pixels=0.97) | {"dead": {}}
    losses = {"good", "better", "dead"}
    power = asked(table, losses=losses, against="start")
    assert (power.against, power.best, power.comparisons) == ("start", "better", 2)
    assert [row.label for row in power.rows] == ["better", "good", "dead"]
    for row in power.rows[:2]:
        alone = asked({label: table[label] for label in (row.label, "start")}, losses={row.label})
        assert row.single == alone.rows[0].single
        assert row.difference == pytest.approx(
            np.mean([table[row.label][cell] - table["start"][cell] for cell in table["start"]])
        )
        assert row.corrected.alpha == 0.05 / 2
    assert power.rows[2].single is None
    assert asked(table, losses=losses).comparisons == 6


def test_the_detectable_difference_is_that_of_the_comparison():
    table = trials(a=0.9, b=0.88)
    records = [
        TrialRecord(
            id=f"{label}-{seed}-{fold}",
            label=label,
            kind="loss",
            seed=seed,
            fold=fold,
            status="ok",
            metrics={"accuracy": value},
        )
        for label, row in table.items()
        for (seed, fold), value in row.items()
    ]
    (expected,) = compare(records, {"accuracy": True}, test_train_ratio=1 / 3)
    (row,) = asked(table).rows
    assert row.difference == pytest.approx(expected.difference)
    assert row.single.detectable == pytest.approx(expected.minimum_detectable_difference, rel=1e-4)
    assert row.corrected == row.single  # of two rows, there is one comparison


@pytest.mark.parametrize("ratio", [0.0, 1 / 3])
def test_power_of_the_run_by_simulation(ratio):
    table = trials(a=0.9, b=0.88, c=0.85)
    power = asked(table, replace(DESIGN, test_train_ratio=ratio), difference=0.03)
    for row in power.rows:
        spread = spread_of(table, "a", row.label)
        for answer in (row.single, row.corrected):
            simulated = power_by_simulation(0.03, spread, 15, ratio, answer.alpha)
            assert answer.power == pytest.approx(simulated, abs=0.01)
            detected = power_by_simulation(answer.detectable, spread, 15, ratio, answer.alpha)
            assert detected == pytest.approx(0.8, abs=0.01)
    assert power.asked == 0.03
    assert 0.05 < power.rows[0].corrected.power < power.rows[0].single.power < 1


def test_so_many_seeds_find_the_difference_in_80_percent():
    table = trials(seeds=2, folds=2, spread=0.01, a=0.9, b=0.87)
    design = replace(DESIGN, test_train_ratio=0.1)
    (row,) = asked(table, design, difference=0.012).rows
    spread, seeds = spread_of(table, "a", "b"), row.single.seeds
    assert seeds > 2
    assert power_by_simulation(0.012, spread, seeds * 2, 0.1) > 0.79
    assert power_by_simulation(0.012, spread, (seeds - 1) * 2, 0.1) < 0.81


def test_where_no_number_of_seeds_suffices():
    table = trials(a=0.9, b=0.87)
    spread = spread_of(table, "a", "b")
    # With ever more seeds the standard error comes down to s sqrt(r), and the t-test to that of a normal mean.
    floor = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * spread * math.sqrt(1 / 3)
    below, above = (asked(table, difference=floor * factor).rows[0].single for factor in (0.99, 1.05))
    assert below.seeds is None
    assert 3 < above.seeds < MOST_SEEDS
    uncorrected = asked(table, replace(DESIGN, test_train_ratio=0.0), difference=floor * 0.1).rows[0].single
    assert uncorrected.seeds > 20


def test_folds_as_the_model_says():
    table = trials(seeds=3, folds=1, a=0.9, b=0.86)
    for difference in (0.02, 0.05, 0.1):
        (row,) = asked(table, difference=difference).rows
        spread = spread_of(table, "a", "b")
        powers = {}
        for k in range(2, DESIGN.most_folds + 1):
            # Test parts of 1/k of the images rather than of a fifth; the rest is for training and validation.
            error = spread * math.sqrt(k / 5) * math.sqrt(1 / (3 * k) + (1 / k) / (1 - 1 / k))
            powers[k] = TTestPower().power(difference / error / math.sqrt(3 * k), nobs=3 * k, alpha=0.05)
        assert row.single.folds == next((k for k, power in powers.items() if power >= 0.8), None)
    assert row.single.folds is not None
    assert asked(trials(a=0.9, b=0.86), replace(DESIGN, listed=True), difference=0.1).rows[0].single.folds is None


def test_so_many_people_find_the_difference():
    table = trials(a=0.9, b=0.86)
    (row,) = asked(table, difference=0.01).rows
    factor = row.single.test_people / DESIGN.test_people
    assert factor > 2
    # With so many people, the differences of the trials spread by so much less.
    mean = row.difference
    calmer = {
        cell: table["b"][cell] + mean + (a - table["b"][cell] - mean) / math.sqrt(factor)
        for cell, a in table["a"].items()
    }
    (again,) = asked({"a": calmer, "b": table["b"]}, difference=0.01).rows
    assert again.single.power == pytest.approx(0.8, abs=0.01)
    assert again.single.test_people == pytest.approx(DESIGN.test_people, abs=1)
    assert row.single.test_pairs == pytest.approx(DESIGN.test_pairs * factor**2, rel=0.01)
    listed = asked(table, replace(DESIGN, listed=True), difference=0.01).rows[0].single
    assert listed.test_pairs == pytest.approx(DESIGN.test_pairs * listed.test_people / DESIGN.test_people, rel=0.01)


# A list of pairs


LISTED = replace(DESIGN, listed=True)


def folds_and_seeds(rng, seeds, folds, between_folds, training, difference):
    """Return two losses whose difference varies between the folds of a list, and by training within each."""
    of_folds = rng.normal(difference, between_folds, size=folds)
    return {
        "a": {(s, f): 0.5 + of_folds[f] + rng.normal(0, training) for s in range(seeds) for f in range(folds)},
        "b": {(s, f): 0.5 for s in range(seeds) for f in range(folds)},
    }


def test_seeds_that_share_the_pairs_of_a_list_are_averaged_within_its_folds():
    table = trials(seeds=3, folds=5, a=0.9, b=0.88)
    (row,) = asked(table, LISTED, difference=0.02).rows
    means = [np.mean([table["a"][s, f] - table["b"][s, f] for s in range(3)]) for f in range(5)]
    assert row.n == 5
    assert row.difference == pytest.approx(np.mean(means))
    effect = 0.02 / np.std(means, ddof=1)
    assert row.single.power == pytest.approx(TTestPower().power(effect, nobs=5, alpha=0.05), abs=1e-4)
    detected = TTestPower().solve_power(nobs=5, alpha=0.05, power=0.8) * np.std(means, ddof=1)
    assert row.single.detectable == pytest.approx(detected, rel=1e-3)
    # How many images were trained on does not matter, since the folds of a list share no test pairs.
    assert asked(table, replace(LISTED, test_train_ratio=5.0), difference=0.02).rows == (row,)
    assert row.single.folds is None


def test_more_seeds_of_a_list_lower_only_what_training_adds():
    rng = np.random.default_rng(0)
    table = folds_and_seeds(rng, 2, 10, between_folds=0.005, training=0.03, difference=0.02)
    (row,) = asked(table, LISTED, difference=0.01).rows
    differences = np.array([[table["a"][s, f] - 0.5 for s in range(2)] for f in range(10)])
    within = differences.var(axis=1, ddof=1).mean()
    between = differences.mean(axis=1).var(ddof=1) - within / 2

    def power_with(seeds):
        return TTestPower().power(0.01 / math.sqrt(max(0, between) + within / seeds), nobs=10, alpha=0.05)

    assert row.single.seeds > 2
    assert power_with(row.single.seeds) >= 0.8 - 1e-6 > power_with(row.single.seeds - 1)
    # Folds that differ among themselves are not made alike by more seeds.
    unlike = folds_and_seeds(rng, 2, 10, between_folds=0.05, training=0.001, difference=0.02)
    assert asked(unlike, LISTED, difference=0.01).rows[0].single.seeds is None
    alone = folds_and_seeds(rng, 1, 10, between_folds=0.005, training=0.03, difference=0.02)
    assert asked(alone, LISTED, difference=0.01).rows[0].single.seeds is None


# Bounds


def test_no_difference_is_found_that_the_metric_cannot_have():
    table = {"a": {(0, 0): 0.9, (1, 0): 0.8}, "b": {(0, 0): 0.3, (1, 0): 0.6}}
    (row,) = asked(table, largest=1.0).rows
    assert row.single.detectable is None
    assert asked(table).rows[0].single.detectable > 1
    with pytest.raises(UnanswerableError, match="no two values of accuracy differ by as much"):
        asked(table, largest=1.0, difference=1.01)


levels = st.one_of(
    st.sampled_from([1e-300, 5e-324, 1e-9, 0.05, 0.8, 0.9999, 1 - 1e-12, math.nan, math.inf, -1.0]),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
differences = st.one_of(
    st.none(), st.sampled_from([0.0, 5e-324, 1e-300, 1e-9, 1.0, 1e300, math.nan, math.inf]), st.floats(0, 1)
)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(st.integers(-1, 12), st.integers(0, 10**5), st.integers(0, 10**20)).flatmap(
        lambda total: st.tuples(st.lists(st.integers(-1, total + 1), min_size=1, max_size=4), st.just(total))
    ),
    levels,
    levels,
    differences,
)
def test_counts_have_an_answer_or_one_line_whatever_is_asked(counts, alpha, power, difference):
    given_counts, total = counts
    try:
        answer = from_counts({str(i): count for i, count in enumerate(given_counts)}, total, alpha, power, difference)
    except UnanswerableError as error:
        assert len(str(error).splitlines()) == 1
        return
    json.dumps(asdict(answer), allow_nan=False)
    for pair in answer.pairs:
        assert pair.verdict == "indistinguishable" or pair.best_case_p_corrected <= alpha
        needed = pair.pairs_needed
        assert pair.difference == 0 or needed.nested <= needed.unrelated
        # Not fewer pairs than can be significant at all, and not fewer at a stricter level.
        assert pair.difference == 0 or 2 * 0.5**needed.nested <= alpha
        assert pair.difference == 0 or needed.nested <= needed.nested_corrected
    found = answer.detectable
    assert found.nested is None or found.unrelated is None or found.nested <= found.unrelated * (1 + 1e-9)


values = st.one_of(st.floats(0, 1), st.floats(-1e100, 1e100), st.sampled_from([0.5, 0.5 + 1e-12, 1e-300]))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(values, values), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 3.0]),
    levels,
    levels,
    differences,
)
def test_runs_have_an_answer_or_one_line_whatever_is_asked(pairs, listed, ratio, alpha, power, difference):
    cells = [(place % 2, place // 2) for place in range(len(pairs))]
    table = {label: {c: pair[side] for c, pair in zip(cells, pairs, strict=True)} for side, label in enumerate("ab")}
    design = replace(DESIGN, listed=listed, test_train_ratio=ratio)
    try:
        answer = asked(table, design, difference=difference, alpha=alpha, power=power, largest=1.0)
    except UnanswerableError as error:
        assert len(str(error).splitlines()) == 1
        return
    json.dumps(asdict(answer), allow_nan=False)
    (row,) = answer.rows
    assert row.single.detectable is None or 0 < row.single.detectable <= 1


def test_rows_without_an_answer_say_so():
    table = trials(a=0.9, b=0.8)
    table |= {
        "dead": {},
        "copy": dict(table["a"]),
        "once": {(0, 0): 0.5},
        "shifted": {c: v - 0.1 for c, v in table["a"].items()},
    }
    power = asked(table, losses={"a", "b"})
    rows = {row.label: row for row in power.rows}
    assert [label for label, row in rows.items() if row.single is None] == ["copy", "shifted", "once", "dead"]
    assert [(rows[label].n, rows[label].asked) for label in ("copy", "dead")] == [(15, None), (0, None)]
    assert rows["dead"].difference is None
    assert rows["once"].n == 1
    assert power.comparisons == 6  # of a, b, copy and shifted
    json.dumps(asdict(power), allow_nan=False)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (trials(a=0.9), {}, "there is no variance to judge by: a and another row"),
        (trials(seeds=1, folds=1, a=0.9, b=0.8), {}, "run with more seeds or folds"),
        ({"a": {(0, 0): 1.0, (1, 0): 1.0}, "b": {(0, 0): 0.5, (1, 0): 0.5}}, {}, "whose difference in accuracy varies"),
        ({"a": {}, "b": {}}, {}, "no loss has a trial with a value of accuracy"),
        (trials(a=0.9, b=0.8), {"losses": {"c"}}, "no loss has a trial"),
        (trials(a=0.9, b=0.8), {"difference": -1.0}, "the difference must be above 0"),
        (trials(a=0.9, b=0.8), {"alpha": 0.9}, "0 < alpha < power < 1"),
    ],
)
def test_runs_without_an_answer(table, options, message):
    with pytest.raises(UnanswerableError, match=message):
        asked(table, **options)
