"""A run as if a test set were its test part: a record of the same kind, which the same tables and pages show."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from faceexp.evaluation.catalogue import Metric
from faceexp.evaluation.named import known, metrics_among
from faceexp.experiment.asked import USUAL_OF_LISTS, Asked
from faceexp.results.asked_rates import with_rates
from faceexp.results.judge import Sampling, judge
from faceexp.results.schema import ComparisonRecord, RunRecord, SummaryRecord, TrialFile, TrialRecord
from faceexp.results.set_record import OverSetsRecord, SetRatesRecord, SetRecord
from faceexp.results.verdict import VerdictRecord
from faceexp.statistics import comparisons as statistics
from faceexp.statistics.power.question import ALPHA
from faceexp.statistics.ranks import ranked
from faceexp.store import digest
from faceexp.values import Note

# What the test part of each split is called beside the test sets.
OWN = "test"
# Notes that say which set they are about.
OF_SETS = ("test_set", "overlap", "crops", "failures")
# Notes on the test part, which say nothing of a test set.
OF_TEST_PART = ("closed_set", "pairs_file", "listed", "split_seed", "uneven", "groups", "refused")


def compared(
    trials: Sequence[TrialRecord], ratio: float, *, average_seeds: bool
) -> tuple[tuple[SummaryRecord, ...], tuple[ComparisonRecord, ...]]:
    """Return the mean of every row and metric, and the comparison of every two rows."""
    measured_metrics = {metric for trial in trials for metric in trial.metrics}
    metrics = metrics_among(measured_metrics)
    directions = {metric.key: metric.higher_is_better for metric in metrics}
    rates = [metric.key for metric in metrics if metric.largest == 1]
    pairs = statistics.compare(trials, directions, ratio, rates=rates, average_seeds=average_seeds)
    means = statistics.summarise(trials, directions, ratio, pairs, rates=rates, average_seeds=average_seeds)
    return (
        tuple(with_rates(SummaryRecord.model_validate(row), trials) for row in means),
        tuple(ComparisonRecord.model_validate(pair) for pair in pairs),
    )


def on_set(run: RunRecord, name: str) -> RunRecord:
    """Return a run with the metrics of a test set in the place of those of its test part, judged anew.

    Raises:
        KeyError: It was not measured on such a set.
    """
    faces = next((each for each in run.test_sets if each.name == name), None)
    if faces is None:
        raise KeyError(name)
    trials = _trials_on(run, name)
    sampling = sampling_on_set(run, faces)
    summary, comparisons = compared(trials, sampling.ratio, average_seeds=sampling.average_seeds)
    notes = tuple(_notes(run, name))
    return run.model_copy(
        update={
            "measured_on": name,
            "protocol": "test_set",
            "trials": trials,
            "summary": summary,
            "comparisons": comparisons,
            "verdict": _verdict(run, trials, sampling),
            "variance_ratio": sampling.ratio,
            "parts": tuple(
                split.model_copy(
                    update={
                        "test": faces.measured,
                        "key": digest([split.key, faces.key]),
                        "acquisition": faces.acquisition,
                    }
                )
                for split in run.parts
            ),
            "notes": tuple(note.text for note in notes),
            "note_kinds": tuple(note.kind for note in notes),
            "published": None,
            # What tuning gained was judged on the test part.
            "search": None,
            "groups": faces.groups,
            "failures": faces.failures,
            "over_sets": None,
        }
    )


def file_on_set(file: TrialFile, name: str) -> TrialFile:
    """Return the file of a trial with what lies behind its metrics on a test set."""
    behind = file.evidence_of_sets.get(name)
    update: dict[str, object] = {
        "evidence": behind.evidence if behind else None,
        "calibration": behind.calibration if behind else None,
    }
    update["groups"] = behind.groups if behind else ()
    return file.model_copy(update={**update, **_measured_on(file, name), "evidence_of_sets": {}})


def over_sets(trials: Sequence[TrialRecord], metric: Metric, sets: Sequence[SetRecord]) -> OverSetsRecord | None:
    """Return how rows rank over the test part and all test sets; nothing if there are no test sets."""
    if not sets:
        return None
    on_sets = [[trial.sets.get(each.name, {}) for trial in trials] for each in sets]
    key = judged_metric(metric.key, on_sets)
    means: dict[str, dict[str, float | None]] = {}
    for trial in trials:
        means.setdefault(trial.label, {})
    for name in (OWN, *(each.name for each in sets)):
        for label, of_row in means.items():
            of_trials = [
                trial.metrics if name == OWN else trial.sets.get(name, {})
                for trial in trials
                if trial.label == label and trial.status == "ok"
            ]
            values = [value for metrics in of_trials if (value := metrics.get(key)) is not None]
            of_row[name] = math.fsum(values) / len(values) if values else None
    complete = {
        label: [value for value in of_row.values() if value is not None]
        for label, of_row in means.items()
        if None not in of_row.values()
    }
    ranks = ranked(complete, higher_is_better=known(key).higher_is_better)
    record = OverSetsRecord(metric=key, means=means, sets=len(sets) + 1)
    return record.model_copy(update=vars(ranks)) if ranks else record


def _trials_on(run: RunRecord, name: str) -> tuple[TrialRecord, ...]:
    return tuple(trial.model_copy(update=_measured_on(trial, name)) for trial in run.trials)


def _measured_on(trial: TrialRecord, name: str) -> dict[str, object]:
    """Return what of a trial is another on a test set."""
    beside = trial.rates_of_sets.get(name, SetRatesRecord())
    return {"metrics": trial.sets.get(name, {}), "sets": {}, "rates_of_sets": {}, **vars(beside)}


def judged_metric(metric: str, sets: Sequence[Sequence[Mapping[str, float | None]]]) -> str:
    """Return the metric to judge sets by: the one that is declared, if a trial has a value of it on each of them.

    Rank 1 among the people of training is not measured on a test set, and what needs to know who is who, on no list of
    pairs of people without names. Then sets are judged as usual, or by what every set has.

    Args:
        metric: The metric that is declared.
        sets: Of each set the metrics of each trial.
    """
    for candidate in (metric, Asked().metric):
        if all(any(metrics.get(candidate) is not None for metrics in of_set) for of_set in sets):
            return candidate
    usual: str = USUAL_OF_LISTS["metric"]
    return usual


def sampling_on_set(run: RunRecord, faces: SetRecord) -> Sampling:
    """Return how the trials sample people and trainings where all of them are measured on one set.

    Nothing is known of other people than these. Trainings of different splits share people, by which the ratio of the
    run corrects; a list of pairs has none of its own, so that its people are counted. Trainings on one and the same
    split differ in chance alone.
    """
    shares = [split.test.people / max(1, split.train.people + split.validation.people) for split in run.parts]
    ratio = run.ratio or (math.fsum(shares) / len(shares) if shares else 0.0)
    is_one_split = run.verdict is not None and run.verdict.same_people
    return Sampling(
        ratio=0.0 if is_one_split else ratio,
        average_seeds=run.average_seeds,
        same_people=True,
        people=faces.measured.people,
        tested=faces.measured.people,
    )


def _verdict(run: RunRecord, trials: Sequence[TrialRecord], sampling: Sampling) -> VerdictRecord | None:
    if run.verdict is None:
        return None
    asked = Asked(
        metric=judged_metric(run.verdict.metric, [[trial.metrics for trial in trials]]),
        equivalence=run.verdict.equivalence,
        # A run that looked several times has chosen by its own test part when it ended, so the same care is due here.
        until="decided" if run.verdict.looks else "seeds",
        looks=max(2, round(ALPHA / run.verdict.alpha)),
    )
    # No file asks nothing, but of a run that trains nothing no question may be left.
    asked = asked.model_copy(update={"questions": run.verdict.questions})
    return judge(trials, asked, sampling, reference=run.verdict.reference).model_copy(update={"in_question": ()})


def _notes(run: RunRecord, name: str) -> Iterator[Note]:
    """Yield the notes that hold on a test set: those on other sets do not."""
    mentions = re.compile(rf"test set {re.escape(name)}(?![\w.-])")
    for note in run.remarks:
        if note.kind in OF_SETS:
            if mentions.search(note.text):
                yield note
        elif note.kind not in OF_TEST_PART:
            yield note
