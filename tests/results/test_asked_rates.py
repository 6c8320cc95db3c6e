"""What the data cannot show is said before anything trains; what stands beside the means of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from faceexp.data.splits import Split, splits
from faceexp.experiment.evaluation import Evaluation
from faceexp.experiment.protocol import Protocol
from faceexp.results.asked_rates import with_rates, with_refusals
from faceexp.results.measure import measure
from faceexp.results.schema import SummaryRecord, TrialRecord
from faceexp.statistics.comparisons import summarise
from faceexp.values import Event, Noted, TrainedTrial, Trial

NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class MadePlan:
    """As much of a plan as is looked at."""

    labels: np.ndarray
    splits: tuple[Split, ...]
    resolved: SimpleNamespace
    notes: tuple = field(default=())
    sets: tuple = ()
    templates: None = None


def told(tests, pairs=None, split_seed=None, **asked):
    """Return the notes of a plan with these test parts, each of people with so many images."""
    labels = np.concatenate([np.repeat(np.arange(people), images) for people, images in tests])
    ends = np.cumsum([people * images for people, images in tests])
    parts = [np.arange(end - people * images, end) for end, (people, images) in zip(ends, tests, strict=True)]
    splits = tuple(Split(seed, 0, NONE, NONE, test, pairs, pairs) for seed, test in enumerate(parts))
    protocol = Protocol(kind="open_set", split_seed=split_seed)
    experiment = SimpleNamespace(evaluation=Evaluation(**asked), protocol=protocol)
    events: list[Event] = []
    plan = with_refusals(MadePlan(labels, splits, SimpleNamespace(experiment=experiment)), events.append)
    assert [event.note for event in events if isinstance(event, Noted)] == list(plan.notes)
    assert {note.kind for note in plan.notes} <= {"refused"}
    return [note.text for note in plan.notes]


def test_nothing_is_refused_that_nobody_asked_for():
    assert told([(2, 2)]) == []


def test_rates_are_refused_together_where_the_reason_is_the_same():
    assert told([(5, 10)], fars=(0.1, 1e-4, 1e-6)) == [
        "TAR@10%, TAR@1e-4, TAR@1e-6 are not measured: 5 people are in pairs of two people, and a rate takes 6"
    ]
    assert told([(20, 10)], fars=(0.1, 0.01, 1e-6)) == [
        "TAR@1e-6 is not measured: 0.019 of 19,000 pairs of two people would be accepted, and a rate takes 10, of "
        "10,000,000 pairs"
    ]


def test_where_some_test_parts_are_large_enough_it_says_how_many_are_not():
    assert told([(20, 10), (9, 10), (20, 10)], fars=(0.01,)) == [
        "TAR@1% is not measured in 1 of 3 test parts: 9 people make 36 pairs of people, and a rate takes 100, those of "
        "15 people"
    ]


def test_identification_needs_people():
    assert told([(8, 10)], identification=True) == [
        "identification is not measured: 4 people can be enrolled and 4 be strangers, and it takes 6 of each: 12 test "
        "people with two images or more"
    ]
    assert told([(20, 10)], identification=True) == [
        "TPIR@1% is not measured: 1 of 100 photos of 10 strangers would be taken for somebody, and a rate takes 10, of "
        "1,000 photos of 100 strangers"
    ]
    assert told([(200, 10)], identification=True) == []
    assert told([(200, 10)], pairs=np.array([[0, 1]]), identification=True) == [
        "identification is not measured: a list of pairs says whom its pairs show, and not whom every image shows"
    ]


def trial(fold, seed=0, status="ok", met=None, **metrics):
    name = f"x-{seed}-{fold}"
    return TrialRecord(
        id=name, label="x", kind="loss", seed=seed, fold=fold, status=status, metrics=metrics, met=met or {}
    )


def summary(metric):
    return SummaryRecord(label="x", kind="loss", metric=metric, mean=0.9)


def test_the_error_of_the_mean_is_that_of_the_folds():
    values = [0.9, 0.95, 0.97, 0.91]
    found = with_rates(summary("fold_accuracy"), [trial(fold, fold_accuracy=v) for fold, v in enumerate(values)])
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / 2)
    assert (found.folds, found.mean) == (4, 0.9)
    found = with_rates(summary("auc"), [trial(fold, auc=v) for fold, v in enumerate(values)])
    assert (found.standard_error, found.folds, found.met) == (None, None, None)


def test_the_rate_that_was_met_is_the_mean_over_trials_that_ended_well():
    key = "tar@far=0.01"
    trials = [
        trial(0, met={key: 0.009}),
        trial(1, met={key: 0.008}),
        trial(2, met={key: None}),
        trial(3, status="failed", met={key: 1.0}),
    ]
    assert with_rates(summary(key), trials).met == pytest.approx(0.0085)


def test_a_model_that_is_only_measured_gets_the_number_of_the_usual_script():
    """Ten folds as LFW has them: cut by the protocol, measured fold by fold, and put together as a run does."""
    random = np.random.default_rng(0)
    pairs, people = 400, 100
    same = np.tile(np.repeat([True, False], pairs // 20), 10)
    # In each fold ten people of its own with eight images, and at the end three people who are in no pair.
    labels = np.repeat(np.arange(people + 3), 8)
    x = random.normal(size=(people + 3, 8))[labels]
    x = ((x + 0.9 * random.normal(size=x.shape)) * random.uniform(0.5, 9, (len(labels), 1))).astype(np.float32)
    people_of_pairs = [
        random.choice(np.arange(10 * fold, 10 * fold + 10), 2, replace=False) for fold in range(10) for _ in same[:40]
    ]
    both = np.array(people_of_pairs)
    both[same, 1] = both[same, 0]
    listed = 8 * both + np.array([random.choice(8, 2, replace=False) for _ in same])

    unit = normalize(x.astype(np.float64))
    squared = np.sum(np.square(unit[listed[:, 0]] - unit[listed[:, 1]]), 1)
    expected = []
    for train, test in KFold(n_splits=10).split(squared):
        right = [np.mean(np.less(squared[train], t) == same[train]) for t in np.arange(0, 4, 0.01)]
        expected.append(np.mean(np.less(squared[test], np.arange(0, 4, 0.01)[np.argmax(right)]) == same[test]))

    protocol = Protocol(kind="pairs_file", path="pairs.txt", validation_fraction=1.0)
    parts = splits(labels, protocol, 0, tuple(np.array_split(listed, 10)))
    plan = SimpleNamespace(
        labels=labels,
        splits=parts,
        identities=tuple(map(str, range(people + 3))),
        images_key="made",
        data=SimpleNamespace(people_known=True),
        groups=(),
        templates=None,
        sets=(),
        resolved=SimpleNamespace(experiment=SimpleNamespace(evaluation=Evaluation(), protocol=protocol)),
    )
    records = [
        measure(
            TrainedTrial(
                Trial(f"x-{each.fold}", "x", "baseline", 0, each.fold),
                each,
                "ok",
                embeddings={"validation": x[each.validation], "test": x[each.test]},
            ),
            plan,
        ).trial
        for each in parts
    ]
    assert [record.metrics["fold_accuracy"] for record in records] == expected
    (mean,) = summarise(records, {"fold_accuracy": True}, average_seeds=True)
    found = with_rates(SummaryRecord.model_validate(mean), records)
    assert found.mean == pytest.approx(np.mean(expected), abs=1e-15)
    assert found.standard_error == np.std(expected, ddof=1) / np.sqrt(10)
