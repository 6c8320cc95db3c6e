"""What an experiment file asks for beside the usual metrics, and what of it the data cannot show, in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.splits import Split
from faceexp.evaluation import folds, identification
from faceexp.evaluation.catalogue import FOLD_ACCURACY, IDENTIFICATION
from faceexp.evaluation.fars import impostors
from faceexp.evaluation.named import far_key, metric_of
from faceexp.evaluation.people import people_of
from faceexp.results.identification import IdentificationRecord
from faceexp.results.schema import SummaryRecord, TrialRecord
from faceexp.values import EventCallback, Note, Noted, Plan, TrainedTrial

OF_A_LIST = "a list of pairs says whom its pairs show, and not whom every image shows"


@dataclass(frozen=True)
class Found:
    """What identification found in a trial; nothing where it was not asked for, or refused.

    Attributes:
        metrics: By key, those of all searches alike among them.
        met: The false positive identification rate that was met, by the key of the metric.
        record: The gallery and the ranks.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    met: Mapping[str, float] = field(default_factory=dict)
    record: IdentificationRecord | None = None


def fold_accuracy(trained: TrainedTrial, validation: IntArray, test: IntArray) -> float:
    """Return the accuracy of a fold of listed pairs, as the field counts it.

    Args:
        trained: The trial; its split has pairs.
        validation: int (N,), the identities of the validation images.
        test: The same for the test images.
    """
    split = trained.split
    tuned, judged = (
        (folds.squared_distances(trained.embeddings[part], pairs), labels[pairs[:, 0]] == labels[pairs[:, 1]])
        for part, pairs, labels in (
            ("validation", split.validation_pairs, validation),
            ("test", split.test_pairs, test),
        )
        if pairs is not None
    )
    return folds.accuracy(*judged, folds.best_threshold(*tuned))


def fold_accuracies(trained: TrainedTrial, labels: IntArray, fold_of_pair: IntArray | None) -> tuple[float, ...]:
    """Return the accuracy of each fold of a test set at the threshold that is best on its others, as the field does.

    Args:
        trained: The trial; its split has the pairs of the set.
        labels: int (N,), the identities of the images of the set.
        fold_of_pair: int (P,); ``None`` where there are no folds.
    """
    pairs = trained.split.test_pairs
    if pairs is None or fold_of_pair is None:
        return ()
    squared, same = (
        folds.squared_distances(trained.embeddings["test"], pairs),
        labels[pairs[:, 0]] == labels[pairs[:, 1]],
    )
    numbers = np.unique(fold_of_pair)
    if len(numbers) < 2:
        return ()
    return tuple(
        folds.accuracy(squared[here], same[here], folds.best_threshold(squared[~here], same[~here]))
        for here in (fold_of_pair == number for number in numbers)
    )


def identified(trained: TrainedTrial, labels: IntArray, plan: Plan) -> Found:
    """Return what identification finds in a trial.

    Args:
        trained: The trial.
        labels: int (N,), the identities of its test images.
        plan: The plan that it is part of.
    """
    if not plan.resolved.experiment.evaluation.identification:
        return Found()
    drawn = _searches(plan, trained.split, labels)
    supply = identification.supply_of(labels, drawn)
    if trained.split.test_pairs is not None or supply.refusal():
        return Found(dict.fromkeys(IDENTIFICATION, math.nan))
    found = identification.identify(trained.embeddings["test"], labels, trained.distance, drawn)
    return Found(
        found.metrics,
        found.met,
        IdentificationRecord(gallery=supply.enrolled, strangers=supply.strangers, draws=len(drawn), cmc=found.cmc),
    )


def _searches(plan: Plan, split: Split, labels: IntArray) -> list[identification.Searches]:
    split_seed = plan.resolved.experiment.protocol.split_seed
    return identification.draw_searches(labels, [split.seed if split_seed is None else split_seed, split.fold])


def with_refusals(plan: Plan, on_event: EventCallback) -> Plan:
    """Return a plan with a note for each thing that its file asks for and its test parts cannot show; they are told."""
    splits = [plan.templates.posed(split) for split in plan.splits] if plan.templates else plan.splits
    own = [(split, plan.labels[split.test]) for split in splits]
    notes = [Note("refused", text) for text in _refused(plan, own)]
    for faces in plan.sets:
        judged = faces.posed(plan.templates) if plan.templates else faces
        of_set = [(dataclasses.replace(plan.splits[0], test_pairs=judged.pairs), judged.labels)]
        notes += [Note("test_set", f"test set {faces.name}: {text}") for text in _refused(plan, of_set)]
    for note in notes:
        on_event(Noted("note", 1, 1, note=note))
    return dataclasses.replace(plan, notes=(*plan.notes, *notes)) if notes else plan


def _refused(plan: Plan, parts: Sequence[tuple[Split, IntArray]]) -> Iterator[str]:
    """Yield a sentence for each reason why something is not measured.

    Args:
        plan: What the file asks for.
        parts: Splits, each with the identities of its test images.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in _refusals(plan, parts):
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not measured{reason}"


def _refusals(plan: Plan, parts: Sequence[tuple[Split, IntArray]]) -> Iterator[tuple[str, str]]:
    """Yield the name of each thing that is not measured, and why."""
    asked = plan.resolved.experiment.evaluation
    if asked.fars:
        available = [impostors(people_of(labels, split.test_pairs)) for split, labels in parts]
        for far in asked.fars:
            yield from _refusal(far_key(far), [each.refusal(far) for each in available])
    if not asked.identification:
        return
    supplies = [identification.supply_of(labels, _searches(plan, split, labels)) for split, labels in parts]
    reasons = [
        OF_A_LIST if split.test_pairs is not None else supply.refusal()
        for supply, (split, _) in zip(supplies, parts, strict=True)
    ]
    yield from _refusal("identification", reasons)
    for fpir in identification.FPIRS if not any(reasons) else ():
        yield from _refusal(identification.tpir_key(fpir), [supply.refusal_at(fpir) for supply in supplies])


def _refusal(key: str, reasons: Sequence[str | None]) -> Iterator[tuple[str, str]]:
    """Yield the name of a metric, and why it is not measured in some of the test parts; nothing if it is in all."""
    refused = [reason for reason in reasons if reason]
    if refused:
        metric = metric_of(key)
        where = "" if len(refused) == len(reasons) else f" in {len(refused)} of {len(reasons)} test parts"
        yield metric.name if metric else key, f"{where}: {refused[0]}"


def with_rates(summary: SummaryRecord, trials: Sequence[TrialRecord]) -> SummaryRecord:
    """Return a mean with what stands beside it: the error over folds, or the rate that was met."""
    of_row = [trial for trial in trials if trial.label == summary.label and trial.status == "ok"]
    met = [rate for trial in of_row if (rate := trial.met.get(summary.metric)) is not None]
    beside: dict[str, float | None] = {
        "standard_error": None,
        "folds": None,
        "met": math.fsum(met) / len(met) if met else None,
    }
    if summary.metric == FOLD_ACCURACY.key:
        values = {trial.cell: value for trial in of_row if (value := trial.metrics.get(summary.metric)) is not None}
        # On a test set each trial judges all folds; of the data set's own list, it judges one.
        of_sets = {
            (place, fold): value
            for place, trial in enumerate(of_row)
            for fold, value in enumerate(trial.fold_accuracies)
            if value is not None
        }
        beside["standard_error"], beside["folds"] = folds.error_over_folds(of_sets or values)
    return summary.model_copy(update=beside)
