"""The finding of a run in two or three sentences, which stand above its table on the screen and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from faceexp.evaluation.catalogue import ACCURACY, METRIC_OF, Metric
from faceexp.experiment.asked import TRIALS_FOR_BEST, TRIALS_FOR_HELPS
from faceexp.experiment.baselines import PCA, PIXELS
from faceexp.planning.prospects import more_trials
from faceexp.report.answers import Answer, ended_because, labels_in_words
from faceexp.report.columns import compared, judged, primary, reference, rows_of
from faceexp.report.effort import more_people, seeds_of, ways
from faceexp.report.findings import is_closed
from faceexp.report.findings import verdict as told_apart
from faceexp.report.searched import tuning
from faceexp.report.words import many
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import ClaimRecord, VerdictRecord

AUC = METRIC_OF["auc"]
SIMPLEST = f"both {PIXELS.label} and PCA"
# If no mean AUC is above this, a model is no help to anybody, whatever is shown of it.
USELESS = 0.6
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
    sentences = [_guessing(run, verdict), _people(run, verdict), _losses(run, verdict, metric), tuning(run)]
    if verdict.looks:
        sentences.append(
            Answer("", f"The run ended after {many(len(verdict.looks), 'look')}: {ended_because(verdict)}.")
        )
    if not _is_useless(run, verdict):
        sentences.append(_needed(run, verdict, metric))
    return [sentence for sentence in sentences if sentence]


def in_few_words(run: RunRecord) -> str:
    """Return the finding in so few words that they fit a line of a list of runs."""
    verdict = judged(run)
    if verdict is None or _nothing_is_tested(verdict):
        return UNTESTED if verdict else "no question was asked"
    if _none_beats_guessing(verdict):
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


def _none_beats_guessing(verdict: VerdictRecord) -> bool:
    return all(claim.verdict != "better" for claim in verdict.guessing)


def _better(verdict: VerdictRecord) -> list[ClaimRecord]:
    return [claim for claim in verdict.helps if claim.verdict == "better"]


def _untested(run: RunRecord) -> Answer:
    """Return what a run of too few trials for any test says."""
    how_often, people = _how_often(run), more_people(run)
    enough = f" {people} would be enough to test and to tune on." if people else ""
    return Answer(
        "",
        f"{UNTESTED[:1].upper()}{UNTESTED[1:]}. With {_more_trials(run, TRIALS_FOR_HELPS)} the run says which "
        f"{compared(run)[1]} help, with {_more_trials(run, TRIALS_FOR_BEST)} which may be the best.{enough}"
        f"{f' The rows are {how_often}.' if how_often else ''}",
        True,
    )


def _more_trials(run: RunRecord, trials: int) -> str:
    """Return what gives each row so many trials, as the experiment file says it."""
    folds = len({fold for _, fold in run.cells})
    averaged = run.average_seeds or (run.protocol == "pairs_file" and folds > 1)
    return more_trials(trials, seeds_of(run), folds, averaged=averaged)


def _mean_aucs(run: RunRecord) -> list[float]:
    return [mean for row in rows_of(run) if (mean := row.mean(AUC)) is not None]


def _how_often(run: RunRecord) -> str:
    """Return how often the rows are right about pairs of people; nothing where that was not measured."""
    of_rows = [mean for row in rows_of(run) if (mean := row.mean(ACCURACY)) is not None]
    if not of_rows or ACCURACY.guessing is None:
        return ""
    low, high, guessing = (f"{share * ACCURACY.scale:.0f}" for share in (min(of_rows), max(of_rows), ACCURACY.guessing))
    existing = any(row.kind == "pretrained" for row in rows_of(run))
    unseen = "of people of the test" if existing else "of people whom they had not seen"
    whom = "of people whom they had seen in training" if is_closed(run) else unseen
    return f"right about {low if low == high else f'{low} to {high}'} % of pairs {whom} (guessing: {guessing} %)"


def _is_useless(run: RunRecord, verdict: VerdictRecord) -> bool:
    """Return whether no row is shown to beat guessing, or comes anywhere near doing so."""
    return _none_beats_guessing(verdict) and max(_mean_aucs(run), default=1.0) < USELESS


def _guessing(run: RunRecord, verdict: VerdictRecord) -> Answer | None:
    """Return whether the rows beat guessing, and how often they are right."""
    if not verdict.guessing:
        return None
    losing, rows = [claim.label for claim in verdict.guessing if claim.verdict != "better"], len(verdict.guessing)
    how_often = _how_often(run)
    reach = f": they are {how_often}" if how_often else ""
    if not losing:
        beat = f"All {rows} rows beat" if rows > 1 else "The only row beats"
        # A single model of them, which is judged by the people of its own trial, may not be shown to.
        return Answer("", f"{beat} guessing over all trials together{reach}.")
    if len(losing) < rows:
        verb = "is" if len(losing) == 1 else "are"
        text = f"{len(losing)} of {many(rows, 'row')} {verb} not shown to beat guessing: {labels_in_words(losing)}."
        return Answer("", text + (f" The rows are {how_often}." if how_often else ""), True)
    text = f"No row is shown to beat guessing{reach}."
    if _is_useless(run, verdict):
        return Answer("", f"{text} As far as this run can tell, these models are useless.", True)
    return Answer("", f"{text} More trials would have to show that before anything else here counts.", True)


def _people(run: RunRecord, verdict: VerdictRecord) -> Answer | None:
    if is_closed(run):
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
    one, several = compared(run)
    if len(verdict.best) == 1 and not tested and verdict.simplest:
        return _of_one(run, verdict, metric)
    if not judged and not tested:
        return Answer("", f"Nothing can be said about the {several} in {metric.name}: there are too few trials.", True)
    if len(candidates) == 1 and len(judged) > 1:
        sentences.append(f"{candidates[0]} is shown to be the best of the {len(judged)} {several} in {metric.name}.")
    elif 1 < len(candidates) < len(judged):
        sentences.append(
            f"In {metric.name} the best of the {len(judged)} {several} is one of these {len(candidates)}: "
            f"{labels_in_words(candidates)}."
        )
    if better:
        named = [f"{claim.label} by {metric.size(abs(claim.difference or 0.0))}" for claim in better]
        verb = "helps" if len(better) == 1 else "help"
        count = f"{len(better)} of {many(len(tested), 'loss', 'losses')} {verb}"
        sentences.append(f"{count} (better than the {verdict.reference}): {labels_in_words(named)}.")
    unbeaten = ["another"] if all_alike(verdict) else []
    # Embeddings that exist already are not compared with what losses start from.
    unhelped = [f"the {verdict.reference}"] if tested and not better else []
    unbeaten += unhelped if one == "loss" else []
    unbeaten += [SIMPLEST] if _is_simplest_unbeaten(verdict) else []
    if unbeaten:
        sentences.append(f"No {one} is shown to be better than {_or_than(unbeaten)} in {metric.name}.")
    if one != "loss" and unhelped:
        sentences.append(f"No loss is shown to be better than {unhelped[0]} in {metric.name}.")
    if len(verdict.best) > 1 and not judged:
        with_more = f"with {_more_trials(run, TRIALS_FOR_BEST)} it can"
        sentences.append(f"Which may be the best cannot be said from so few trials; {with_more}.")
    if worse:
        verb = "is" if len(worse) == 1 else "are"
        sentences.append(
            f"{labels_in_words([claim.label for claim in worse])} {verb} worse than the {verdict.reference}."
        )
    return Answer("", " ".join(sentences))


def _of_one(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    """Return whether the only row beside the baselines is better than the simplest of them."""
    (claim,) = verdict.simplest
    if claim.p_corrected is None:
        return None
    by = (
        f" (by {metric.size(abs(claim.difference or 0.0))} than {claim.reference})" if claim.verdict == "better" else ""
    )
    shown = "is shown" if claim.verdict == "better" else "is not shown"
    rows = {row.label for row in rows_of(run)}
    there = [label for label in (PIXELS.label, PCA.label) if label in rows]
    simplest = SIMPLEST if len(there) > 1 else there[0]
    return Answer("", f"{claim.label} {shown} to be better than {simplest} in {metric.name}{by}.")


def all_alike(verdict: VerdictRecord) -> bool:
    """Return whether several losses were compared with one another, and each of them may be the best."""
    compared = [standing for standing in verdict.best if standing.interval]
    return len(compared) > 1 and all(standing.may_be_best for standing in compared)


def _is_simplest_unbeaten(verdict: VerdictRecord) -> bool:
    tested = [claim for claim in verdict.simplest if claim.p_corrected is not None]
    return bool(tested) and all(claim.verdict != "better" for claim in tested)


def _or_than(rows: Sequence[str]) -> str:
    """Return ``another, than the phase-1 embedding, or than both raw pixels and PCA``."""
    return ", or than ".join([", than ".join(rows[:-1]), rows[-1]]) if len(rows) > 2 else " or than ".join(rows)


def _cannot_answer(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> bool:
    """Return whether not even a perfect loss would probably have been shown to help."""
    if verdict.needed is None or _better(verdict):
        return False
    now, room = verdict.needed.now.detectable, _room(run, metric)
    return now is None or (room is not None and now >= room)


def _room(run: RunRecord, metric: Metric) -> float | None:
    """Return by how much a perfect loss would be better than the phase-1 embedding; ``None`` if there is none."""
    start = next((row.mean(metric) for row in rows_of(run) if row.label == reference(run)), None)
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
        text = f"{trials} are too few to show that a loss helps, however good it is"
    elif now is None:
        text = f"{trials} are too few to decide about {many(needed.undecided, 'loss', 'losses')}"
    else:
        losses = many(needed.undecided, "loss is", "losses are")
        text = f"{losses} undecided, since {trials} easily miss a difference of less than {metric.size(now)}"
    more = ways(run, needed)
    if more:
        text += f"; {' or '.join(more)} would tell more"
    elif no_answer:
        text += "; it takes many more people, or losses that differ more"
    return Answer("", f"{text}.", no_answer)


def to_use(run: RunRecord, chosen: str | None = None) -> Answer | None:
    """Return which model to use now, for those who want one; ``None`` where none is shown to be of use.

    Args:
        run: What the run found.
        chosen: The loss whose model `faceexp verify` takes of this run; ``None`` if that is not known here.
    """
    verdict = judged(run)
    losses = [row.label for row in rows_of(run) if row.kind != "baseline" and row.ok]
    if verdict is None or not losses or _none_beats_guessing(verdict):
        return None
    if len(losses) == 1:
        takes = f"the one of {losses[0]}"
    else:
        takes = f"{chosen}, the best on validation people" if chosen else "the best on validation people, and names it"
    as_good = "; any other may be as good, as far as this run shows" if all_alike(verdict) else ""
    return Answer("", f"To use a model now: `faceexp verify RUN PHOTO PHOTO` takes {takes}{as_good}.")
