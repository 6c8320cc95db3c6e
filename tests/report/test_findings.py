"""What a run found, in words."""

from __future__ import annotations

import numpy as np

from faceexp.report import findings

PHASE_1 = "phase-1 embedding"
SEEDS = range(4)


def test_no_difference_is_said_to_be_none_shown(study, without):
    alike = without(study, PHASE_1, "weak", "dead")
    assert findings.verdict(alike) == "No two of the 2 rows can be told apart in accuracy at 5 %."
    assert findings.among_losses(alike) == "Among the 2 losses alone, without the baselines, no two can be told apart."
    (pair,) = [pair for pair in alike.comparisons if pair.metric == "accuracy"]
    size = f"{pair.minimum_detectable_difference * 100:.1f} points"
    assert findings.sensitivity(alike).count(size) == 2  # of one pair, smallest and median
    assert "no difference was shown, not that there is none" in findings.sensitivity(alike)


def test_the_smallest_detectable_difference_is_that_between_losses(study, accuracies):
    losses = set(accuracies) - {PHASE_1}
    sizes = [
        pair.minimum_detectable_difference * 100
        for pair in study.comparisons
        if pair.metric == "accuracy" and {pair.a, pair.b} <= losses
    ]
    assert f"{min(sizes):.1f} points for the one with the least spread" in findings.sensitivity(study)
    assert f"{np.median(sizes):.1f} points for the median pair" in findings.sensitivity(study)


def test_one_seed_tells_nothing_apart(study, judged):
    single = judged(study, [trial for trial in study.trials if trial.seed == 0])
    assert findings.verdict(single).startswith("Nothing can be told apart in accuracy at 5 %: with one seed and fold")
    assert findings.sensitivity(single) is findings.among_losses(single) is None


def test_rows_without_common_trials_are_not_judged(study, made_trial, judged):
    apart = [made_trial("early", 0, 0.8), made_trial("late", 1, 0.9)]
    text = findings.verdict(judged(study, apart))
    assert (
        text
        == "Nothing can be told apart in accuracy at 5 %: no two rows have two trials in common between which their difference varies."
    )


def test_many_differences_are_counted(study, judged, made_trial):
    # Ten losses, each a twentieth below the one before, and each with a little spread of its own.
    random = np.random.default_rng(3)
    many = [
        made_trial(f"loss {i:02}", seed, 0.9 - i / 20 + e)
        for i in range(10)
        for seed, e in zip(SEEDS, random.normal(0, 0.002, 4), strict=True)
    ]
    crowd = judged(study, many)
    real = sum(pair.verdict != "indistinguishable" for pair in crowd.comparisons if pair.metric == "accuracy")
    assert real > findings.TOLD
    text = findings.verdict(crowd)
    assert text.startswith(f"{real} of the 45 pairs of rows differ in accuracy at 5 %.")
    assert text.endswith("The loss with the best mean, loss 00, is better than 9 losses.")
    wild = [made_trial("wild", seed, value) for seed, value in zip(SEEDS, (0.5, 1.4, 0.6, 1.5), strict=True)]
    text = findings.verdict(judged(study, many + wild))
    assert text.endswith("wild, is better than no other row; it cannot be told apart from 10 losses.")
