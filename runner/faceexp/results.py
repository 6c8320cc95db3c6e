"""What a run writes down: the record of each trial, ``results.json``, ``environment.json``.

Evaluation and statistics meet here; everything returned is JSON data, or a value that :func:`plain` turns into it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from faceexp import power, statistics
from faceexp.calibration import calibrated
from faceexp.contract import GROUPS, IntArray
from faceexp.evaluation import HIGHER_IS_BETTER, Examined, examine, projection, rank_1
from faceexp.evaluation.pairs import pair_distances
from faceexp.experiment import Published
from faceexp.store import Store, digest, source_digest
from faceexp.values import BUDGET_SLACK, BUDGETS, Plan, Resolved, Split, TrainedTrial, TrialResult

SCHEMA = 1
# What of faceexp decides what is measured of a trial.
SOURCES = ("evaluation", "calibration", "results")
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
            (folder / "judged.json").write_text(written(judged), encoding="utf-8")

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
        aim: plain({"far": far, "tar": tar}) for aim, (far, tar) in zip(aims, examined.rates, strict=True)
    }
    if first:
        evidence["map"] = _map(trained, test, plan)
    pictures = {image for pair in evidence["hardest"] for image in pair["images"]} if first else set()
    return {
        "metrics": plain(metrics),
        "threshold": plain(threshold),
        "evidence": plain(evidence),
        "pictures": sorted(pictures),
        "calibration": plain(calibration),
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
    found = plain(examined.evidence)
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


def compare_all(name: str, spec_hash: str, results: Sequence[TrialResult], plan: Plan) -> dict[str, Any]:
    """Return the content of ``results.json``."""
    experiment = plan.resolved.experiment
    began = time.perf_counter()
    # Trials share people between training parts; how much decides how far their spread understates the truth.
    ratio = sum(len(split.test) / len(split.train) for split in plan.splits) / len(plan.splits)
    measured = {metric for result in results for metric in result.metrics}
    directions = {metric: higher for metric, higher in HIGHER_IS_BETTER.items() if metric in measured}
    compared = statistics.compare(results, directions, ratio)
    summary = [plain(item) for item in statistics.summarise(results, directions, ratio, compared)]
    budgets = list(_budgets(results))
    return {
        "schema": SCHEMA,
        "name": name,
        "description": experiment.description,
        "spec_hash": spec_hash,
        "protocol": experiment.protocol.kind,
        "notes": list(plan.notes),
        "warnings": list(_unequal(budgets)),
        "method": statistics.METHOD,
        "test_train_ratio": ratio,
        "parts": [_parts(split, plan.labels, plan.data.fingerprint) for split in plan.splits],
        "budgets": budgets,
        "published": _published(experiment.published) if experiment.published else None,
        "trials": [plain(result) for result in results],
        "summary": summary,
        "comparisons": [plain(item) for item in compared],
        "seconds": {"statistics": time.perf_counter() - began},
    }


def _parts(split: Split, labels: IntArray, fingerprint: str) -> dict[str, Any]:
    """Return how much is in each part, and a key that two runs share if they were cut alike from the same data."""
    cut = [part.tolist() for part in (split.train, split.validation, split.test)]
    judged = None if split.test_pairs is None else split.test_pairs.tolist()
    found: dict[str, Any] = {"seed": split.seed, "fold": split.fold, "key": digest([fingerprint, cut, judged])}
    for part, pairs in (("train", None), ("validation", split.validation_pairs), ("test", split.test_pairs)):
        images: IntArray = getattr(split, part)
        shown = labels[images]
        found[part] = {"images": len(images), "people": len(np.unique(shown))}
        if part != "train":
            if pairs is not None:
                similar, total = int((shown[pairs[:, 0]] == shown[pairs[:, 1]]).sum()), len(pairs)
            else:
                counts = np.bincount(shown).astype(np.int64)
                similar, total = int((counts * (counts - 1) // 2).sum()), len(images) * (len(images) - 1) // 2
            found[part] |= {"pairs": total, "similar": similar}
    return found


def _budgets(results: Sequence[TrialResult]) -> Iterator[dict[str, Any]]:
    """Yield what each loss was given: the mean over its trials, and how many of its settings were tried."""
    tried = Counter(loss for loss, _ in {(r.loss, r.label) for r in results if r.kind == "loss"})
    own: dict[str, list[TrialResult]] = {}
    for result in results:
        if result.kind == "loss" and result.status == "ok":
            own.setdefault(result.label, []).append(result)
    for label, trials in own.items():
        spent = [dataclasses.asdict(trial.budget) for trial in trials]
        means = {key: round(sum(each[key] for each in spent) / len(spent)) for key in spent[0]}
        yield {"label": label, "loss": trials[0].loss, **means, "settings_tried": tried[trials[0].loss]}


def _unequal(budgets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each budget that differs between losses: who has another than most, and which."""
    for key, words in BUDGETS.items():
        values = Counter(budget[key] for budget in budgets)
        if not values:
            return
        usual = values.most_common(1)[0][0]
        slack = BUDGET_SLACK.get(key, 0.0) * usual
        others = {b["label"]: b[key] for b in budgets if abs(b[key] - usual) > slack}
        if others:
            named = ", ".join(f"{label} {value:,}" for label, value in others.items())
            yield f"unequal budgets, {words}: {named}; the others {usual:,}"


def _published(published: Published) -> dict[str, Any]:
    right = {row.label: row.right for row in published.results}
    return {**published.model_dump(mode="json"), "power": plain(power.from_counts(right, published.pairs))}


def environment(resolved: Resolved, jobs: int = 1) -> dict[str, Any]:
    """Return the machine, the packages and the plugins a run used, and among how many processes it was divided."""
    chosen = [resolved.dataset, resolved.model]
    chosen += [plugin for loss in resolved.losses for plugin in (loss.loss, loss.sampler)]
    plugins = {(c.found.kind, c.found.name): c.found for c in chosen}
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "jobs": jobs,
        "plugins": [
            {"kind": kind, "name": name, "distribution": found.distribution, "version": found.version}
            for (kind, name), found in sorted(
                plugins.items(), key=lambda item: (list(GROUPS).index(item[0][0]), item[0][1])
            )
        ],
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a frozen value as JSON data; numbers that are none become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def written(value: object) -> str:
    """Return a value as the text of a JSON file."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
