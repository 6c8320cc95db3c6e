"""What a run writes down of its trials, against the embeddings they come from."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from faceexp.data.groups import Groups
from faceexp.data.splits import Split
from faceexp.data.test_set import PlannedSet
from faceexp.evaluation.calibration import calibrated
from faceexp.evaluation.catalogue import IDENTIFICATION
from faceexp.evaluation.identification import draw_searches, identify
from faceexp.evaluation.metrics import evaluate, examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.roc import roc
from faceexp.evaluation.verification import rates
from faceexp.experiment.evaluation import Evaluation
from faceexp.experiment.protocol import Protocol
from faceexp.results import measure as measuring
from faceexp.results.jsonable import to_json
from faceexp.results.measure import measure
from faceexp.store import Store
from faceexp.values import Plan, TrainedTrial, Trial

RANDOM = np.random.default_rng(0)


def part(*images):
    return np.array(images, dtype=np.int64)


def plan_of(labels, *splits, **asked):
    names = tuple(f"person {label}" for label in range(max(labels) + 1))
    experiment = SimpleNamespace(evaluation=Evaluation(**asked), protocol=Protocol(kind="open_set"))
    return SimpleNamespace(
        labels=np.array(labels, np.int32),
        identities=names,
        splits=splits,
        images_key="made",
        data=SimpleNamespace(people_known=True),
        resolved=SimpleNamespace(experiment=experiment),
        notes=(),
        groups=(),
        templates=None,
        sets=(),
    )


def trained(split, dim=3, seed=0, **rest):
    rows = {
        name: RANDOM.normal(size=(len(getattr(split, name)), dim)).astype(np.float32) for name in ("validation", "test")
    }
    return TrainedTrial(Trial("x", "x", "baseline", seed, 0), split, "ok", embeddings=rows | rest)


def test_a_metric_that_is_no_number_is_null():
    both, one = part(0, 1, 2, 3), part(4, 5, 6, 7)
    labels = [0, 0, 1, 1, 2, 2, 2, 2]
    split = Split(0, 0, part(), validation=both, test=one)
    trial = measure(trained(split), plan_of(labels, split)).trial
    assert trial.metrics["auc"] is None
    assert trial.metrics["precision_at_1"] == 1
    assert math.isfinite(trial.threshold)
    # All test images show one person: no pair can be accepted wrongly, and so the ROC has no false accept rate.
    content = json.loads(to_json(trial))["evidence"]
    assert content["far"] == []
    assert content["tar"][-1] == 1
    split = Split(0, 0, part(), validation=one, test=both)
    text = to_json(measure(trained(split), plan_of(labels, split)).trial)
    assert json.loads(text)["threshold"] is None
    assert json.loads(text)["metrics"]["accuracy"] is None
    assert "NaN" not in text


def test_listed_pairs_alone_are_judged():
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    split = Split(0, 0, part(), part(0, 1, 2, 3), part(4, 5, 6, 7), part([0, 1], [0, 2]), part([0, 1], [1, 3]))
    made = trained(split)
    measured = measure(made, plan_of(labels, split))
    rows = made.embeddings["test"].astype(np.float64)
    near, far = (np.linalg.norm(rows[i] - rows[j]) for i, j in split.test_pairs)
    assert measured.trial.metrics["auc"] == (near < far)
    assert sorted(pair.images for pair in measured.trial.evidence.hardest) == [(4, 5), (5, 7)]
    assert measured.pictures == (4, 5, 7)


def test_test_images_are_identified_among_those_that_are_not_tested():
    labels = [0, 1, 0, 1, 0, 1]
    split = Split(0, 0, train=part(0, 1), validation=part(2, 3), test=part(4, 5))
    rows = {"train": [[0.0], [10.0]], "validation": [[1.0], [30.0]], "test": [[2.0], [4.0]]}
    given = {name: np.array(values, np.float32) for name, values in rows.items()}
    trial = measure(trained(split, **given), plan_of(labels, split)).trial
    # 2 is nearest to the 1 of its own person; 4 is nearest to that 1, too, and shows the other one.
    assert trial.metrics["rank_1"] == 0.5
    assert "rank_1" not in measure(trained(split), plan_of(labels, split)).trial.metrics


def test_evidence_names_images_and_people_and_is_drawn_for_the_first_split():
    labels = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    first, second = (Split(seed, 0, part(), part(0, 1, 3, 4), part(6, 7, 8, 9, 10, 11)) for seed in (0, 1))
    plan = plan_of(labels, first, second)
    measured = measure(trained(first), plan)
    evidence = measured.trial.evidence
    assert evidence.hardest
    for pair in evidence.hardest:
        assert pair.identities == tuple(f"person {labels[image]}" for image in pair.images)
        assert pair.similar == (pair.identities[0] == pair.identities[1])
        assert pair.accepted == (pair.distance <= measured.trial.threshold)
    assert evidence.map.identity == ("person 2",) * 3 + ("person 3",) * 3
    assert set(measured.pictures) <= set(range(6, 12))
    again = measure(trained(second, seed=1), plan)
    assert "map" not in json.loads(to_json(again.trial))["evidence"]
    assert again.pictures == ()


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    """Unless what is measured, or how, is something else."""
    labels = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    first, second = (Split(seed, 0, part(), part(0, 1, 3, 4), part(6, 7, 8, 9, 10, 11)) for seed in (0, 1))
    plan, store = plan_of(labels, first, second), Store(tmp_path)
    made = dataclasses.replace(trained(first), key="a key", reused=("finetune",))
    plainly = measure(made, plan)
    fresh = measure(made, plan, store)
    assert fresh.trial.reused == ("finetune",)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "examine", lambda *_, **__: pytest.fail("it was measured again"))
        again = measure(made, plan, store)
    assert again.trial.reused == ("finetune", "evaluate")
    assert again.trial.seconds["evaluate"] == fresh.trial.seconds["evaluate"] > 0
    for measured in (fresh, again):
        assert measured.trial.metrics == plainly.trial.metrics
        assert measured.trial.threshold == plainly.trial.threshold
        assert measured.trial.evidence == plainly.trial.evidence
        assert measured.trial.calibration == plainly.trial.calibration
        assert measured.pictures == plainly.pictures
    # What was looked up is written as what was measured, to the key.
    assert json.loads(to_json(again.trial.evidence)) == json.loads(to_json(plainly.trial.evidence))

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


def test_people_weigh_alike_and_the_pooled_metrics_stay_by_name():
    """In the metrics, in the threshold, and in the rates that it meets; unless a list names the pairs."""
    labels = np.repeat(np.arange(12), [12, 2, 3, 2, 4, 3, 9, 2, 3, 4, 2, 5])
    validation, test = np.flatnonzero(labels < 6), np.flatnonzero(labels >= 6)
    split = Split(0, 0, validation[::2], validation=validation[1::2], test=test)
    made = trained(split, train=RANDOM.normal(size=(len(validation[::2]), 3)).astype(np.float32))
    plan = plan_of(labels.tolist(), split)
    trial = measure(made, plan).trial
    of_validation = pair_distances(made.embeddings["validation"], labels[split.validation], "euclidean")
    calibration = calibrated(of_validation.person_averaged(labels[split.validation]))
    assert (trial.threshold, trial.calibration.slope) == (calibration.threshold, calibration.slope)
    averaged = evaluate(made.embeddings["test"], labels[test], trial.threshold, "euclidean", weights="people")
    assert {key: trial.metrics[key] for key in averaged} == averaged
    assert set(trial.metrics) - set(averaged) == {"rank_1", "rank_1_pooled"}
    assert trial.metrics["auc"] != trial.metrics["auc_pooled"]
    of_test = pair_distances(made.embeddings["test"], labels[test], "euclidean").person_averaged(labels[test])
    assert (trial.calibration.test_far, trial.calibration.test_tar) == rates(of_test, trial.threshold)
    assert trial.calibration.people == 6

    pairs = np.column_stack(np.triu_indices(len(test), 1))[::2]
    listed = dataclasses.replace(split, validation_pairs=pairs[pairs.max(axis=1) < len(split.validation)])
    threshold = measure(dataclasses.replace(made, split=listed), plan).trial.threshold
    chosen = pair_distances(
        made.embeddings["validation"], labels[split.validation], "euclidean", listed.validation_pairs
    )
    assert threshold == calibrated(chosen).threshold


def test_the_thresholds_for_false_accept_rates_say_what_the_test_met():
    labels = np.repeat(np.arange(40), 6)
    validation, test = np.flatnonzero(labels < 20), np.flatnonzero(labels >= 20)
    split = Split(0, 0, part(), validation=validation, test=test)
    centres = 2 * RANDOM.normal(size=(40, 8))
    rows = {"validation": validation, "test": test}
    given = {
        name: (centres[labels[of]] + RANDOM.normal(size=(len(of), 8))).astype(np.float32) for name, of in rows.items()
    }
    trial = measure(trained(split, **given), plan_of(labels.tolist(), split)).trial
    assert trial.calibration.thresholds["0.1"] is not None
    measured = pair_distances(given["test"], labels[test], "euclidean")
    for aim, threshold in trial.calibration.thresholds.items():
        if threshold is None:
            assert aim not in trial.calibration.test_far_at
        else:
            far, tar = rates(measured, threshold)
            assert trial.calibration.test_far_at[aim] == far == trial.evidence.met[aim].far
            assert trial.evidence.met[aim].tar == tar
            low, high = trial.calibration.far_range[aim] or (math.nan, math.nan)
            assert low < float(aim) < high


@pytest.mark.parametrize("part_of_split", ["validation", "test", "train"])
@pytest.mark.parametrize("kind", ["loss", "baseline"])
@pytest.mark.parametrize("key", ["", "a key"], ids=["without a key", "with a key"])
def test_embeddings_that_are_not_finite_end_their_own_trial_alone(tmp_path, part_of_split, kind, key):
    labels = [0, 0, 1, 1] * 3
    split = Split(0, 0, part(0, 1, 2, 3), part(4, 5, 6, 7), part(8, 9, 10, 11))
    plan, store = plan_of(labels, split), Store(tmp_path)
    made = trained(split, train=np.ones((4, 3), np.float32))
    made = dataclasses.replace(made, trial=dataclasses.replace(made.trial, kind=kind), key=key)
    broken = {name: values.copy() for name, values in made.embeddings.items()}
    broken[part_of_split][2, 1] = np.nan
    trial = measure(dataclasses.replace(made, embeddings=broken), plan, store).trial
    assert trial.status == "diverged"
    assert trial.reason == f"the embeddings of the {part_of_split} images are not finite"
    assert (trial.metrics, trial.threshold, trial.evidence) == ({}, None, None)
    # Nothing of it is kept, so the same trial is measured once its embeddings are right.
    assert measure(made, plan, store).trial.status == "ok"


def test_an_error_in_measuring_ends_its_own_trial_alone(tmp_path, monkeypatch):
    labels = [0, 0, 1, 1] * 2
    split = Split(0, 0, part(), part(0, 1, 2, 3), part(4, 5, 6, 7))
    plan = plan_of(labels, split)
    made = dataclasses.replace(trained(split), key="a key", seconds={"finetune": 3.0}, reused=("pretrain",))

    def raising(error):
        def examine(*_, **__):
            raise error

        monkeypatch.setattr(measuring, "examine", examine)

    raising(MemoryError("no room"))
    trial = measure(made, plan, Store(tmp_path)).trial
    assert (trial.status, trial.reason) == ("failed", "it could not be measured: MemoryError: no room")
    assert (trial.seconds["finetune"], trial.reused) == (3.0, ("pretrain",))
    # A full disk or a person who interrupts ends the run: no other trial could do better.
    for error in (OSError("disk full"), KeyboardInterrupt()):
        raising(error)
        with pytest.raises(type(error)):
            measure(made, plan, Store(tmp_path))


def test_a_failed_trial_has_no_evidence():
    split = Split(0, 0, part(), part(0), part(1))
    trial = TrainedTrial(Trial("x", "x", "loss", 0, 0), split, "failed", "why")
    measured = measure(trial, plan_of([0, 1], split))
    assert (measured.trial.evidence, measured.trial.calibration, measured.pictures) == (None, None, ())
    assert (measured.trial.status, measured.trial.reason, measured.trial.metrics) == ("failed", "why", {})


def test_a_model_knows_on_how_many_people_it_was_tested_and_how_many_of_them_were_seen_before():
    labels = np.repeat(np.arange(9), 4).tolist()
    images = np.arange(36)
    open_set = Split(0, 0, images[:8], validation=images[8:16], test=images[16:])
    known = measure(trained(open_set), plan_of(labels, open_set)).trial.calibration
    assert (known.test_people, known.test_seen) == (5, 0)
    low, high = known.test_accuracy_range or (math.nan, math.nan)
    assert low < (known.test_tar + 1 - known.test_far) / 2 < high
    # In a closed set, everybody is in every part, with other images.
    closed = Split(0, 0, images[::4], validation=images[1::4], test=np.sort(np.r_[images[2::4], images[3::4]]))
    known = measure(trained(closed), plan_of(labels, closed)).trial.calibration
    assert (known.test_people, known.test_seen) == (9, 9)


def test_a_test_set_is_measured_at_the_threshold_of_validation():
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    split = Split(0, 0, part(), part(0, 1, 2, 3), part(4, 5, 6, 7))
    made = trained(split)
    of_set = RANDOM.normal(size=(6, 3)).astype(np.float32)
    made = dataclasses.replace(made, embeddings={**made.embeddings, "b": of_set})
    faces = PlannedSet("b", "made", "k", part(*range(8, 14)), np.array([0, 0, 1, 1, 2, 2], np.int32), ("x", "y", "z"))
    none = SimpleNamespace(people_known=True)
    counted, images = np.array(labels, np.int32), np.zeros(0, np.uint8)
    asked = SimpleNamespace(evaluation=Evaluation(), protocol=Protocol(kind="open_set"))
    resolved = SimpleNamespace(experiment=asked)
    plan = Plan(resolved, none, images, "made", counted, tuple("abcd"), (split,), (), sets=(faces,), sets_key="sets")
    measured = measure(made, plan)
    alone = measure(trained(split), dataclasses.replace(plan, sets=())).trial
    assert alone.sets == {}
    trial = measured.trial
    expected = examine(of_set, faces.labels, trial.threshold, "euclidean", weights="people").metrics
    assert trial.sets == {"b": expected}
    assert set(trial.metrics) == set(expected)
    behind = trial.evidence_of_sets["b"]
    assert behind.calibration.threshold == trial.threshold == trial.calibration.threshold
    assert (behind.calibration.test_people, behind.calibration.test_seen) == (3, 0)
    assert {name for pair in behind.evidence.hardest for name in pair.identities} <= {"x", "y", "z"}
    assert {image for pair in behind.evidence.hardest for image in pair.images} <= set(range(8, 14))
    assert set(behind.evidence.map.identity) == {"x", "y", "z"}
    assert max(measured.pictures) > 7

    # Groups are those of the images of the set, among its own pairs.
    groups = Groups("sex", ("f", "m"), np.array([0, 0, 0, 0, 1, 1]), of_people=True)
    grouped = measure(made, dataclasses.replace(plan, sets=(dataclasses.replace(faces, groups=(groups,)),))).trial
    assert grouped.groups == ()
    assert [(each.group, len(each.people)) for each in grouped.evidence_of_sets["b"].groups] == [("f", 2), ("m", 1)]

    listed = dataclasses.replace(faces, pairs=part([0, 1], [0, 2]))
    trial = measure(made, dataclasses.replace(plan, sets=(listed,))).trial
    near, far = (np.linalg.norm(of_set[i].astype(np.float64) - of_set[j]) for i, j in listed.pairs)
    assert trial.sets["b"]["auc"] == (near < far)


def made_people(count, images, noise=0.6, seed=0):
    """Return labels and embeddings of so many people, those of the first half for validation."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), images)
    return labels, (random.normal(size=(count, 6))[labels] + noise * random.normal(size=(len(labels), 6)))


def halves(labels, x, **pairs):
    """Return a split into two halves, and the embeddings of both."""
    middle = len(labels) // 2
    split = Split(0, 0, part(), np.arange(middle), np.arange(middle, len(labels)), **pairs)
    return split, {"validation": x[:middle].astype(np.float32), "test": x[middle:].astype(np.float32)}


def test_what_nobody_asks_for_is_not_there():
    labels, x = made_people(40, 4)
    split, rows = halves(labels, x)
    record = measure(trained(split, **rows), plan_of(labels, split)).trial
    assert {key for key in record.metrics if not key.endswith("_pooled")} == {
        "accuracy",
        "sim_diff_ratio",
        "auc",
        "eer",
        "tar@far=0.01",
        "tar@far=0.001",
        "precision_at_1",
        "r_precision",
        "map_at_r",
    }
    assert (record.met, record.identification) == ({}, None)


def test_rates_that_a_file_asks_for_stand_beside_what_was_met():
    labels, x = made_people(40, 10)
    split, rows = halves(labels, x)
    record = measure(trained(split, **rows), plan_of(labels, split, fars=(0.1, 1e-6), identification=True)).trial
    usual = measure(trained(split, **rows), plan_of(labels, split)).trial
    shared = [key for key in usual.metrics if not key.startswith("tar@")]
    assert {key: record.metrics[key] for key in shared} == {key: usual.metrics[key] for key in shared}
    pairs = pair_distances(rows["test"], labels[split.test], "euclidean")
    assert 0.05 < record.met["tar@far=0.1"] <= 0.1
    assert np.isin(record.met["tar@far=0.1"], roc(pairs).far)
    assert record.metrics["tar@far=1e-06"] is None
    assert record.met["tar@far=1e-06"] is None
    assert "tar@far=0.01" not in record.metrics
    found = identify(rows["test"], labels[split.test], "euclidean", draw_searches(labels[split.test], [0, 0]))
    assert record.metrics["tpir@fpir=0.1"] == found.metrics["tpir@fpir=0.1"]
    assert record.metrics["tpir@fpir=0.01"] is None
    assert (record.identification.gallery, record.identification.strangers) == (10, 10)
    assert record.identification.cmc == found.cmc
    assert record.met["tpir@fpir=0.1"] == found.met["tpir@fpir=0.1"]


def test_identification_is_refused_for_few_people_and_for_a_list_of_pairs():
    labels, x = made_people(20, 4)
    pairs = {"validation_pairs": part([0, 1], [0, 5]), "test_pairs": part([0, 1], [0, 5])}
    for split, rows in (halves(labels, x), halves(*made_people(60, 4), **pairs)):
        of_plan = plan_of(np.repeat(np.arange(60), 4), split, identification=True)
        record = measure(trained(split, **rows), of_plan).trial
        assert [record.metrics[key] for key in IDENTIFICATION] == [None] * 4
        assert record.identification is None


def test_the_accuracy_of_a_fold_is_that_of_the_threshold_which_is_best_on_the_other_folds():
    labels, x = made_people(40, 6)
    random = np.random.default_rng(0)
    pairs = {f"{name}_pairs": random.integers(0, 120, (300, 2)) for name in ("validation", "test")}
    split, rows = halves(labels, x, **pairs)
    unit = {name: values / np.linalg.norm(values, axis=1, keepdims=True) for name, values in rows.items()}
    right = {}
    for name, first in (("validation", 0), ("test", 120)):
        a, b = pairs[f"{name}_pairs"].T
        squared = ((unit[name][a] - unit[name][b]) ** 2).sum(axis=1)
        same = labels[first + a] == labels[first + b]
        right[name] = [np.mean((squared < threshold) == same) for threshold in np.arange(0, 4, 0.01)]
    record = measure(trained(split, **rows), plan_of(labels, split)).trial
    assert record.metrics["fold_accuracy"] == right["test"][int(np.argmax(right["validation"]))]
    assert "fold_accuracy_pooled" not in record.metrics


def test_other_questions_measure_again(tmp_path):
    labels, x = made_people(40, 10)
    split, rows = halves(labels, x)
    made, store = dataclasses.replace(trained(split, **rows), key="a key"), Store(tmp_path)
    first = measure(made, plan_of(labels, split), store).trial
    asked = measure(made, plan_of(labels, split, fars=(0.1,)), store).trial
    assert first.reused == asked.reused == ()
    assert "tar@far=0.1" in asked.metrics
    assert measure(made, plan_of(labels, split, fars=(0.1,)), store).trial.reused == ("evaluate",)
