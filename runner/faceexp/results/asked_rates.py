"""What an experiment file asks for beside the usual metrics, and what of it the data cannot show, in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
    by_reason: dict[str, list[str]] = {}
    for name, reason in _refusals(plan):
        by_reason.setdefault(reason, []).append(name)
    notes = [
        Note("refused", f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not measured{reason}")
        for reason, names in by_reason.items()
    ]
    for note in notes:
        on_event(Noted("note", 1, 1, note=note))
    return dataclasses.replace(plan, notes=(*plan.notes, *notes)) if notes else plan


def _refusals(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the name of each thing that is not measured, and why."""
    asked = plan.resolved.experiment.evaluation
    splits = [plan.templates.posed(split) for split in plan.splits] if plan.templates else plan.splits
    parts = [plan.labels[split.test] for split in splits]
    if asked.fars:
        available = [
            impostors(people_of(labels, split.test_pairs)) for labels, split in zip(parts, splits, strict=True)
        ]
        for far in asked.fars:
            yield from _refusal(far_key(far), [each.refusal(far) for each in available])
    if not asked.identification:
        return
    supplies = [
        identification.supply_of(labels, _searches(plan, split, labels))
        for labels, split in zip(parts, splits, strict=True)
    ]
    reasons = [
        OF_A_LIST if split.test_pairs is not None else supply.refusal()
        for supply, split in zip(supplies, splits, strict=True)
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
        beside["standard_error"], beside["folds"] = folds.error_over_folds(values)
    return summary.model_copy(update=beside)
