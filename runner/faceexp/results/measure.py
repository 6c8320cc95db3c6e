"""From a trained trial to what is known of it: metrics, threshold, diagnostics, calibration; kept in the store."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.splits import Split
from faceexp.evaluation.calibration import calibrated
from faceexp.evaluation.diagnostics import projection
from faceexp.evaluation.metrics import Examined, examine
from faceexp.evaluation.pairs import pair_distances
from faceexp.evaluation.retrieval import rank_1
from faceexp.results.jsonable import to_json, to_jsonable
from faceexp.store import Store, digest, source_digest
from faceexp.values import Plan, TrainedTrial, TrialResult

# What of faceexp decides what is measured of a trial.
SOURCES = ("evaluation", "results.measure")


SHOWN_PEOPLE = 20


@dataclasses.dataclass(frozen=True)
class Measured:
    """A trial's result, and what a report shows beside its numbers; ``None`` where it failed."""

    result: TrialResult
    evidence: dict[str, Any] | None = None
    pictures: tuple[int, ...] = ()
    calibration: dict[str, Any] | None = None


def measure(trained: TrainedTrial, plan: Plan, store: Store | None = None) -> Measured:
    """Return a trial's metrics and evidence: the threshold from validation, everything else from test.

    The first seed and fold also gives the embeddings to draw and the images of its hardest pairs: they are the same
    people for every loss.

    Args:
        trained: The trial and its embeddings.
        plan: What it is part of.
        store: Where the same measurement is looked up, and kept.
    """
    began = time.perf_counter()
    if trained.status != "ok":
        return Measured(_result(trained, {}, None, time.perf_counter() - began))
    if store is None or not trained.key:
        found = _judged(trained, plan)
        seconds = time.perf_counter() - began
    else:

        def make(folder: Path) -> None:
            judged = _judged(trained, plan)
            judged["seconds"] = time.perf_counter() - began
            (folder / "judged.json").write_text(to_json(judged), encoding="utf-8")

        artefact = store.get("evaluation", _judged_by(trained, plan), make)
        found = json.loads((artefact.path / "judged.json").read_text(encoding="utf-8"))
        seconds = found["seconds"]
        if artefact.reused:
            trained = dataclasses.replace(trained, reused=(*trained.reused, "evaluate"))
    result = _result(trained, found["metrics"], found["threshold"], seconds)
    return Measured(result, found["evidence"], tuple(found["pictures"]), found["calibration"])


def _judged_by(trained: TrainedTrial, plan: Plan) -> dict[str, Any]:
    """Return what determines a measurement."""
    split = trained.split
    parts = [split.train, split.validation, split.test]
    return {
        "trained": trained.key,
        "distance": trained.distance,
        "parts": digest([[part.tolist(), plan.labels[part].tolist()] for part in parts]),
        "pairs": digest([None if p is None else p.tolist() for p in (split.validation_pairs, split.test_pairs)]),
        # The evidence names images and people.
        "images": plan.images_key,
        "identities": digest(plan.identities),
        "first": _is_first(trained, plan),
        "code": _code(),
    }


def _is_first(trained: TrainedTrial, plan: Plan) -> bool:
    return (trained.trial.seed, trained.trial.fold) == (plan.splits[0].seed, plan.splits[0].fold)


@functools.cache
def _code() -> str:
    """Digest of everything that measures: another metric, and all trials are measured again, but none is trained."""
    versions = [importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")]
    return digest([*versions, source_digest(*SOURCES)])


def _judged(trained: TrainedTrial, plan: Plan) -> dict[str, Any]:
    """Return metrics, threshold, evidence, pictures and calibration, as JSON data."""
    split = trained.split
    validation, test = plan.labels[split.validation], plan.labels[split.test]
    embeddings = trained.embeddings
    # Their distances have no name here, so that they are gone before those of test take as much memory.
    calibration = calibrated(
        pair_distances(embeddings["validation"], validation, trained.distance, split.validation_pairs)
    )
    threshold = calibration.threshold
    aims = {far: threshold for far, threshold in calibration.thresholds.items() if threshold is not None}
    examined = examine(embeddings["test"], test, threshold, trained.distance, split.test_pairs, list(aims.values()))
    metrics = dict(examined.metrics)
    if "train" in embeddings:
        # Whoever is tested was enrolled with the images that are not tested.
        gallery = np.concatenate([embeddings["train"], embeddings["validation"]])
        enrolled = plan.labels[np.concatenate([split.train, split.validation])]
        metrics["rank_1"] = rank_1(gallery, enrolled, embeddings["test"], test, trained.distance)
    first = _is_first(trained, plan)
    evidence = _evidence(examined, split, plan)
    # What came of the false accept rates that validation aimed at.
    evidence["met"] = {
        aim: to_jsonable({"far": far, "tar": tar}) for aim, (far, tar) in zip(aims, examined.rates, strict=True)
    }
    if first:
        evidence["map"] = _map(trained, test, plan)
    pictures = {image for pair in evidence["hardest"] for image in pair["images"]} if first else set()
    return {
        "metrics": to_jsonable(metrics),
        "threshold": to_jsonable(threshold),
        "evidence": to_jsonable(evidence),
        "pictures": sorted(pictures),
        "calibration": to_jsonable(calibration),
    }


def _result(
    trained: TrainedTrial, metrics: Mapping[str, float | None], threshold: float | None, seconds: float
) -> TrialResult:
    trial = trained.trial
    return TrialResult(
        id=trial.id,
        loss=trial.name,
        label=trial.label,
        kind=trial.kind,
        seed=trial.seed,
        fold=trial.fold,
        status=trained.status,
        reason=trained.reason,
        metrics=dict(metrics),
        threshold=threshold,
        distance=trained.distance,
        best_step=trained.best_step,
        seconds={
            **dict.fromkeys(("pretrain", "features", "finetune"), 0.0),
            **trained.seconds,
            "evaluate": seconds,
        },
        reused=trained.reused,
        curve=trained.curve,
        budget=trained.budget,
    )


def _evidence(examined: Examined, split: Split, plan: Plan) -> dict[str, Any]:
    """Return the evidence with rows of the test part replaced by images of the data set and names of people."""
    found = to_jsonable(examined.evidence)
    for pair in found["hardest"]:
        images = [int(split.test[pair.pop("first")]), int(split.test[pair.pop("second")])]
        pair |= {"images": images, "identities": [plan.identities[plan.labels[image]] for image in images]}
    return cast("dict[str, Any]", found)


def _map(trained: TrainedTrial, labels: IntArray, plan: Plan) -> dict[str, Any] | None:
    """Return the embeddings of at most twenty people in the plane: more colours nobody tells apart."""
    chosen = np.isin(labels, np.unique(labels)[:SHOWN_PEOPLE])
    drawn = projection(trained.embeddings["test"], trained.distance, chosen)
    if drawn is None:
        return None
    names = [plan.identities[labels[row]] for row in drawn.row]
    return {"x": list(drawn.x), "y": list(drawn.y), "identity": names, "explained": drawn.explained}
