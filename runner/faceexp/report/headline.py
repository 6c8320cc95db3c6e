"""The finding of a run in two or three sentences, which stand above its table on the screen and on the page."""

from __future__ import annotations

from faceexp.evaluation.catalogue import METRIC_OF, Metric
from faceexp.experiment.asked import TRIALS_FOR_BEST, TRIALS_FOR_HELPS
from faceexp.experiment.baselines import PHASE1
from faceexp.report.answers import Answer, labels_in_words
from faceexp.report.columns import primary, rows_of
from faceexp.report.findings import verdict as told_apart
from faceexp.report.words import duration, many, signed
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import NeededRecord, VerdictRecord

AUC = METRIC_OF["auc"]
# If no mean AUC is above this, a model is no help to anybody, whatever is shown of it.
USELESS = 0.6


def headline(run: RunRecord) -> list[Answer]:
    """Return the finding, one sentence after the other; what a reader must know before believing anything warns."""
    verdict = run.verdict
    if verdict is None:
        return [Answer("", told_apart(run))]
    if verdict.guessing and all(claim.p_corrected is None for claim in verdict.guessing):
        return [_untested(run)]
    metric = primary(run)
    sentences = [_guessing(run, verdict), _losses(verdict, metric), _people(run, verdict)]
    if verdict.needed and verdict.needed.undecided and not _is_useless(run, verdict):
        sentences.append(Answer("", _needed(verdict.needed, metric)))
    return [sentence for sentence in sentences if sentence]


def _untested(run: RunRecord) -> Answer:
    """Return what a run of too few trials for any test says."""
    means = _mean_aucs(run)
    reach = f" The AUC of the rows is {_reach(means)}; guessing gives 0.5." if means else ""
    return Answer(
        "",
        "With so few trials nothing is tested, and the numbers may be luck: add seeds or folds. With "
        f"{TRIALS_FOR_HELPS} trials of each loss a run says which losses help, with {TRIALS_FOR_BEST} which may be the "
        f"best.{reach}",
        True,
    )


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


def _losses(verdict: VerdictRecord, metric: Metric) -> Answer | None:
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
        sentences.append("Which may be the best cannot be said from so few trials.")
    if none_better:
        sentences.append(f"No loss is shown to be better than another in {metric.name}.")
    if worse:
        verb = "is" if len(worse) == 1 else "are"
        sentences.append(f"{labels_in_words([claim.label for claim in worse])} {verb} worse than the {PHASE1.label}.")
    return Answer("", " ".join(sentences))


def _needed(needed: NeededRecord, metric: Metric) -> str:
    """Return what the run could have shown, and what would show more."""
    now = needed.now.detectable
    trials = f"With {many(needed.now.trials, 'trial')} a loss"
    reach = "no difference could" if now is None else f"only a difference of {metric.size(now)} or more would probably"
    text = f"{trials}, {reach} have been shown"
    ways = []
    if needed.more and needed.more.detectable is not None:
        time = duration(needed.more.minutes)
        ways.append(f"{needed.more.seeds} seeds in all (about {time}) would show {metric.size(needed.more.detectable)}")
    if needed.people and needed.label and needed.difference:
        asked = signed(needed.difference, metric.scale, metric.digits)
        ways.append(f"{needed.people:,} people would decide about {needed.label} ({asked})")
    return f"{text}; {', and '.join(ways)}." if ways else f"{text}."
