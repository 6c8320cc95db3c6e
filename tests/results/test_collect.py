"""From trials to the record of their run: parts, notes, published results, and means against numpy."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import faceexp
from faceexp.data.splits import Split
from faceexp.experiment.published import Published
from faceexp.results import collect as collecting
from faceexp.results.collect import collect, split_records
from faceexp.results.jsonable import to_json
from faceexp.results.judge import judge, sampling_of
from faceexp.results.record import BudgetRecord
from faceexp.results.schema import TrialRecord
from faceexp.values import Note


def part(*images):
    return np.array(images, dtype=np.int64)


def test_parts_count_people_images_and_pairs():
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 3], np.int32)
    split = collecting._split_record(Split(7, 1, part(0, 1), part(2, 3, 4), part(5, 6, 7)), labels, "data")
    content = split.to_jsonable()
    assert len(content.pop("key")) == 64
    assert content == {
        "seed": 7,
        "fold": 1,
        "train": {"images": 2, "people": 1},
        "validation": {"images": 3, "people": 2, "pairs": 3, "similar": 1},
        "test": {"images": 3, "people": 2, "pairs": 3, "similar": 1},
        "acquisition": None,
    }
    of_a_list = collecting._split_record(
        Split(0, 0, part(0), part(3, 4), part(5, 6, 7), part([0, 1]), part([0, 1], [1, 2])), labels, "data"
    ).to_jsonable()
    assert of_a_list["validation"] == {"images": 2, "people": 1, "pairs": 1, "similar": 1}
    assert of_a_list["test"] == {"images": 3, "people": 2, "pairs": 2, "similar": 1}


def test_the_key_of_a_split_is_that_of_the_data_and_the_cut():
    labels = np.array([0, 0, 1, 1, 2, 2], np.int32)

    def key(split, fingerprint="data"):
        return collecting._split_record(split, labels, fingerprint).key

    split = Split(0, 0, part(0, 1), part(2, 3), part(4, 5))
    assert key(split) == key(dataclasses.replace(split, seed=5, fold=3))
    others = [
        key(split, "other data"),
        key(dataclasses.replace(split, test=part(5, 4))),
        key(dataclasses.replace(split, train=part(2, 3), validation=part(0, 1))),
        key(dataclasses.replace(split, test_pairs=part([0, 1]))),
    ]
    assert len({key(split), *others}) == 5


def test_published_results_are_judged():
    table = Published.model_validate(
        {"source": "a study", "pairs": 134, "results": [{"label": "x", "right": 111}, {"label": "y", "right": 114}]}
    )
    content = json.loads(to_json(collecting._published(table)))
    assert (content["source"], content["pairs"]) == ("a study", 134)
    assert [row["right"] for row in content["results"]] == [111, 114]
    assert content["power"]["total"] == 134
    assert [row["accuracy"] for row in content["power"]["losses"]] == [111 / 134, 114 / 134]
    with pytest.raises(ValueError, match="'y': 135 right of 134"):
        Published.model_validate(
            table.model_dump() | {"results": [{"label": "x", "right": 1}, {"label": "y", "right": 135}]}
        )


def trial_record(label, seed, accuracy, **rest):
    given = {"kind": "loss", "loss": label, "status": "ok", "metrics": {"accuracy": accuracy}, "budget": BudgetRecord()}
    return TrialRecord(**{"id": f"{label}-{seed}", "label": label, "seed": seed, "fold": 0} | given | rest)


def test_a_run_is_its_trials_and_what_follows_from_them(planned, tmp_path):
    plan = planned(tmp_path, {"contrastive": faceexp.plugin("loss", "contrastive")}, seeds=(0, 1), description="why")
    plan = dataclasses.replace(plan, notes=(Note("data", "12 people"), Note("left_out", "one image is left out")))
    values = {"x": (0.75, 0.5), "y": (0.5, 0.375)}
    trials = [trial_record(label, seed, values[label][seed]) for seed in (0, 1) for label in values]
    trials.append(trial_record("z", 0, None, status="failed", reason="why not", metrics={}))
    sampling = sampling_of(plan)
    verdict = judge(trials, plan.resolved.experiment.verdict, sampling)
    run = collect("tried", "digest", trials, plan, split_records(plan, plan.splits), sampling, verdict)
    assert (run.schema_number, run.name, run.description, run.spec_hash) == (1, "tried", "why", "digest")
    assert run.trials == tuple(trials)
    assert [(note.kind, note.text) for note in run.remarks] == [
        ("data", "12 people"),
        ("left_out", "one image is left out"),
    ]
    assert [split.cell for split in run.parts] == [(0, 0), (1, 0)]
    assert run.test_train_ratio == pytest.approx(
        np.mean([split.test.images / split.train.images for split in run.parts])
    )
    means = {row.label: (row.metric, row.mean, row.n) for row in run.summary}
    assert means == {"x": ("accuracy", 0.625, 2), "y": ("accuracy", 0.4375, 2), "z": ("accuracy", None, 0)}
    differences = {(pair.a, pair.b): pair.difference for pair in run.comparisons}
    assert differences == {("x", "y"): 0.1875, ("x", "z"): None, ("y", "z"): None}
    assert [trial.id for trial in run.failed] == ["z-0"]
    assert run.cells == {(0, 0), (1, 0)}
    assert run.published is None
    assert run.warnings == ()


def test_a_loss_whose_random_numbers_have_no_seed_is_warned_of_in_the_results():
    trials = [
        trial_record("x", 0, 0.5),
        *(trial_record(label, 0, 0.5, loss="y", unseeded=("RandomUniform",)) for label in ("y(a=1)", "y(a=2)")),
    ]
    (warning,) = collecting._unseeded(trials)
    assert warning.startswith(
        "loss 'y' (rows 'y(a=1)', 'y(a=2)') draws random numbers that no seed determines (RandomU"
    )
    assert list(collecting._unseeded(trials[:1])) == []
