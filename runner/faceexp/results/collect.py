"""From the records of all trials to the record of their run: means, comparisons, parts and budgets."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.splits import Split
from faceexp.data.templates import Templates
from faceexp.data.test_set import PlannedSet
from faceexp.engine.backend import gpu_of
from faceexp.engine.borders import unseeded_sentence
from faceexp.engine.determinism import nondeterministic_sentence
from faceexp.evaluation.acquisition import Acquisition
from faceexp.evaluation.named import known
from faceexp.evaluation.people import largest_share
from faceexp.experiment.published import Published
from faceexp.results.budgets import budgets_of, unequal_budgets, unequal_training
from faceexp.results.environment import plugins_of
from faceexp.results.failures import (
    AcquisitionRecord,
    acquisition_of,
    acquisition_of_set,
    failures_of_set,
    failures_record,
)
from faceexp.results.folder import RunFolder
from faceexp.results.groups import groups_record
from faceexp.results.judge import Sampling
from faceexp.results.on_set import compared, file_on_set, over_sets, sampling_on_set
from faceexp.results.published import CountPowerRecord, PublishedRecord, PublishedResultRecord
from faceexp.results.record import PartRecord
from faceexp.results.schema import (
    SCHEMA,
    RunRecord,
    SplitRecord,
    TrialFile,
    TrialRecord,
)
from faceexp.results.search_record import SearchRecord, SettingRecord
from faceexp.results.set_record import SetRecord
from faceexp.results.settings import hidden, judged
from faceexp.results.spreadsheets import csv_cells
from faceexp.results.verdict import VerdictRecord
from faceexp.search.tuned import people_note
from faceexp.statistics import comparisons as statistics
from faceexp.statistics import power
from faceexp.store import content_of, digest
from faceexp.values import Note, Plan

# A person with more than this share of the similar pairs is said to a reader.
RULING = 0.1


def collect(
    name: str,
    spec_hash: str,
    trials: Sequence[TrialRecord],
    plan: Plan,
    parts: Sequence[SplitRecord],
    sampling: Sampling,
    verdict: VerdictRecord,
    folder: RunFolder | None = None,
    settings: Sequence[SettingRecord] = (),
    search: SearchRecord | None = None,
) -> RunRecord:
    """Return the record of a run.

    Args:
        name: Name of the experiment.
        spec_hash: Digest of the experiment.
        trials: Every trial, in the order of the plan.
        plan: The plan that they are the trials of.
        parts: What :func:`split_records` says of the splits of the plan.
        sampling: How the trials sample people and trainings.
        verdict: What the trials answer.
        folder: Where the files of the trials are; only needed where groups are asked or images are lost.
        settings: The settings of losses that have several.
        search: What was searched before.
    """
    every, trials = trials, judged(trials, settings)
    experiment = plan.resolved.experiment
    began = time.perf_counter()
    ratio, average = sampling.ratio, sampling.average_seeds
    summary, comparisons = compared(trials, ratio, average_seeds=average)
    budgets = tuple(budgets_of(every, search.trials if search else None, hidden(settings)))
    compared_losses = [loss.entry for loss in plan.resolved.losses if loss.entry.label not in hidden(settings)]
    shared = people_note(search.people_tested, experiment.protocol) if search else None
    notes = (*plan.notes, *_uneven(plan), *([shared] if shared else []), *_device(experiment.device))
    by_group = plan.groups or any(each.groups for each in plan.sets)
    is_lost = plan.lost or any(each.lost for each in plan.sets)
    needed = [trial.id for trial in trials] if by_group or is_lost else []
    files = list(folder.read_trials(needed).values()) if folder else []
    sets = tuple(_set_record(each, files, plan.templates) for each in plan.sets)
    run = RunRecord(
        schema_number=SCHEMA,
        name=name,
        description=experiment.description,
        spec_hash=spec_hash,
        plugins=plugins_of(plan.resolved),
        protocol=experiment.protocol.kind,
        notes=tuple(note.text for note in notes),
        note_kinds=tuple(note.kind for note in notes),
        people_enough=max((note.people for note in notes if note.people), default=None),
        warnings=(
            *_unseeded(trials),
            *_nondeterministic(trials),
            *unequal_budgets(budgets),
            *unequal_training(compared_losses),
        ),
        method=statistics.METHOD,
        test_train_ratio=sum(len(split.test) / max(1, len(split.train)) for split in plan.splits) / len(plan.splits),
        variance_ratio=ratio,
        average_seeds=average,
        verdict=verdict,
        parts=tuple(parts),
        budgets=budgets,
        published=_published(experiment.published) if experiment.published else None,
        failures=failures_record(plan, files, ratio, average_seeds=average),
        groups=groups_record(plan.groups, files),
        chosen_by=experiment.evaluation.choose_by,
        trials=tuple(every),
        settings=tuple(settings),
        search=search,
        measured_on=None,
        test_sets=sets,
        over_sets=over_sets(trials, known(verdict.metric), sets),
        summary=summary,
        comparisons=comparisons,
        seconds={"statistics": time.perf_counter() - began},
    )
    return run.model_copy(update={"test_sets": tuple(_with_failures(run, plan, files))})


def _with_failures(run: RunRecord, plan: Plan, files: Sequence[TrialFile]) -> Iterator[SetRecord]:
    """Yield the record of each test set with the error rates of each row that count what cannot be used of it."""
    for faces, record in zip(plan.sets, run.test_sets, strict=True):
        sampling = sampling_on_set(run, record)
        on_it = [file_on_set(file, faces.name) for file in files] if faces.lost else []
        failures = failures_of_set(faces, plan, on_it, sampling.ratio, average_seeds=sampling.average_seeds)
        yield record.model_copy(update={"failures": failures})


def _uneven(plan: Plan) -> Iterator[Note]:
    """Yield a note where one person would rule the metrics, if every pair counted alike."""
    shares = [
        (largest_share(plan.labels[split.test]), len(np.unique(plan.labels[split.test])))
        for split in (plan.templates.posed(split) if plan.templates else split for split in plan.splits)
        if split.test_pairs is None
    ]
    # Among few people each holds a large share, however alike they are.
    share, people = max(shares, default=(0.0, 0))
    if share > RULING and share * people > 2:
        text = (
            f"one person holds {share * 100:.0f} % of the similar pairs of a test part; every person counts alike, so "
            "that the metrics are not ruled by this one, and the ones that count every pair alike end in _pooled"
        )
        yield Note("uneven", text)


def _unseeded(trials: Sequence[TrialRecord]) -> Iterator[str]:
    """Yield a sentence for each loss that draws random numbers for which there is no seed."""
    drawing = [trial for trial in trials if trial.unseeded]
    for loss in dict.fromkeys(trial.loss for trial in drawing):
        labels = dict.fromkeys(trial.label for trial in drawing if trial.loss == loss)
        operations = {name for trial in drawing if trial.loss == loss for name in trial.unseeded}
        yield unseeded_sentence(loss, list(labels), operations)


def _nondeterministic(trials: Sequence[TrialRecord]) -> Iterator[str]:
    """Yield a sentence where operations that have no deterministic form were needed."""
    labels = dict.fromkeys(trial.label for trial in trials if trial.nondeterministic)
    if labels:
        yield nondeterministic_sentence(labels)


def _device(device: str) -> Iterator[Note]:
    """Yield a note where a GPU has trained."""
    if gpu := gpu_of(device):
        yield Note("device", f"trained on a GPU, {gpu}; another kind of GPU, or a processor, gives other last digits")


def split_records(plan: Plan, splits: Sequence[Split]) -> list[SplitRecord]:
    """Return how much data the parts of some splits of a plan hold, and a key of each."""
    return [
        _split_record(split, plan.labels, plan.data.fingerprint, acquisition_of(plan, split), plan.templates, wanted)
        for split in splits
        for wanted in [_wanted_pairs(plan, split)]
    ]


def _wanted_pairs(plan: Plan, split: Split) -> int:
    """Return how many pairs the list of a test part names; 0 where nothing is lost, or templates are judged."""
    if plan.lost is None or split.test_pairs is None or plan.templates:
        return 0
    tested = plan.lost.tested[split.fold]
    return tested.similar + tested.different


def _split_record(
    split: Split,
    labels: IntArray,
    fingerprint: str,
    lost: Acquisition | None = None,
    templates: Templates | None = None,
    wanted_pairs: int = 0,
) -> SplitRecord:
    """Return how much data each part holds, and a key that two runs share if they cut the same data in the same way."""
    cut = [part.tolist() for part in (split.train, split.validation, split.test)]
    judged = None if split.test_pairs is None else content_of(split.test_pairs)
    of_templates = [] if templates is None else [templates.key]
    posed = split if templates is None else templates.posed(split)
    return SplitRecord(
        seed=split.seed,
        fold=split.fold,
        key=digest([fingerprint, cut, judged, *of_templates]),
        train=PartRecord(images=len(split.train), people=len(np.unique(labels[split.train]))),
        validation=_judged_part(labels[posed.validation], posed.validation_pairs, len(split.validation)),
        test=_judged_part(labels[posed.test], posed.test_pairs, len(split.test), wanted_pairs),
        acquisition=lost and AcquisitionRecord.model_validate(lost),
    )


def _judged_part(
    labels: IntArray, pairs: IntArray | None, images: int, wanted_pairs: int = 0, wanted_images: int = 0
) -> PartRecord:
    """Return how much data a part holds whose pairs are judged: the pairs that a list names, or every two.

    Args:
        labels: Whom its images show, or its templates.
        pairs: Places of these.
        images: How many images it has.
        wanted_pairs: How many pairs the list names; 0 where that is not known.
        wanted_images: How many images it would have if all could be used; 0 where that is not known.
    """
    if pairs is not None:
        similar, total = int((labels[pairs[:, 0]] == labels[pairs[:, 1]]).sum()), len(pairs)
    else:
        counts = np.bincount(labels).astype(np.int64)
        similar, total = int((counts * (counts - 1) // 2).sum()), len(labels) * (len(labels) - 1) // 2
    # What everybody has stays out of the files.
    wanted = {"of_pairs": (wanted_pairs, total), "of_images": (wanted_images, images)}
    lacking = {key: most for key, (most, there) in wanted.items() if most > there}
    return PartRecord(images=images, people=len(np.unique(labels)), pairs=total, similar=similar, **lacking)


def _set_record(faces: PlannedSet, files: Sequence[TrialFile], templates: Templates | None) -> SetRecord:
    """Return how much a test set holds, and what it shares with the data that are trained on."""
    judged = faces if templates is None else faces.posed(templates)
    wanted_pairs = faces.wanted_pairs if templates is None else 0
    lost = acquisition_of_set(faces)
    return SetRecord(
        name=faces.name,
        source=faces.source,
        key=faces.key,
        measured=_judged_part(judged.labels, judged.pairs, len(faces.rows), wanted_pairs, faces.wanted_images),
        shared=Counter(each.kind for each in faces.shared),
        groups=groups_record(faces.groups, [file_on_set(file, faces.name) for file in files]),
        acquisition=lost and AcquisitionRecord.model_validate(lost),
        dropped_people=faces.dropped_people,
        dropped_images=faces.dropped_images,
    )


def overlap_csv(plan: Plan) -> str:
    """Return everything that test sets share with the data that are trained on, as a CSV file."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("test_set", "kind", "of_test_set", "of_training_data"))
    for faces in plan.sets:
        writer.writerows(csv_cells((faces.name, each.kind, each.of_set, each.of_training)) for each in faces.shared)
    return file.getvalue()


def _published(published: Published) -> PublishedRecord:
    """Return the results of others with what their counts of right answers can show."""
    right_pairs = {row.label: row.right for row in published.results}
    return PublishedRecord(
        source=published.source,
        pairs=published.pairs,
        results=tuple(PublishedResultRecord.model_validate(row) for row in published.results),
        power=CountPowerRecord.model_validate(power.from_counts(right_pairs, published.pairs)),
    )
