"""Who was given more than the others: what each loss had, and the sentence that says where it differs."""

from __future__ import annotations

import pytest

from faceexp.experiment.schema import Finetune, LossEntry, Pretrain
from faceexp.results.budgets import BUDGET_KINDS, budgets_of, unequal_budgets, unequal_training
from faceexp.results.record import BudgetRecord, LossBudgetRecord
from faceexp.results.schema import TrialRecord


def result(label, loss="contrastive", kind="loss", seed=0, status="ok", **budget):
    given = {"pretrain_images": 100, "steps": 10, "images": 640, "trainable_parameters": 1000} | budget
    return TrialRecord(
        id=f"{label}-{seed}",
        loss=loss,
        label=label,
        kind=kind,
        seed=seed,
        fold=0,
        status=status,
        metrics={"accuracy": 0.5},
        threshold=0.0,
        distance="euclidean",
        budget=BudgetRecord(**given),
    )


def unequal(*trials):
    return list(unequal_budgets(list(budgets_of(trials))))


def test_equal_budgets_are_no_news():
    assert unequal(result("a"), result("b", "npairs"), result("raw", kind="baseline", steps=0)) == []
    assert unequal() == []


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"steps": 20}, "steps of phase 2: c 20; the others 10"),
        ({"images": 1280}, "images seen in phase 2: c 1,280; the others 640"),
        ({"pretrain_images": 0}, "images seen in phase 1: c 0; the others 100"),
        ({"trainable_parameters": 2000}, "trainable parameters: c 2,000; the others 1,000"),
    ],
)
def test_a_budget_of_its_own_is_a_warning(budget, words):
    given = result("a", "x"), result("b", "y"), result("c", "z", **budget)
    assert unequal(*given) == [f"unequal budgets, {words}"]


def test_a_few_proxies_are_no_other_budget():
    assert unequal(result("a", "x"), result("b", "y"), result("c", "z", trainable_parameters=1090)) == []
    assert unequal(result("a", "x"), result("b", "y"), result("c", "z", trainable_parameters=1110)) == [
        "unequal budgets, trainable parameters: c 1,110; the others 1,000"
    ]


def test_settings_of_a_loss_are_trials_of_a_search():
    given = [result(f"m={m}", "margin", seed=seed) for m in (1, 2, 3) for seed in (0, 1)]
    others = [result("a", "x"), result("b", "y"), result("c", "z"), result("d", "w")]
    tried = {budget.label: budget.settings_tried for budget in budgets_of([*given, *others])}
    assert tried == {"m=1": 3, "m=2": 3, "m=3": 3, "a": 1, "b": 1, "c": 1, "d": 1}
    assert unequal(*given, *others) == [], "somebody has asked for a grid, so it is no fault"


def test_the_budget_of_a_loss_is_the_mean_over_its_trials_that_ended_well():
    given = [result("a", "x", seed=0, steps=10), result("a", "x", seed=1, steps=20)]
    lost = result("a", "x", seed=2, status="failed", steps=1000)
    (budget,) = budgets_of([*given, lost, result("raw", kind="baseline")])
    assert budget == LossBudgetRecord(
        label="a",
        loss="x",
        pretrain_images=100,
        steps=15,
        images=640,
        trainable_parameters=1000,
        settings_tried=1,
    )


def test_every_kind_of_budget_is_a_key_of_the_results():
    assert {kind.key for kind in BUDGET_KINDS} == set(LossBudgetRecord.model_fields) - {"label", "loss"}


def test_a_single_one_is_said_in_the_singular():
    assert [kind.counted(1) for kind in BUDGET_KINDS] == [
        "1 image seen in phase 1",
        "1 step of phase 2",
        "1 image seen in phase 2",
        "1 trainable parameter",
        "1 setting tried",
    ]
    assert BUDGET_KINDS[1].counted(1200) == "1,200 steps of phase 2"


def entry(label, **finetune):
    settings = {"sampler": {"plugin": "balanced"}, **finetune}
    return LossEntry(
        plugin="x", label=label, options={}, pretrain=Pretrain(), finetune=Finetune.model_validate(settings)
    )


def test_ways_of_training_that_differ_are_told():
    sgd = {"optimizer": {"name": "sgd", "momentum": 0.9}, "schedule": {"kind": "cosine"}}
    losses = [entry("a"), entry("b", **sgd), entry("c", learning_rate=0.1, proxies={"learning_rate": 0.5}), entry("d")]
    assert list(unequal_training(losses)) == [
        "unequal training, optimizer of phase 2: b sgd(momentum=0.9); the others as usual",
        "unequal training, schedule of phase 2: b (kind=cosine); the others as usual",
        "unequal training, proxies of phase 2: c (learning_rate=0.5); the others as usual",
    ]
    # Learning rates belong to a loss, and what all have is no news.
    assert list(unequal_training([entry("a", **sgd), entry("b", learning_rate=0.1, **sgd)])) == []
