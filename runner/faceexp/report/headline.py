"""The finding of a run in two or three sentences, which stand above its table on the screen and on the page."""

from __future__ import annotations

from collections.abc import Iterator

from faceexp.evaluation.catalogue import METRIC_OF, Metric
from faceexp.experiment.asked import TRIALS_FOR_BEST, TRIALS_FOR_HELPS
from faceexp.experiment.baselines import PHASE1
from faceexp.planning.prospects import more_trials, seeds_line
from faceexp.report.answers import Answer, labels_in_words
from faceexp.report.columns import judged, primary, rows_of
from faceexp.report.findings import verdict as told_apart
from faceexp.report.words import duration, many, signed
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import ClaimRecord, NeededRecord, VerdictRecord

AUC = METRIC_OF["auc"]
# If no mean AUC is above this, a model is no help to anybody, whatever is shown of it.
USELESS = 0.6
# Nobody is told to find more than so many times the people that there are.
MANY_TIMES = 10
# What is said of a run of too few trials for any test.
UNTESTED = "with so few trials nothing is tested, and the numbers may be luck"


def headline(run: RunRecord) -> list[Answer]:
    """Return the finding, one sentence after the other; what a reader must know before believing anything warns."""
    verdict = judged(run)
    if verdict is None:
        return [Answer("", told_apart(run))]
    if _nothing_is_tested(verdict):
        return [_untested(run)]
    metric = primary(run)
    sentences = [_guessing(run, verdict), _losses(run, verdict, metric), _people(run, verdict)]
    if not _is_useless(run, verdict):
        sentences.append(_needed(run, verdict, metric))
    return [sentence for sentence in sentences if sentence]


def in_few_words(run: RunRecord) -> str:
    """Return the finding in so few words that they fit a line of a list of runs."""
    verdict = judged(run)
    if verdict is None or _nothing_is_tested(verdict):
        return UNTESTED if verdict else "no question was asked"
    if all(claim.verdict != "better" for claim in verdict.guessing):
        return "no row is shown to beat guessing"
    helping = sorted(_better(verdict), key=lambda claim: -abs(claim.difference or 0.0))
    if helping:
        others = len(helping) - 1
        more = f" and {many(others, 'other')}" if others else ""
        return (
            f"{helping[0].label}{more} of {many(len(verdict.helps), 'loss', 'losses')} {'help' if others else 'helps'}"
        )
    if _cannot_answer(run, verdict, primary(run)):
        return "too few trials to show which losses help"
    if any(claim.p_corrected is not None for claim in verdict.helps):
        losses = len(verdict.helps)
        return f"none of {losses} losses is shown to help" if losses > 1 else "the loss is not shown to help"
    return "too few trials to compare"


def _nothing_is_tested(verdict: VerdictRecord) -> bool:
    return bool(verdict.guessing) and all(claim.p_corrected is None for claim in verdict.guessing)


def _better(verdict: VerdictRecord) -> list[ClaimRecord]:
    return [claim for claim in verdict.helps if claim.verdict == "better"]


def _untested(run: RunRecord) -> Answer:
    """Return what a run of too few trials for any test says."""
    means = _mean_aucs(run)
    reach = f" The AUC of the rows is {_reach(means)}; guessing gives 0.5." if means else ""
    return Answer(
        "",
        f"{UNTESTED[:1].upper()}{UNTESTED[1:]}. With {_more_trials(run, TRIALS_FOR_HELPS)} the run says which losses "
        f"help, with {_more_trials(run, TRIALS_FOR_BEST)} which may be the best.{_more_people(run)}{reach}",
        True,
    )


def _more_trials(run: RunRecord, trials: int) -> str:
    """Return what gives each row so many trials, as the experiment file says it."""
    averaged = run.average_seeds or run.protocol == "pairs_file"
    return more_trials(trials, _seeds(run), len({fold for _, fold in run.cells}), averaged=averaged)


def _seeds(run: RunRecord) -> list[int]:
    return list(dict.fromkeys(trial.seed for trial in run.trials))


def _more_people(run: RunRecord) -> str:
    """Return how many people would be enough to test and to tune on; nothing where there are enough."""
    everybody, enough = _everybody(run), run.people_enough
    if not enough or not everybody or enough <= everybody:
        return ""
    return (
        f" {everybody} people are too few to test and to tune on: {enough - everybody} more would be enough "
        f"({enough} in all)."
    )


def _everybody(run: RunRecord) -> int:
    """Return how many people the data hold; 0 where the results do not say it."""
    parts = [(split.train.people, split.validation.people, split.test.people) for split in run.parts]
    # In a closed set the same people are in every part.
    return max((max(people) if run.protocol == "closed_set" else sum(people) for people in parts), default=0)


def _mean_aucs(run: RunRecord) -> list[float]:
    return [mean for row in rows_of(run) if (mean := row.mean(AUC)) is not None]


def _reach(means: list[float]) -> str:
    low, high = (AUC.text(end, None) for end in (min(means), max(means)))
    return low if low == high else f"{low} to {high}"


def _is_useless(run: RunRecord, verdict: VerdictRecord) -> bool:
    """Return whether no row is shown to beat guessing, or comes anywhere near doing so."""
    no_better = all(claim.verdict != "better" for claim in verdict.guessing)
    return no_better and max(_mean_aucs(run), default=1.0) < USELESS


def _guessing(run: RunRecord, verdict: VerdictRecord) -> Answer | None:
    """Return which rows are not shown to beat guessing; ``None`` where all are."""
    losing = [claim.label for claim in verdict.guessing if claim.verdict != "better"]
    if not losing:
        return None
    means = _mean_aucs(run)
    if len(losing) < len(verdict.guessing):
        losses = f"{len(losing)} of {many(len(verdict.guessing), 'row')}"
        verb = "is" if len(losing) == 1 else "are"
        return Answer("", f"{losses} {verb} not shown to beat guessing: {labels_in_words(losing)}.", True)
    reach = f": the AUC of the rows is {_reach(means)}, and guessing gives 0.5" if means else ""
    text = f"No row is shown to beat guessing{reach}."
    if _is_useless(run, verdict):
        return Answer("", f"{text} As far as this run can tell, these models are useless.", True)
    return Answer("", f"{text} More trials would have to show that before anything else here counts.", True)


def _people(run: RunRecord, verdict: VerdictRecord) -> Answer | None:
    if run.protocol == "closed_set":
        return Answer(
            "", "Closed set: the people of the test were seen in training: results say nothing about others.", True
        )
    if verdict.same_people:
        return Answer("", "All trials test the same people, so results say nothing about others.", True)
    return None


def _losses(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    """Return which losses are better than others, and which are better than the embedding that all start from."""
    judged = [standing for standing in verdict.best if standing.interval]
    candidates = [standing.label for standing in judged if standing.may_be_best]
    tested = [claim for claim in verdict.helps if claim.p_corrected is not None]
    better = sorted((claim for claim in tested if claim.verdict == "better"), key=lambda c: -abs(c.difference or 0.0))
    worse = [claim for claim in tested if claim.verdict == "worse"]
    sentences = []
    if not judged and not tested:
        return Answer("", f"Nothing can be said about the losses in {metric.name}: there are too few trials.", True)
    if len(candidates) == 1 and len(judged) > 1:
        sentences.append(f"{candidates[0]} is shown to be the best of the {len(judged)} losses in {metric.name}.")
    elif 1 < len(candidates) < len(judged):
        sentences.append(
            f"In {metric.name} the best of the {len(judged)} losses is one of these {len(candidates)}: "
            f"{labels_in_words(candidates)}."
        )
    none_better = len(candidates) == len(judged) > 1
    if better:
        named = [f"{claim.label} by {metric.size(abs(claim.difference or 0.0))}" for claim in better]
        verb = "helps" if len(better) == 1 else "help"
        count = f"{len(better)} of {many(len(tested), 'loss', 'losses')} {verb}"
        sentences.append(f"{count} (better than the {PHASE1.label}): {labels_in_words(named)}.")
    elif tested and none_better:
        sentences.append(f"No loss is shown to be better than another or than the {PHASE1.label} in {metric.name}.")
        none_better = False
    elif tested:
        sentences.append(f"No loss is shown to be better than the {PHASE1.label} in {metric.name}.")
    if len(verdict.best) > 1 and not judged:
        with_more = f"with {_more_trials(run, TRIALS_FOR_BEST)} it can"
        sentences.append(f"Which may be the best cannot be said from so few trials; {with_more}.")
    if none_better:
        sentences.append(f"No loss is shown to be better than another in {metric.name}.")
    if worse:
        verb = "is" if len(worse) == 1 else "are"
        sentences.append(f"{labels_in_words([claim.label for claim in worse])} {verb} worse than the {PHASE1.label}.")
    return Answer("", " ".join(sentences))


def _cannot_answer(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> bool:
    """Return whether not even a perfect loss would probably have been shown to help."""
    if verdict.needed is None or _better(verdict):
        return False
    now, room = verdict.needed.now.detectable, _room(run, metric)
    return now is None or (room is not None and now >= room)


def _room(run: RunRecord, metric: Metric) -> float | None:
    """Return by how much a perfect loss would be better than the phase-1 embedding; ``None`` if there is none."""
    start = next((row.mean(metric) for row in rows_of(run) if row.label == PHASE1.label), None)
    if start is None:
        return None
    return metric.largest - start if metric.higher_is_better else start


def _needed(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    """Return what so few trials leave open, and what would tell more."""
    needed = verdict.needed
    if needed is None or not needed.undecided:
        return None
    trials, now = f"{many(needed.now.trials, 'trial')} of each loss", needed.now.detectable
    if no_answer := _cannot_answer(run, verdict, metric):
        text = f"{trials} cannot answer which losses help: not even a perfect loss would probably be shown to."
    elif now is None:
        text = f"{trials} cannot answer it for {many(needed.undecided, 'loss', 'losses')}."
    else:
        losses = many(needed.undecided, "loss is", "losses are")
        text = f"{losses} undecided: with {trials}, a difference of less than {metric.size(now)} is easily missed."
    ways = list(_ways(run, needed, metric))
    if ways:
        text += f" What would tell more: {', or '.join(ways)}."
    more_people = "" if _better(verdict) else _more_people(run)
    if no_answer and not ways and not more_people:
        text += " It takes more people, or losses that differ more."
    return Answer("", text + more_people, no_answer)


def _ways(run: RunRecord, needed: NeededRecord, metric: Metric) -> Iterator[str]:
    """Yield what would decide more: more seeds, and more people, as far as somebody might have so many."""
    more, room, everybody = needed.more, _room(run, metric), _everybody(run)
    asked = f"{needed.label} ({signed(needed.difference, metric.scale, metric.digits)})"
    if more and more.detectable is not None and (room is None or more.detectable < room):
        line, time = seeds_line(more.seeds, _seeds(run)), duration(more.minutes)
        yield f"{line}, which takes about {time} and shows a difference of {metric.size(more.detectable)}"
    elif needed.seeds and needed.label:
        yield f"{seeds_line(needed.seeds, _seeds(run))}, which would decide about {asked}"
    if needed.people and needed.label and everybody < needed.people <= MANY_TIMES * everybody:
        yield f"{needed.people - everybody:,} more people, who would decide about {asked}"
