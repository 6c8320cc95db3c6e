"""What a run writes down of its trials, against the embeddings they come from."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from faceexp.data.splits import Split
from faceexp.experiment.schema import Published
from faceexp.results import collect, environment
from faceexp.results import measure as measuring
from faceexp.results.jsonable import to_json, to_jsonable
from faceexp.results.measure import measure
from faceexp.store import Store
from faceexp.values import Budget, TrainedTrial, Trial, TrialResult

RANDOM = np.random.default_rng(0)


def part(*images):
    return np.array(images, dtype=np.int64)


def plan_of(labels, *splits):
    names = tuple(f"person {label}" for label in range(max(labels) + 1))
    return SimpleNamespace(labels=np.array(labels, np.int32), identities=names, splits=splits, images_key="made")


def trained(split, dim=3, seed=0, **rest):
    rows = {
        name: RANDOM.normal(size=(len(getattr(split, name)), dim)).astype(np.float32) for name in ("validation", "test")
    }
    return TrainedTrial(Trial("x", "x", "baseline", seed, 0), split, "ok", embeddings=rows | rest)


def result(label, loss="contrastive", kind="loss", seed=0, **budget):
    given = {"pretrain_images": 100, "steps": 10, "images": 640, "trainable_parameters": 1000} | budget
    return TrialResult(
        f"{label}-{seed}",
        loss,
        label,
        kind,
        seed,
        0,
        "ok",
        None,
        {"accuracy": 0.5},
        0.0,
        "euclidean",
        0,
        {},
        (),
        budget=Budget(**given),
    )


def test_a_metric_that_is_no_number_is_null():
    both, one = part(0, 1, 2, 3), part(4, 5, 6, 7)
    labels = [0, 0, 1, 1, 2, 2, 2, 2]
    split = Split(0, 0, part(), validation=both, test=one)
    found = measure(trained(split), plan_of(labels, split)).result
    assert found.metrics["auc"] is None
    assert found.metrics["precision_at_1"] == 1
    assert math.isfinite(found.threshold)
    split = Split(0, 0, part(), validation=one, test=both)
    text = to_json(to_jsonable(measure(trained(split), plan_of(labels, split)).result))
    assert json.loads(text)["threshold"] is None
    assert json.loads(text)["metrics"]["accuracy"] is None
    assert "NaN" not in text


def test_listed_pairs_alone_are_judged():
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    split = Split(0, 0, part(), part(0, 1, 2, 3), part(4, 5, 6, 7), part([0, 1], [0, 2]), part([0, 1], [1, 3]))
    made = trained(split)
    found = measure(made, plan_of(labels, split))
    rows = made.embeddings["test"].astype(np.float64)
    near, far = (np.linalg.norm(rows[i] - rows[j]) for i, j in split.test_pairs)
    assert found.result.metrics["auc"] == (near < far)
    pairs = [tuple(pair["images"]) for pair in found.evidence["hardest"]]
    assert sorted(pairs) == [(4, 5), (5, 7)]
    assert found.pictures == (4, 5, 7)


def test_test_images_are_identified_among_those_that_are_not_tested():
    labels = [0, 1, 0, 1, 0, 1]
    split = Split(0, 0, train=part(0, 1), validation=part(2, 3), test=part(4, 5))
    rows = {"train": [[0.0], [10.0]], "validation": [[1.0], [30.0]], "test": [[2.0], [4.0]]}
    given = {name: np.array(values, np.float32) for name, values in rows.items()}
    found = measure(trained(split, **given), plan_of(labels, split)).result
    # 2 is nearest to the 1 of its own person; 4 is nearest to that 1, too, and shows the other one.
    assert found.metrics["rank_1"] == 0.5
    assert "rank_1" not in measure(trained(split), plan_of(labels, split)).result.metrics


def test_evidence_names_images_and_people_and_is_drawn_for_the_first_split():
    labels = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    first, second = (Split(seed, 0, part(), part(0, 1, 3, 4), part(6, 7, 8, 9, 10, 11)) for seed in (0, 1))
    plan = plan_of(labels, first, second)
    found = measure(trained(first), plan)
    for pair in found.evidence["hardest"]:
        assert pair["identities"] == [f"person {labels[image]}" for image in pair["images"]]
        assert pair["similar"] == (pair["identities"][0] == pair["identities"][1])
        assert pair["accepted"] == (pair["distance"] <= found.result.threshold)
    assert found.evidence["map"]["identity"] == ["person 2"] * 3 + ["person 3"] * 3
    assert set(found.pictures) <= set(range(6, 12))
    again = measure(trained(second, seed=1), plan)
    assert "map" not in again.evidence
    assert again.pictures == ()


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    """Unless what is measured, or how, is something else."""
    labels = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    first, second = (Split(seed, 0, part(), part(0, 1, 3, 4), part(6, 7, 8, 9, 10, 11)) for seed in (0, 1))
    plan, store = plan_of(labels, first, second), Store(tmp_path)
    made = dataclasses.replace(trained(first), key="a key", reused=("finetune",))
    plainly = measure(made, plan)
    fresh = measure(made, plan, store)
    assert fresh.result.reused == ("finetune",)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "examine", lambda *_: pytest.fail("it was measured again"))
        again = measure(made, plan, store)
    assert again.result.reused == ("finetune", "evaluate")
    assert again.result.seconds["evaluate"] == fresh.result.seconds["evaluate"] > 0
    for found in (fresh, again):
        assert found.result.metrics == plainly.result.metrics
        assert found.result.threshold == plainly.result.threshold
        assert json.loads(to_json(plainly.evidence)) == found.evidence
        assert (found.pictures, found.calibration) == (plainly.pictures, plainly.calibration)

    def count():
        return store.contents()["evaluation"][0]

    assert count() == 1
    measure(dataclasses.replace(made, key="another"), plan, store)
    measure(dataclasses.replace(made, distance="cosine"), plan, store)
    measure(dataclasses.replace(made, split=second, trial=dataclasses.replace(made.trial, seed=1)), plan, store)
    monkeypatch.setattr(measuring, "_code", lambda: "a new metric")
    measure(made, plan, store)
    assert count() == 5
    # What has no key cannot be told from others.
    measure(trained(first), plan, store)
    assert count() == 5


def test_a_failed_trial_has_no_evidence():
    split = Split(0, 0, part(), part(0), part(1))
    found = measure(TrainedTrial(Trial("x", "x", "loss", 0, 0), split, "failed", "why"), plan_of([0, 1], split))
    assert (found.evidence, found.pictures) == (None, ())
    assert (found.result.status, found.result.reason, found.result.metrics) == ("failed", "why", {})


def test_parts_count_people_images_and_pairs():
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 3], np.int32)
    found = collect._parts(Split(7, 1, part(0, 1), part(2, 3, 4), part(5, 6, 7)), labels, "data")
    assert len(found.pop("key")) == 64
    assert found == {
        "seed": 7,
        "fold": 1,
        "train": {"images": 2, "people": 1},
        "validation": {"images": 3, "people": 2, "pairs": 3, "similar": 1},
        "test": {"images": 3, "people": 2, "pairs": 3, "similar": 1},
    }
    listed = collect._parts(
        Split(0, 0, part(0), part(3, 4), part(5, 6, 7), part([0, 1]), part([0, 1], [1, 2])), labels, "data"
    )
    assert listed["validation"] == {"images": 2, "people": 1, "pairs": 1, "similar": 1}
    assert listed["test"] == {"images": 3, "people": 2, "pairs": 2, "similar": 1}


# Equal budgets ----------------------------------------------------------------------------------------------------------


def unequal(*given):
    return list(collect._unequal(list(collect._budgets(given))))


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


def test_settings_of_a_loss_are_trials_of_a_search():
    given = [result(f"m={m}", "margin", seed=seed) for m in (1, 2, 3) for seed in (0, 1)]
    others = [result("a", "x"), result("b", "y"), result("c", "z"), result("d", "w")]
    assert unequal(*given, *others) == ["unequal budgets, settings tried: m=1 3, m=2 3, m=3 3; the others 1"]


def test_published_results_are_judged():
    table = Published.model_validate(
        {"source": "a study", "pairs": 134, "results": [{"label": "x", "right": 111}, {"label": "y", "right": 114}]}
    )
    found = collect._published(table)
    assert (found["source"], found["pairs"]) == ("a study", 134)
    assert [row["right"] for row in found["results"]] == [111, 114]
    assert found["power"]
    json.dumps(found)
    with pytest.raises(ValueError, match="'y': 135 right of 134"):
        Published.model_validate(
            table.model_dump() | {"results": [{"label": "x", "right": 1}, {"label": "y", "right": 135}]}
        )


def test_the_processor_has_a_name_everywhere(monkeypatch):
    assert environment._processor()

    def refuse(*_, **__):
        raise OSError

    monkeypatch.setattr(environment.Path, "read_text", refuse)
    assert isinstance(environment._processor(), str)
