"""The content of ``results.json``: trials, means, comparisons, parts and budgets, from the results of a run."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from faceexp.arrays import IntArray
from faceexp.data.splits import Split
from faceexp.evaluation.metrics import HIGHER_IS_BETTER
from faceexp.experiment.schema import Published
from faceexp.results.jsonable import to_jsonable
from faceexp.statistics import comparisons as statistics
from faceexp.statistics import power
from faceexp.store import digest
from faceexp.values import BUDGET_SLACK, BUDGETS, Plan, TrialResult

SCHEMA = 1


def compare_all(name: str, spec_hash: str, results: Sequence[TrialResult], plan: Plan) -> dict[str, Any]:
    """Return the content of ``results.json``."""
    experiment = plan.resolved.experiment
    began = time.perf_counter()
    # Trials share people between training parts; how much decides how far their spread understates the truth.
    ratio = sum(len(split.test) / len(split.train) for split in plan.splits) / len(plan.splits)
    measured = {metric for result in results for metric in result.metrics}
    directions = {metric: higher for metric, higher in HIGHER_IS_BETTER.items() if metric in measured}
    compared = statistics.compare(results, directions, ratio)
    summary = [to_jsonable(item) for item in statistics.summarise(results, directions, ratio, compared)]
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
        "trials": [to_jsonable(result) for result in results],
        "summary": summary,
        "comparisons": [to_jsonable(item) for item in compared],
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
    return {**published.model_dump(mode="json"), "power": to_jsonable(power.from_counts(right, published.pairs))}
