"""Further seeds of a run, only for the losses that are still in question."""

from __future__ import annotations

import numpy as np

import faceexp
from faceexp.planning.looks import further, trials_a_look


def test_a_look_adds_whole_seeds_and_at_least_five_trials():
    assert {folds: trials_a_look(folds) for folds in (1, 2, 3, 5, 10)} == {1: 5, 2: 6, 3: 6, 5: 5, 10: 10}


def test_only_losses_in_question_get_further_seeds_and_baselines_always_do(planned, tmp_path):
    losses = {"contrastive": faceexp.plugin("loss", "contrastive"), "npairs": faceexp.plugin("loss", "npairs")}
    plan = planned(tmp_path, losses, seeds=(0, 2))
    more = further(plan, ["npairs"])
    assert more.seeds == (1, 3, 4, 5, 6)  # the smallest numbers that no seed of the file has
    assert {trial.seed for trial in more.trials} == set(more.seeds)
    assert {trial.label for trial in more.trials if trial.kind == "loss"} == {"npairs"}
    baselines = {trial.label for trial in plan.trials if trial.kind == "baseline"}
    assert {trial.label for trial in more.trials if trial.kind == "baseline"} == baselines
    assert more.plan.trials == (*plan.trials, *more.trials)
    assert more.plan.splits[: len(plan.splits)] == plan.splits
    assert more.plan.resolved.experiment.seeds == (0, 2, *more.seeds)


def test_a_further_seed_cuts_the_people_as_it_would_in_the_file(planned, tmp_path):
    losses = {"contrastive": faceexp.plugin("loss", "contrastive")}
    more = further(planned(tmp_path, losses, seeds=(0,)), ["contrastive"])
    named = planned(tmp_path, losses, seeds=(0, *more.seeds))
    for ours, theirs in zip(more.plan.splits, named.splits, strict=True):
        assert (ours.seed, ours.fold) == (theirs.seed, theirs.fold)
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))
    assert [trial.id for trial in more.plan.trials] == [trial.id for trial in named.trials]


def test_looks_follow_one_another(planned, tmp_path):
    first = further(planned(tmp_path, {"npairs": faceexp.plugin("loss", "npairs")}, seeds=(0,)), ["npairs"])
    second = further(first.plan, [])
    assert second.seeds == (6, 7, 8, 9, 10)
    assert not second.trials  # this experiment has no baselines
