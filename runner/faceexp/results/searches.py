"""From a search and the trials that followed it to its record: budgets, what was chosen, and what that gained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faceexp.evaluation.named import known
from faceexp.experiment.asked import Asked
from faceexp.experiment.search import Between
from faceexp.planning.dimensions import Dimension
from faceexp.results.judge import Sampling
from faceexp.results.schema import TrialRecord
from faceexp.results.search_record import SearchedRecord, SearchRecord, TriedRecord
from faceexp.results.verdict import ClaimRecord
from faceexp.search.checks import DEFAULTS
from faceexp.search.outcome import Searched
from faceexp.search.tuned import Tuned
from faceexp.statistics import claims
from faceexp.statistics.comparisons import table_of
from faceexp.statistics.differences import Rule
from faceexp.values import Plan

# A value this near to an end of its range, as a share of it, counts as at the end.
EDGE = 0.02
# Reasons of failed trials that are told of each loss.
MOST_REASONS = 3


def record_of_search(
    tuned: Tuned, plan: Plan, trials: Sequence[TrialRecord], sampling: Sampling, asked: Asked
) -> SearchRecord:
    """Return what was searched, and what the settings that were chosen gained on test.

    Args:
        tuned: What the search has chosen.
        plan: The plan of the comparison.
        trials: Its trials.
        sampling: How they sample people and trainings.
        asked: What the comparison asks, the metric among it.
    """
    search = plan.resolved.experiment.search
    assert search is not None  # noqa: S101 - nobody searches otherwise
    tested = {int(person) for split in plan.splits for person in np.unique(plan.labels[split.test])}
    losses = tuple(_searched(each) for each in tuned.searched)
    return SearchRecord(
        trials=search.trials,
        sampler=search.sampler,
        pruner=search.pruner,
        seeds=search.seeds,
        trainings=tuned.trainings,
        people_tested=len(tested & tuned.people),
        phase1=_searched(tuned.phase1) if tuned.phase1 else None,
        losses=losses,
        gains=_gains(losses, trials, sampling, asked),
    )


def _searched(searched: Searched) -> SearchedRecord:
    dimensions, best = searched.space.dimensions, searched.best
    return SearchedRecord(
        label=searched.space.label,
        ranges={each.name: str(each.space) for each in dimensions},
        suggested=tuple(each.name for each in dimensions if each.suggested),
        logarithmic=tuple(each.name for each in dimensions if isinstance(each.space, Between) and each.space.log),
        defaults={each.name: each.default for each in dimensions},
        best=best.values if best else {},
        score=best.score if best else None,
        default_score=searched.default.score if searched.default else None,
        at_edge=tuple(each.name for each in dimensions if best and _is_at_edge(each, best.values[each.name])),
        importances=searched.importances,
        reasons=tuple(dict.fromkeys(each.reason for each in searched.tried if each.reason))[:MOST_REASONS],
        trainings=sum(each.trainings for each in searched.tried),
        steps=searched.steps,
        images=searched.images,
        trials=tuple(TriedRecord.model_validate(each) for each in searched.tried),
    )


def _is_at_edge(dimension: Dimension, value: object) -> bool:
    """Return whether a value is so near to an end of its range that a wider one may hold a better value."""
    space = dimension.space
    if not isinstance(space, Between) or not isinstance(value, int | float):
        return False
    low, high, here = (float(np.log(each)) if space.log else each for each in (space.low, space.high, value))
    return not EDGE < (here - low) / (high - low) < 1 - EDGE


def _gains(
    losses: Sequence[SearchedRecord], trials: Sequence[TrialRecord], sampling: Sampling, asked: Asked
) -> tuple[ClaimRecord, ...]:
    """Return each loss compared with its defaults, corrected for how many losses are."""
    metric = known(asked.metric)
    rows = table_of(trials, metric.key)
    rule = Rule(
        ratio=sampling.ratio,
        higher_is_better=metric.higher_is_better,
        equivalence=asked.equivalence,
        average_seeds=sampling.average_seeds,
        limit=metric.largest,
    )
    # Each loss has a reference of its own, so that all share one correction: they are judged together.
    pairs = [(each.label, DEFAULTS.format(each.label)) for each in losses if DEFAULTS.format(each.label) in rows]
    return tuple(ClaimRecord.model_validate(claim) for claim in claims.each_against(rows, pairs, rule))
