"""From a trained trial to its metrics, threshold, diagnostics and calibration. The store keeps what was measured."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from faceexp.arrays import IntArray, on_one_core
from faceexp.data.splits import Split
from faceexp.data.test_set import PlannedSet
from faceexp.engine.failures import explained
from faceexp.engine.pretrain import DivergedError
from faceexp.evaluation.calibration import calibrated
from faceexp.evaluation.diagnostics import Diagnostics, projection
from faceexp.evaluation.measured_pairs import Pairs
from faceexp.evaluation.metrics import POOLED, examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.people import Weighting, people_of
from faceexp.evaluation.retrieval import rank_1
from faceexp.experiment.evaluation import Evaluation
from faceexp.results.asked_rates import fold_accuracies, fold_accuracy, identified
from faceexp.results.evidence import DiagnosticsRecord, JudgedPairRecord, MapRecord, RatesRecord, SetEvidenceRecord
from faceexp.results.group_records import BEST, TallyRecord
from faceexp.results.groups import tallies_of
from faceexp.results.identification import IdentificationRecord
from faceexp.results.jsonable import to_json
from faceexp.results.posed import as_test_part, posed
from faceexp.results.record import BudgetRecord, CalibrationRecord, Number, Record
from faceexp.results.schema import CheckpointRecord, TrialFile
from faceexp.results.set_record import SetRatesRecord
from faceexp.store import Inputs, Store, StoreError, content_of, digest, source_digest
from faceexp.values import Plan, TrainedTrial

# The modules that decide what is measured of a trial, and in which form the store keeps it. When one of them changes,
# trials are measured again.
SOURCES = (
    "data.templates",
    "evaluation",
    "results.asked_rates",
    "results.evidence",
    "results.group_records",
    "results.groups",
    "results.identification",
    "results.measure",
    "results.posed",
    "results.record",
    "results.schema",
    "results.set_record",
)
# The embeddings of so many people are drawn. Nobody could tell the colours of more people apart.
SHOWN_PEOPLE = 20
# The keys of identification, and what counts alike in each.
_RANK_1: Mapping[str, Weighting] = {"rank_1": "people", "rank_1" + POOLED: "pairs"}


class Measurement(Record):
    """What is measured of a trial that ended well, as the store keeps it."""

    metrics: Mapping[str, Number]
    threshold: Number
    diagnostics: DiagnosticsRecord
    calibration: CalibrationRecord
    groups: tuple[TallyRecord, ...] = ()
    met: Mapping[str, Number] = Field(default_factory=dict)
    identification: IdentificationRecord | None = None
    fold_accuracies: tuple[Number, ...] = ()
    auc_without: Mapping[int, Number] = Field(default_factory=dict)
    seconds: float = Field(description="How long the measuring took when it was done.")
    sets: Mapping[str, Measurement] = Field(default_factory=dict, description="The same on each test set.")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A trial with everything that is measured of it, and the numbers of the images of its hardest pairs."""

    trial: TrialFile
    pictures: tuple[int, ...] = ()


def measure(trained: TrainedTrial, plan: Plan, store: Store | None = None) -> Measured:
    """Return the record of a trial with its metrics: the threshold is chosen on validation, all else measured on test.

    Trials of the first seed and fold also give the embeddings to draw and the images of their hardest pairs. A reader
    can compare the losses by them, because their test people are the same for every loss.

    A trial that cannot be measured has failed, and its record says why: the other trials of the run go on.

    Args:
        trained: The trial and its embeddings.
        plan: The plan that it is part of.
        store: Where a measurement of the same trial is looked up, and where a new one is kept.

    Raises:
        OSError: The store cannot be read or written, which no other trial could do either.
    """
    began = time.perf_counter()
    if trained.status == "ok":
        try:
            return _measured_or_found(trained, plan, store, began)
        except (OSError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the other trials with it
            status, reason = explained(error)
            reason = reason if status == "diverged" else f"it could not be measured: {reason}"
            trained = TrainedTrial(
                trained.trial, trained.split, status, reason, seconds=trained.seconds, reused=trained.reused
            )
    return Measured(_record(trained, None, time.perf_counter() - began))


def _measured_or_found(trained: TrainedTrial, plan: Plan, store: Store | None, began: float) -> Measured:
    """Return the record of a trial that ended well; its measurement is looked up in the store, if there is one."""

    def measured() -> Measurement:
        with on_one_core(max(values.size for values in trained.embeddings.values())):
            sets = {each.name: _of_set(trained, plan, each, began) for each in plan.sets}
            return _measured(posed(trained, plan), plan, began).model_copy(update={"sets": sets})

    if store is None or not trained.key:
        measurement = measured()
    else:

        def make(folder: Path) -> None:
            (folder / "measurement.json").write_text(to_json(measured()), encoding="utf-8")

        artefact = store.get("evaluation", _inputs(trained, plan), make)
        text = (artefact.path / "measurement.json").read_text(encoding="utf-8")
        measurement = Measurement.model_validate_json(text)
        if artefact.reused:
            trained = dataclasses.replace(trained, reused=(*trained.reused, "evaluate"))
    drawn = [measurement, *measurement.sets.values()] if _is_first(trained, plan) else []
    pictures = {image for each in drawn for pair in each.diagnostics.hardest for image in pair.images}
    return Measured(_record(trained, measurement, measurement.seconds), tuple(sorted(pictures)))


def _inputs(trained: TrainedTrial, plan: Plan) -> Inputs:
    """Return everything that a measurement depends on."""
    split = trained.split
    parts = [split.train, split.validation, split.test]
    return {
        "trained": trained.key,
        "distance": trained.distance,
        "parts": digest([[part.tolist(), plan.labels[part].tolist()] for part in parts]),
        "pairs": digest([None if p is None else content_of(p) for p in (split.validation_pairs, split.test_pairs)]),
        # The diagnostics name images and people, so they depend on how both are called.
        "images": plan.images_key,
        "identities": digest(plan.identities),
        "asked": digest(_asked(plan).model_dump(mode="json")),
        "split_seed": plan.resolved.experiment.protocol.split_seed,
        "sets": digest([[each.name, each.key, each.rows.tolist(), each.identities] for each in plan.sets]),
        "groups_of_sets": digest([[g.column, g.names, g.group.tolist()] for each in plan.sets for g in each.groups]),
        "first": _is_first(trained, plan),
        "groups": digest([[each.column, each.names, each.group[split.test].tolist()] for each in plan.groups]),
        "templates": plan.templates and plan.templates.key,
        "code": _code(),
    }


def _asked(plan: Plan) -> Evaluation:
    return plan.resolved.experiment.evaluation


def _of_set(trained: TrainedTrial, plan: Plan, faces: PlannedSet, began: float) -> Measurement:
    """Return what is measured of a trial on a test set."""
    there, of_set = as_test_part(trained, plan, faces)
    return _measured(posed(there, of_set), of_set, began, faces.posed(plan.templates) if plan.templates else faces)


def _is_first(trained: TrainedTrial, plan: Plan) -> bool:
    """Return whether a trial belongs to the first seed and fold."""
    return (trained.trial.seed, trained.trial.fold) == (plan.splits[0].seed, plan.splits[0].fold)


@functools.cache
def _code() -> str:
    """Return a digest of all code that measures. If it changes, trials are measured again, but not trained again."""
    versions = [importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")]
    return digest([*versions, source_digest(*SOURCES)])


def _measured(trained: TrainedTrial, plan: Plan, began: float, faces: PlannedSet | None = None) -> Measurement:
    """Return what is measured of a trial that ended well; if ``faces`` are its test part, their folds count."""
    split = trained.split
    validation, test = plan.labels[split.validation], plan.labels[split.test]
    embeddings = trained.embeddings
    for part, values in embeddings.items():
        # Pixels, which are bytes, are finite; to ask each of them would take as much memory again.
        if values.dtype != np.uint8 and not np.isfinite(values).all():
            raise DivergedError(f"the embeddings of the {part} images are not finite")
    # The distances of validation get no name, so that their memory is free before those of test need as much.
    calibration = calibrated(_validation_distances(trained, validation), people_of(validation, split.validation_pairs))
    threshold = calibration.threshold
    aims = {far: threshold for far, threshold in calibration.thresholds.items() if threshold is not None}
    examined = examine(
        embeddings["test"],
        test,
        threshold,
        trained.distance,
        split.test_pairs,
        [*aims.values(), threshold],
        weights="people",
        fars=_asked(plan).fars,
        leave_out=trained.trial.kind == "pretrained",  # of what is trained, seeds are further evidence
        # People who are made up of pairs may be one person several times, so a search for somebody would say nothing.
        searches=faces.people_known if faces else plan.data.people_known,
    )
    metrics = dict(examined.metrics)
    accuracies = fold_accuracies(trained, test, faces.folds) if faces else ()
    if accuracies:
        metrics["fold_accuracy"] = float(np.mean(accuracies))
    elif faces is None and split.validation_pairs is not None and split.test_pairs is not None:
        metrics["fold_accuracy"] = fold_accuracy(trained, validation, test)
    found = identified(trained, test, plan)
    metrics |= found.metrics
    if "train" in embeddings:
        # The people who are tested are enrolled with their images that are not tested.
        gallery = np.concatenate([embeddings["train"], embeddings["validation"]])
        enrolled = plan.labels[np.concatenate([split.train, split.validation])]
        for key, weights in _RANK_1.items():
            metrics[key] = rank_1(gallery, enrolled, embeddings["test"], test, trained.distance, weights)
    # The rates on test at the thresholds that validation chose for certain false accept rates.
    *at_aims, (test_far, test_tar) = examined.rates
    met = {aim: RatesRecord(far=far, tar=tar) for aim, (far, tar) in zip(aims, at_aims, strict=True)}
    drawn = {"map": _map(trained, test, plan)} if _is_first(trained, plan) else {}
    return Measurement(
        metrics=metrics,
        threshold=threshold,
        diagnostics=_diagnostics(examined.diagnostics, split, plan, met, drawn),
        calibration=CalibrationRecord(
            **vars(calibration),
            test_far=test_far,
            test_tar=test_tar,
            test_far_at={aim: rates.far for aim, rates in met.items()},
            test_people=len(np.unique(test)),
            test_seen=len(np.intersect1d(test, plan.labels[np.concatenate([split.train, split.validation])])),
            test_accuracy_range=examined.accuracy_range,
        ),
        groups=tuple(tallies_of(trained, plan, {BEST: threshold, **aims})),
        met={**({key: rate.met for key, rate in examined.at_fars.items()} if _asked(plan).fars else {}), **found.met},
        identification=found.record,
        fold_accuracies=accuracies,
        auc_without=examined.auc_without,
        seconds=time.perf_counter() - began,
    )


def _validation_distances(trained: TrainedTrial, labels: IntArray) -> Pairs:
    """Return the distances of the validation pairs; every person counts alike, unless a list names the pairs."""
    listed = trained.split.validation_pairs
    measured = pair_distances(trained.embeddings["validation"], labels, trained.distance, listed)
    return measured if listed is not None else measured.person_averaged(labels)


def _record(trained: TrainedTrial, measurement: Measurement | None, seconds: float) -> TrialFile:
    """Return the record of a trial. A trial that did not end well has no measurement."""
    trial = trained.trial
    of_sets = measurement.sets if measurement else {}
    return TrialFile(
        id=trial.id,
        loss=trial.name,
        label=trial.label,
        kind=trial.kind,
        seed=trial.seed,
        fold=trial.fold,
        status=trained.status,
        reason=trained.reason,
        metrics=measurement.metrics if measurement else {},
        met=measurement.met if measurement else {},
        identification=measurement.identification if measurement else None,
        sets={name: each.metrics for name, each in of_sets.items()},
        rates_of_sets={
            name: SetRatesRecord.model_validate(each)
            for name, each in of_sets.items()
            if each.met or each.identification or each.fold_accuracies or each.auc_without
        },
        fold_accuracies=measurement.fold_accuracies if measurement else (),
        auc_without=measurement.auc_without if measurement else {},
        threshold=measurement.threshold if measurement else None,
        distance=trained.distance,
        best_step=trained.best_step,
        seconds={
            **dict.fromkeys(("pretrain", "features", "finetune"), 0.0),
            **trained.seconds,
            "evaluate": seconds,
        },
        reused=trained.reused,
        unseeded=trained.unseeded,
        nondeterministic=trained.nondeterministic,
        curve=tuple(CheckpointRecord.model_validate(point) for point in trained.curve),
        budget=BudgetRecord.model_validate(trained.budget),
        evidence=measurement.diagnostics if measurement else None,
        calibration=measurement.calibration if measurement else None,
        evidence_of_sets={
            name: SetEvidenceRecord(evidence=each.diagnostics, calibration=each.calibration, groups=each.groups)
            for name, each in of_sets.items()
        },
        # A key that nobody asks for stays out of the files.
        **({"groups": measurement.groups} if measurement and measurement.groups else {}),
    )


def _diagnostics(
    diagnostics: Diagnostics,
    split: Split,
    plan: Plan,
    met: Mapping[str, RatesRecord],
    drawn: Mapping[str, MapRecord | None],
) -> DiagnosticsRecord:
    """Return the diagnostics, where rows of the test part become images of the data set and names of people."""
    hardest = []
    for pair in diagnostics.hardest:
        first, second = int(split.test[pair.first]), int(split.test[pair.second])
        hardest.append(
            JudgedPairRecord(
                distance=pair.distance,
                similar=pair.similar,
                accepted=pair.accepted,
                images=(first, second),
                identities=(plan.identities[plan.labels[first]], plan.identities[plan.labels[second]]),
            )
        )
    return DiagnosticsRecord(
        far=diagnostics.far,
        tar=diagnostics.tar,
        edges=diagnostics.edges,
        similar=diagnostics.similar,
        different=diagnostics.different,
        hardest=tuple(hardest),
        met=met,
        **drawn,
    )


def _map(trained: TrainedTrial, labels: IntArray, plan: Plan) -> MapRecord | None:
    """Return the embeddings of at most :data:`SHOWN_PEOPLE` people in a plane, or nothing if there is no such plane."""
    chosen = np.isin(labels, np.unique(labels)[:SHOWN_PEOPLE])
    drawn = projection(trained.embeddings["test"], trained.distance, chosen)
    if drawn is None:
        return None
    names = tuple(plan.identities[labels[row]] for row in drawn.row)
    return MapRecord(x=drawn.x, y=drawn.y, identity=names, explained=drawn.explained)
