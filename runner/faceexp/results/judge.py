"""From the trials of a run to what it answers: whether rows beat guessing, which losses help, which may be the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from faceexp.evaluation.left_out import over_people
from faceexp.evaluation.named import known
from faceexp.experiment.asked import TRIALS_FOR_HELPS, Asked
from faceexp.experiment.baselines import PCA, PHASE1, PIXELS
from faceexp.planning.looks import trials_a_look
from faceexp.planning.prospects import PEOPLE
from faceexp.results.schema import TrialRecord
from faceexp.results.verdict import ClaimRecord, EffortRecord, NeededRecord, SpreadRecord, StandingRecord, VerdictRecord
from faceexp.statistics import claims
from faceexp.statistics.claims import Claim, Standing
from faceexp.statistics.comparisons import table_of
from faceexp.statistics.differences import Difference, Rows, Rule
from faceexp.statistics.effort import Open, Seen
from faceexp.statistics.power.question import ALPHA, UnanswerableError
from faceexp.statistics.spread import spreads
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
        tested: How many people all trials together test.
    """

    ratio: float
    average_seeds: bool
    same_people: bool
    people: int
    tested: int = 0


def sampling_of(plan: Plan) -> Sampling:
    """Return how the trials of a plan sample people and trainings.

    Where people are dealt to the parts, the ratio counts people; where images are, images. A list of pairs is judged by
    a plain t-test over its folds, as its field does. Where all trials test the same data, only training varies, and
    trainings of different seeds are unrelated.
    """
    splits, listed = plan.splits, plan.resolved.experiment.protocol.kind == "pairs_file"
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
        tested=len(set().union(*(plan.labels[split.test].tolist() for split in splits))),
    )


def judge(
    trials: Sequence[TrialRecord],
    asked: Asked,
    sampling: Sampling,
    before: VerdictRecord | None = None,
    reference: str = PHASE1.label,
) -> VerdictRecord:
    """Return what the trials of a run answer.

    A run that goes on until its questions are decided is judged several times. Each look has the same share of the
    probability of a false claim, so that the sum of all looks keeps to it, however the looks depend on each other. What
    a look has decided stays decided, and the next one asks only about the losses that are left.

    Args:
        trials: The trials so far.
        asked: What is asked.
        sampling: How the trials sample people and trainings.
        before: What the look before has answered.
        reference: The row that every loss starts from.
    """
    metric = known(asked.metric)
    rows = table_of(trials, metric.key)
    losses = list(dict.fromkeys(trial.label for trial in trials if trial.kind != "baseline"))
    trained = {trial.label for trial in trials if trial.kind == "loss"}
    alpha = ALPHA / asked.looks if asked.until == "decided" else ALPHA
    rule = Rule(
        ratio=sampling.ratio,
        higher_is_better=metric.higher_is_better,
        equivalence=asked.equivalence,
        average_seeds=sampling.average_seeds,
        limit=metric.largest,
        alpha=alpha,
    )
    decided = {claim.label: claim for claim in (before.helps if before else ()) if claim.verdict != "undecided"}
    left_out = {each.label: each for each in (before.best if before else ()) if not each.may_be_best}
    helps: list[Claim] = []
    best: list[Standing] = []
    if "helps" in asked.questions:
        asked_about = [loss for loss in losses if loss in trained and loss not in decided]
        helps = claims.against(rows, asked_about, [reference], rule)
    if "best" in asked.questions:
        best = claims.best(rows, [loss for loss in losses if loss not in left_out], rule)
    of_helps = {**decided, **{claim.label: ClaimRecord.model_validate(claim) for claim in helps}}
    of_best = {**left_out, **{standing.label: StandingRecord.model_validate(standing) for standing in best}}
    simplest = claims.against(rows, losses, [PIXELS.label, PCA.label], rule)
    return VerdictRecord(
        metric=metric.key,
        # Which losses help is no question where nothing is trained.
        questions=tuple(question for question in asked.questions if trained or question != "helps"),
        equivalence=asked.equivalence,
        alpha=alpha,
        same_people=sampling.same_people,
        guessing=_against_guessing(trials, rule, sampling),
        simplest=_records(simplest),
        reference=reference,
        helps=tuple(of_helps[loss] for loss in losses if loss in of_helps),
        best=tuple(of_best[loss] for loss in losses if loss in of_best),
        spread=_spread(rows, losses, sampling, reference),
        needed=_needed(helps, trials, sampling, metric.largest, alpha),
        looks=before.looks if before else (),
        in_question=_in_question(helps, best, trials, asked, sampling) if asked.until == "decided" else (),
    )


def _in_question(
    helps: Sequence[Claim], best: Sequence[Standing], trials: Sequence[TrialRecord], asked: Asked, sampling: Sampling
) -> tuple[str, ...]:
    """Return the losses that are not decided yet, and that the looks which are left may decide."""
    folds = len({trial.fold for trial in trials})
    # The looks that are left are not counted one by one: with all of them, a run does not give up too early.
    most = len({trial.cell for trial in trials}) + asked.looks * trials_a_look(folds)

    def may_be_decided(difference: Open | None) -> bool:
        return difference is None or difference.within_reach(most, sampling.ratio, asked.equivalence)

    helping = [claim.label for claim in helps if claim.verdict == "undecided" and may_be_decided(_open_claim(claim))]
    candidates = [standing for standing in best if standing.may_be_best]
    level = ALPHA / asked.looks / max(1, len(best))
    rivals = [
        standing
        for standing in candidates
        if len(candidates) > 1 and not standing.practically_best and may_be_decided(_open_standing(standing, level))
    ]
    if rivals:
        # A rival can only be shown to be worse than a loss that is trained on.
        sign = 1 if known(asked.metric).higher_is_better else -1
        rivals.append(max(candidates, key=lambda standing: sign * standing.difference))
    return tuple(sorted({*helping, *(standing.label for standing in rivals)}))


def _open_claim(claim: Claim) -> Open | None:
    if claim.interval is None or claim.spread is None:
        return None
    half = (claim.interval[1] - claim.interval[0]) / 2
    return Open(claim.difference, half, claim.trials, claim.degrees, claim.level)


def _open_standing(standing: Standing, level: float) -> Open | None:
    if standing.half is None:
        return None
    return Open(standing.difference, standing.half, standing.trials, standing.degrees, level)


def _records(judged: Sequence[Claim]) -> tuple[ClaimRecord, ...]:
    return tuple(ClaimRecord.model_validate(claim) for claim in judged)


def _against_guessing(trials: Sequence[TrialRecord], rule: Rule, sampling: Sampling) -> tuple[ClaimRecord, ...]:
    """Return whether each row, baselines included, is shown to beat guessing.

    Of an embedding that is only measured, trials are no further trainings, but the same network on other people of the
    data, many of whom are tested several times. So it is judged by people, and not by trials.
    """
    rows: Rows = table_of(trials, "auc")
    by_people = _by_people(trials, sampling)
    guessing = GUESSING
    while guessing in rows:  # a loss may be called so
        guessing += "'"
    guessed = {**rows, guessing: {trial.cell: GUESSED_AUC for trial in trials}}
    rule = replace(rule, higher_is_better=True, equivalence=0.0, limit=1 - GUESSED_AUC)
    judged = claims.against(guessed, list(rows), [guessing], rule, by_people)

    def is_enough(claim: Claim) -> bool:
        return sampling.tested >= PEOPLE if claim.label in by_people else claim.trials >= TRIALS_FOR_HELPS

    # A row that is right about all pairs of all trials has no spread to be judged by, but it does not guess.
    judged = [
        replace(claim, verdict="better")
        if claim.p_corrected is None and is_enough(claim) and claim.difference == 1 - GUESSED_AUC
        else claim
        for claim in judged
    ]
    return tuple(
        ClaimRecord.model_validate(claim).model_copy(
            update={"people": sampling.tested} if claim.label in by_people else {}
        )
        for claim in judged
    )


def _by_people(trials: Sequence[TrialRecord], sampling: Sampling) -> dict[str, Difference]:
    """Return by how much the AUC of each embedding that is only measured is above guessing, with its error over people.

    With so few people that not even a perfect embedding could be shown to beat guessing, there is no error.
    """
    differences = {}
    of_rows: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.kind == "pretrained" and trial.metrics.get("auc") is not None:
            of_rows.setdefault(trial.label, []).append(trial)
    for label, measured in of_rows.items():
        values = [trial.metrics["auc"] or 0.0 for trial in measured]
        without = [
            {group: math.nan if auc is None else auc for group, auc in trial.auc_without.items()} for trial in measured
        ]
        mean = over_people(values, without)
        difference = math.fsum(values) / len(values) - GUESSED_AUC
        is_judged = mean is not None and mean.error > 0 and sampling.tested >= PEOPLE
        error, degrees = (mean.error, mean.groups - 1.0) if mean and is_judged else (None, 0.0)
        differences[label] = Difference(difference, len(values), None, None, error, degrees)
    return differences


def _spread(rows: Rows, losses: Sequence[str], sampling: Sampling, reference: str) -> tuple[SpreadRecord, ...]:
    """Return how much of the spread is people and how much training; nothing where that cannot be told apart."""
    chosen = {label: rows[label] for label in (*losses, reference) if label in rows}
    try:
        of_losses = spreads(chosen, seeds_share_people=sampling.average_seeds, reference=reference)
    except UnanswerableError:
        return ()
    return tuple(SpreadRecord.model_validate(spread) for spread in of_losses)


def _needed(
    helps: Sequence[Claim], trials: Sequence[TrialRecord], sampling: Sampling, largest: float, alpha: float
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
        alpha=alpha / len(helps),
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
