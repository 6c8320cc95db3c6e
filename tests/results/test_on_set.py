"""A run on a test set: the metrics of the set in the place of those of the test part, judged by the same statistics."""

from __future__ import annotations

import numpy as np
import pytest

from faceexp.errors import InputError
from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.experiment.baselines import PHASE1
from faceexp.results.group_records import GroupColumnRecord, GroupsRecord
from faceexp.results.on_set import compared, file_on_set, judged_metric, on_set, over_sets
from faceexp.results.record import PartRecord
from faceexp.results.schema import RunRecord, TrialFile, TrialRecord
from faceexp.results.set_record import SetRecord
from faceexp.run import Run

RANDOM = np.random.default_rng(5)
ROWS = {"good": 0.9, "poor": 0.6, PHASE1.label: 0.7}
# On the other set the order is turned.
ELSEWHERE = {"good": 0.3, "poor": 0.5, PHASE1.label: 0.4}
PART = {"images": 24, "people": 4, "pairs": 276, "similar": 60}
FACES = SetRecord(
    name="b", source="made", key="digest", measured=PartRecord(images=30, people=10, pairs=435, similar=30)
)


def trial(label, seed):
    def metrics(mean):
        return {key: mean + RANDOM.normal(0, 0.003) for key in ("map_at_r", "auc", "accuracy")}

    return TrialRecord(
        id=f"{label}-{seed}",
        label=label,
        kind="baseline" if label == PHASE1.label else "loss",
        seed=seed,
        fold=0,
        status="ok",
        metrics=metrics(ROWS[label]) | {"rank_1": 1.0},
        sets={"b": metrics(ELSEWHERE[label]), "c": metrics(ROWS[label])},
    )


@pytest.fixture(scope="module")
def run():
    trials = tuple(trial(label, seed) for label in ROWS for seed in range(6))
    summary, comparisons = compared(trials, 0.25, average_seeds=False)
    verdict = {"metric": "map_at_r", "questions": ["helps", "best"], "equivalence": 0.01}
    notes = [
        "closed set: ...",
        "12 people",
        "test set b: 10 people",
        "test set b.c: 3 people",
        "x",
        "test set b is not",
    ]
    sets = (FACES, FACES.model_copy(update={"name": "c"}))
    return RunRecord.model_validate(
        {
            "schema": 1,
            "name": "study",
            "protocol": "closed_set",
            "variance_ratio": 0.25,
            "notes": notes,
            "note_kinds": ["closed_set", "data", "test_set", "test_set", "left_out", "overlap"],
            "verdict": verdict,
            "parts": [
                {"seed": seed, "fold": 0, "key": "k", "train": PART, "validation": PART, "test": PART}
                for seed in range(6)
            ],
            "trials": trials,
            "summary": summary,
            "comparisons": comparisons,
            "test_sets": sets,
            "over_sets": over_sets(trials, METRIC_OF["map_at_r"], sets),
        }
    )


def test_numbers_and_verdicts_are_those_on_the_set(run):
    found = on_set(run, "b")
    means = {row.label: row.mean for row in found.summary if row.metric == "map_at_r"}
    for label in ROWS:
        values = [each.sets["b"]["map_at_r"] for each in run.trials if each.label == label]
        assert means[label] == pytest.approx(np.mean(values))
    helps = {claim.label: claim.verdict for claim in found.verdict.helps}
    assert helps == {"good": "worse", "poor": "better"}
    assert [standing.label for standing in found.verdict.best if standing.may_be_best] == ["poor"]
    assert (found.measured_on, found.verdict.same_people, found.over_sets) == ("b", True, None)
    assert found.variance_ratio == 0.25
    assert {part.test for part in found.parts} == {FACES.measured}
    assert all(part.key != "k" for part in found.parts)
    assert "rank_1" not in {row.metric for row in found.summary}


def test_only_notes_that_hold_on_the_set_stay(run):
    assert on_set(run, "b").notes == ("12 people", "test set b: 10 people", "x", "test set b is not")


def test_without_a_ratio_of_its_own_people_are_counted(run):
    listed = run.model_copy(update={"variance_ratio": 0.0})
    assert on_set(listed, "b").variance_ratio == 4 / 8
    one_split = run.verdict.model_copy(update={"same_people": True})
    assert on_set(run.model_copy(update={"verdict": one_split}), "b").variance_ratio == 0


def test_where_the_primary_metric_is_not_measured_there_the_usual_one_is_judged(run):
    asked = run.verdict.model_copy(update={"metric": "rank_1"})
    assert on_set(run.model_copy(update={"verdict": asked}), "b").verdict.metric == "map_at_r"
    assert over_sets(run.trials, METRIC_OF["rank_1"], run.test_sets).metric == "map_at_r"


def test_all_sets_side_by_side(run):
    record = run.over_sets
    assert set(record.means["good"]) == {"test", "b", "c"}
    own = [each.metrics["map_at_r"] for each in run.trials if each.label == "good"]
    assert record.means["good"]["test"] == pytest.approx(np.mean(own))
    # First on two sets and last on one; the other way round; second on all.
    assert dict(record.mean_rank) == {"good": 5 / 3, PHASE1.label: 2, "poor": 7 / 3}
    assert record.sets == record.fewest_sets == 3
    assert record.apart == ()


def test_a_row_that_lacks_a_set_has_no_rank(run):
    trials = [each.model_copy(update={"sets": {}}) if each.label == "poor" else each for each in run.trials]
    record = over_sets(trials, METRIC_OF["map_at_r"], run.test_sets)
    assert record.means["poor"]["b"] is None
    assert set(record.mean_rank) == {"good", PHASE1.label}


def test_without_test_sets_nothing_is_side_by_side(run):
    assert over_sets(run.trials, METRIC_OF["map_at_r"], ()) is None


def test_the_file_of_a_trial_has_what_lies_behind_the_numbers_of_the_set(run):
    calibration = {"threshold": 1.0, "test_far": 0.25}
    behind = {"evidence": {"far": [0.0, 1.0], "tar": [0.0, 1.0]}, "calibration": calibration}
    file = TrialFile.model_validate(run.trials[0].to_jsonable() | {"evidence_of_sets": {"b": behind}})
    found = file_on_set(file, "b")
    assert found.metrics == run.trials[0].sets["b"]
    assert (found.evidence.far, found.calibration.test_far) == ((0.0, 1.0), 0.25)
    assert file_on_set(file, "c").evidence is None


def test_a_set_that_was_not_measured_is_an_error_with_those_that_were(run, tmp_path):
    opened = Run(tmp_path, run)
    assert opened.on("b").results == on_set(run, "b")
    with pytest.raises(InputError, match="was not measured on a test set 'bb'; did you mean 'b'"):
        opened.on("bb")
    with pytest.raises(InputError, match="it has none: test sets are named in the experiment file"):
        Run(tmp_path, run.model_copy(update={"test_sets": ()})).on("b")


def test_rates_and_groups_are_those_of_the_set(run):
    beside = {"b": {"met": {"tar@far=0.1": 0.05}, "fold_accuracies": [0.75, 1.0]}}
    trials = [
        TrialRecord.model_validate(
            each.to_jsonable()
            | {"rates_of_sets": beside, "sets": {"b": {"tar@far=0.1": 0.5, "fold_accuracy": 0.875}}, "met": {"x": 1.0}}
        )
        for each in run.trials
    ]
    groups = GroupsRecord(columns=(GroupColumnRecord(column="sex", groups=("f", "m"), of_people=True),))
    asked = run.model_copy(
        update={"trials": tuple(trials), "test_sets": (FACES.model_copy(update={"groups": groups}),)}
    )
    found = on_set(asked, "b")
    assert found.groups == groups
    assert {key for each in found.trials for key in each.met} == {"tar@far=0.1"}
    rows = {(row.label, row.metric): row for row in found.summary}
    assert rows["good", "tar@far=0.1"].met == pytest.approx(0.05)
    assert rows["good", "fold_accuracy"].folds == 2
    assert rows["good", "fold_accuracy"].standard_error == pytest.approx(0.125)


def test_losses_are_compared_with_what_they_start_from_there_too(run):
    """Of a trunk with trained weights there is no phase-1 embedding."""
    labels = {PHASE1.label: "trunk arcface.onnx"}
    trials = [each.model_copy(update={"label": labels.get(each.label, each.label)}) for each in run.trials]
    verdict = run.verdict.model_copy(update={"reference": "trunk arcface.onnx"})
    verdict = on_set(run.model_copy(update={"trials": tuple(trials), "verdict": verdict}), "b").verdict
    assert verdict.reference == "trunk arcface.onnx"
    # On the other set the order is turned.
    assert {claim.label: claim.verdict for claim in verdict.helps} == {"good": "worse", "poor": "better"}
    assert {claim.reference for claim in verdict.helps} == {"trunk arcface.onnx"}


def test_of_a_run_without_losses_no_question_may_be_left(run):
    verdict = run.verdict.model_copy(update={"questions": ()})
    judged = on_set(run.model_copy(update={"verdict": verdict}), "b").verdict
    assert (judged.questions, judged.helps, judged.best) == ((), (), ())


@pytest.mark.parametrize(
    ("declared", "sets", "expected"),
    [
        ("eer", [[{"eer": 0.1, "map_at_r": 0.2}], [{"eer": 0.1}]], "eer"),
        # Rank 1 is not measured on test sets.
        ("rank_1", [[{"map_at_r": 0.2}, {}], [{"map_at_r": 0.3}]], "map_at_r"),
        # On a list of pairs of people without names, no search for somebody is.
        ("map_at_r", [[{"map_at_r": 0.2}], [{"map_at_r": None, "accuracy": 0.9}]], "accuracy"),
        ("rank_1", [[{"map_at_r": None, "accuracy": 0.9}]], "accuracy"),
    ],
)
def test_sets_are_judged_by_what_all_of_them_have(declared, sets, expected):
    assert judged_metric(declared, sets) == expected


def test_what_the_set_has_lost_stands_in_the_place_of_what_the_test_part_has(run):
    rates = {"fta": 0.1, "fte": 0.0, "lost_similar": 0.2, "lost_different": 0.1}
    lost = {"images": 3, "of_images": 30, "people": 0, "fta": 0.1, "fte": 0.0}
    own = lost | {"images": 5}
    changed = run.to_jsonable() | {"failures": own}
    changed["test_sets"][0] |= {"acquisition": rates, "failures": lost}
    changed["notes"] += ["5 of 72 images of the data set could not be used", "3 of 30 images of test set b could not"]
    changed["note_kinds"] += ["failures", "failures"]
    made = on_set(RunRecord.model_validate(changed), "b")
    assert made.failures.images == 3
    assert [split.acquisition.lost_similar for split in made.parts] == [0.2] * 6
    assert [note.text for note in made.remarks if note.kind == "failures"] == ["3 of 30 images of test set b could not"]
    assert on_set(RunRecord.model_validate(changed), "c").failures is None
