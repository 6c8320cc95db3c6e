"""From the trials of a run to what it answers: whether rows beat guessing, which losses help, which may be the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from faceexp.evaluation.catalogue import METRIC_OF
from faceexp.experiment.baselines import PCA, PHASE1, PIXELS
from faceexp.experiment.schema import Asked
from faceexp.results.schema import TrialRecord
from faceexp.results.verdict import ClaimRecord, EffortRecord, NeededRecord, StandingRecord, VerdictRecord
from faceexp.statistics import claims
from faceexp.statistics.claims import Claim
from faceexp.statistics.comparisons import table_of
from faceexp.statistics.differences import Rows, Rule
from faceexp.statistics.effort import Seen
from faceexp.values import Plan

# Guessing gets this AUC whatever the people, the pairs and the threshold; no other metric has one value for it.
GUESSING = "guessing"
GUESSED_AUC = 0.5


@dataclass(frozen=True)
class Sampling:
    """How the trials of a run sample people and trainings.

    Attributes:
        ratio: The r in the variance ``s^2 (1/n + r)`` of Nadeau and Bengio.
        average_seeds: Whether all seeds of a fold test the same data. Then seeds are averaged within each fold, since
            they are no further evidence on people.
        same_people: Whether all trials test the same data. Then nothing can be said of other people.
        people: How many people the data hold.
    """

    ratio: float
    average_seeds: bool
    same_people: bool
    people: int


def sampling_of(plan: Plan) -> Sampling:
    """Return how the trials of a plan sample people and trainings.

    Where people are dealt to the parts, the ratio counts people; where images are, images. A list of pairs is judged by
    a plain t-test over its folds, as its field does. Where all trials test the same data, only training varies, and
    trainings of different seeds are unrelated.
    """
    splits, listed = plan.splits, plan.resolved.pairs is not None
    tested: dict[int, set[bytes]] = {}
    for split in splits:
        tested.setdefault(split.fold, set()).add(split.test.tobytes())
    seeds = {split.seed for split in splits}
    fixed = listed or (len(seeds) > 1 and all(len(parts) == 1 for parts in tested.values()))
    same_people = fixed and len(tested) == 1
    ratios = []
    for split in splits:
        rest = set(split.train.tolist()) | set(split.validation.tolist())
        others = {int(plan.labels[image]) for image in rest}
        people = {int(plan.labels[image]) for image in split.test}
        ratios.append(len(split.test) / len(rest) if people & others else len(people) / len(others))
    return Sampling(
        ratio=0.0 if listed or same_people else math.fsum(ratios) / len(ratios),
        average_seeds=fixed and not same_people,
        same_people=same_people,
        people=len(plan.identities),
    )


def judge(trials: Sequence[TrialRecord], asked: Asked, sampling: Sampling) -> VerdictRecord:
    """Return what the trials of a run answer."""
    metric = METRIC_OF[asked.metric]
    rows = table_of(trials, metric.key)
    losses = list(dict.fromkeys(trial.label for trial in trials if trial.kind == "loss"))
    rule = Rule(
        ratio=sampling.ratio,
        higher_is_better=metric.higher_is_better,
        equivalence=asked.equivalence,
        average_seeds=sampling.average_seeds,
        limit=metric.largest,
    )
    helps = claims.against(rows, losses, [PHASE1.label], rule) if "helps" in asked.questions else []
    best = claims.best(rows, losses, rule) if "best" in asked.questions else []
    return VerdictRecord(
        metric=metric.key,
        questions=asked.questions,
        equivalence=asked.equivalence,
        same_people=sampling.same_people,
        guessing=_records(_against_guessing(trials, sampling)),
        simplest=_records(claims.against(rows, losses, [PIXELS.label, PCA.label], rule)),
        helps=_records(helps),
        best=tuple(StandingRecord.model_validate(standing) for standing in best),
        needed=_needed(helps, trials, sampling, metric.largest),
    )


def _records(judged: Sequence[Claim]) -> tuple[ClaimRecord, ...]:
    return tuple(ClaimRecord.model_validate(claim) for claim in judged)


def _against_guessing(trials: Sequence[TrialRecord], sampling: Sampling) -> list[Claim]:
    """Return whether each row, baselines included, is shown to beat guessing."""
    rows: Rows = table_of(trials, "auc")
    cells = {trial.cell for trial in trials}
    guessed = {**rows, GUESSING: dict.fromkeys(cells, GUESSED_AUC)}
    rule = Rule(sampling.ratio, higher_is_better=True, average_seeds=sampling.average_seeds, limit=1 - GUESSED_AUC)
    return claims.against(guessed, list(rows), [GUESSING], rule)


def _needed(
    helps: Sequence[Claim], trials: Sequence[TrialRecord], sampling: Sampling, largest: float
) -> NeededRecord | None:
    """Return what it would take to decide the losses that are not decided yet."""
    undecided = [claim for claim in helps if claim.verdict == "undecided" and claim.spread]
    if not undecided:
        return None
    number = max(claim.trials for claim in undecided)
    complete = [claim for claim in undecided if claim.trials == number]
    seen = Seen(
        spread=median(claim.spread or 0.0 for claim in complete),
        trials=number,
        degrees=median(claim.degrees for claim in complete),
        ratio=sampling.ratio,
        claims=len(helps),
    )
    seeds = len({trial.seed for trial in trials})
    minutes = _minutes(trials)

    def effort(times: int) -> EffortRecord:
        detectable = seen.detectable(times * number)
        return EffortRecord(
            seeds=times * seeds,
            trials=times * number,
            detectable=detectable if detectable <= largest else None,
            minutes=times * minutes,
        )

    leading = max(complete, key=lambda claim: abs(claim.difference))
    asked = abs(leading.difference)
    # A loss that varies more than most takes more to decide about.
    of_leading = replace(seen, spread=leading.spread or seen.spread, degrees=leading.degrees)
    trials_needed = of_leading.trials_for(asked) if asked else None
    # Further seeds test the same people where the protocol fixes them, and say nothing more of people.
    grows = not sampling.average_seeds
    return NeededRecord(
        undecided=len(undecided),
        now=effort(1),
        more=effort(2) if grows else None,
        limit=seen.limit if grows else None,
        label=leading.label,
        difference=leading.difference,
        seeds=math.ceil(trials_needed * seeds / number) if trials_needed and grows else None,
        people=None
        if sampling.same_people or not asked
        else math.ceil(sampling.people * of_leading.times_people(asked)),
    )


def _minutes(trials: Sequence[TrialRecord]) -> float:
    """Return how many minutes of computing the trials took: what they share, phase 1 and features, is counted once."""
    shared: dict[tuple[int, int], float] = {}
    seconds = 0.0
    for trial in trials:
        common = trial.seconds.get("pretrain", 0.0) + trial.seconds.get("features", 0.0)
        shared[trial.cell] = max(shared.get(trial.cell, 0.0), common)
        seconds += sum(trial.seconds.values()) - common
    return (seconds + sum(shared.values())) / 60
