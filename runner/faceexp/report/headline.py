"""The finding of a run in two or three sentences, which stand above its table on the screen and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from faceexp.evaluation.catalogue import ACCURACY, FOLD_ACCURACY, METRIC_OF, Metric
from faceexp.experiment.asked import TRIALS_FOR_BEST, TRIALS_FOR_HELPS
from faceexp.experiment.baselines import PIXELS
from faceexp.planning.prospects import more_trials
from faceexp.report.answers import Answer, ended_because, labels_in_words
from faceexp.report.columns import compared, judged, mean_and_interval, primary, reference, rows_of, simplest, trains
from faceexp.report.effort import more_people, seeds_of, ways
from faceexp.report.findings import is_closed
from faceexp.report.findings import verdict as told_apart
from faceexp.report.searched import tuning
from faceexp.report.used import used_sentence
from faceexp.report.words import many
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import ClaimRecord, VerdictRecord

AUC = METRIC_OF["auc"]
# If no mean AUC is above this, a model is no help to anybody, whatever is shown of it.
USELESS = 0.6
# What is said of a run of too few trials for any test.
UNTESTED = "with so few trials nothing is tested, and the numbers may be luck"
# What is said of rows that are the same in every trial.
UNVARIED = (
    "Nothing is trained, so that every trial gives the same embeddings of this test set and nothing is tested: the "
    "numbers are about these pairs alone."
)


def headline(run: RunRecord) -> list[Answer]:
    """Return the finding, one sentence after the other; what a reader must know before believing anything warns."""
    about = used_sentence(run)
    return [*_finding(run), *([Answer("", about, True)] if about else [])]


def _finding(run: RunRecord) -> list[Answer]:
    verdict = judged(run)
    if verdict is None:
        return [Answer("", told_apart(run))]
    if nothing_is_tested(verdict):
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


def nothing_is_tested(verdict: VerdictRecord) -> bool:
    """Return whether no row could be compared with guessing."""
    return bool(verdict.guessing) and all(claim.p_corrected is None for claim in verdict.guessing)


def none_beats_guessing(verdict: VerdictRecord) -> bool:
    """Return whether no row is shown to beat guessing."""
    return all(claim.verdict != "better" for claim in verdict.guessing)


def _better(verdict: VerdictRecord) -> list[ClaimRecord]:
    return [claim for claim in verdict.helps if claim.verdict == "better"]


def _untested(run: RunRecord) -> Answer:
    """Return what a run of too few trials for any test says."""
    reach = f" {how_often}" if (how_often := _how_often(run)) else ""
    if run.measured_on and not trains(run):
        return Answer("", f"{UNVARIED}{reach}", True)
    people = more_people(run)
    enough = f" {people} would be enough to test and to tune on." if people else ""
    return Answer(
        "",
        f"{UNTESTED[:1].upper()}{UNTESTED[1:]}. {_with_more_trials(run)}{enough}{reach}",
        True,
    )


def _with_more_trials(run: RunRecord) -> str:
    """Return what more trials would show; where nothing is trained, there is nothing that a loss could help."""
    few, more = _more_trials(run, TRIALS_FOR_HELPS), _more_trials(run, TRIALS_FOR_BEST)
    if not trains(run):
        return f"With {more} the run says which may be the best."
    return f"With {few} the run says which losses help, with {more} which may be the best."


def _more_trials(run: RunRecord, trials: int) -> str:
    """Return what gives each row so many trials, as the experiment file says it."""
    folds = len({fold for _, fold in run.cells})
    averaged = run.average_seeds or (run.protocol == "pairs_file" and folds > 1)
    return more_trials(trials, seeds_of(run), folds, averaged=averaged)


def _mean_aucs(run: RunRecord) -> list[float]:
    return [mean for row in rows_of(run) if (mean := row.mean(AUC)) is not None]


def _range_of_means(run: RunRecord, metric: Metric, digits: int, labels: Sequence[str] | None = None) -> str:
    """Return the lowest and the highest mean of the rows in a metric; nothing where it was not measured."""
    rows = [row for row in rows_of(run) if labels is None or row.label in labels]
    of_rows = [mean * metric.scale for row in rows if (mean := row.mean(metric)) is not None]
    if not of_rows:
        return ""
    low, high = f"{min(of_rows):.{digits}f}", f"{max(of_rows):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def _how_often(run: RunRecord) -> str:
    """Return how often the rows are right about pairs of people, in a sentence; nothing where that was not measured.

    Where a list of pairs has folds, that is the number which its protocol defines, and not the one of other runs.
    """
    if of_folds := _range_of_means(run, FOLD_ACCURACY, 1):
        only = [row for row in rows_of(run) if row.kind != "baseline" and row.mean(FOLD_ACCURACY) is not None]
        if len(only) == 1:
            mean = mean_and_interval(only[0].summaries[FOLD_ACCURACY.key], FOLD_ACCURACY)
            of_folds = (
                f"{mean} % of its pairs: {only[0].label}, {FOLD_ACCURACY.name}, mean and standard error over folds"
            )
            return f"By the protocol of the list, right about {of_folds}."
        return f"By the protocol of the list, right about {of_folds} % of its pairs ({FOLD_ACCURACY.name}, over folds)."
    shares = _range_of_means(run, ACCURACY, 0)
    if not shares:
        return ""
    existing = any(row.kind == "pretrained" for row in rows_of(run))
    unseen = "of people of the test" if existing else "of people whom they had not seen"
    whom = "of people whom they had seen in training" if is_closed(run) else unseen
    guessing = f"guessing: {(ACCURACY.guessing or 0.0) * ACCURACY.scale:.0f} %"
    return f"At the validation threshold, right about {shares} % of pairs {whom} ({ACCURACY.name}; {guessing})."


def _is_useless(run: RunRecord, verdict: VerdictRecord) -> bool:
    """Return whether no row is shown to beat guessing, or comes anywhere near doing so."""
    return none_beats_guessing(verdict) and max(_mean_aucs(run), default=1.0) < USELESS


def _guessing(run: RunRecord, verdict: VerdictRecord) -> Answer | None:
    """Return whether the rows beat guessing, and how often they are right."""
    if not verdict.guessing:
        return None
    losing, rows = [claim.label for claim in verdict.guessing if claim.verdict != "better"], len(verdict.guessing)
    tested = [claim for claim in verdict.guessing if claim.p_corrected is not None or claim.verdict == "better"]
    if 0 < len(losing) == rows - len(tested):
        return _some_untested(run, [claim.label for claim in tested], losing)
    aucs = _range_of_means(run, AUC, AUC.digits)
    reach = f": {AUC.name} {aucs} (guessing: {AUC.guessing})" if aucs else ""
    how_often = f" {said}" if (said := _how_often(run)) else ""
    if not losing:
        beat = f"All {rows} rows beat" if rows > 1 else "The only row beats"
        # A single model of them, which is judged by the people of its own trial, may not be shown to.
        return Answer("", f"{beat} guessing over all trials together{reach}.{how_often}")
    if len(losing) < rows:
        verb = "is" if len(losing) == 1 else "are"
        text = f"{len(losing)} of {many(rows, 'row')} {verb} not shown to beat guessing: {labels_in_words(losing)}."
        means = f" {AUC.name} of all rows: {aucs} (guessing: {AUC.guessing})." if aucs else ""
        return Answer("", f"{text}{means}{how_often}", True)
    text = f"No row is shown to beat guessing{reach}.{how_often}"
    if _is_useless(run, verdict):
        return Answer("", f"{text} As far as this run can tell, these models are useless.", True)
    return Answer("", f"{text} More trials would have to show that before anything else here counts.", True)


def _some_untested(run: RunRecord, better: Sequence[str], untested: Sequence[str]) -> Answer:
    """Return that some rows beat guessing, and that the others have too few trials: people alone judge the former."""
    aucs = _range_of_means(run, AUC, AUC.digits, better)
    beat = f"{labels_in_words(better)} {'beats' if len(better) == 1 else 'beat'} guessing"
    reach = f": {AUC.name} {aucs} (guessing: {AUC.guessing})" if aucs else ""
    others = f"{labels_in_words(untested)} {'is' if len(untested) == 1 else 'are'} not tested, for lack of trials"
    return Answer("", f"{beat}{reach}; {others}. {_how_often(run)}".rstrip())


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
        return _too_few(run, verdict, metric)
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
    unbeaten += [_simplest_in_words(run)] if _is_simplest_unbeaten(verdict) else []
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


def _too_few(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    """Return that so few trials compare nothing; nothing of an embedding that there is nothing to compare with."""
    one, several = compared(run)
    said = f"Nothing can be said about the {several} in {metric.name}: there are too few trials"
    if one == "loss":
        return Answer("", f"{said}.", True)
    if len(verdict.best) == 1:
        return None
    # Embeddings that are only measured are compared over trials as losses are, though each is judged by people.
    with_more = f"with {_more_trials(run, TRIALS_FOR_BEST)} it can be said which may be the best"
    return Answer("", f"{said}; {with_more}.", True)


def _of_one(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    """Return whether the only row beside the baselines is better than the simplest of them."""
    (claim,) = verdict.simplest
    if claim.p_corrected is None:
        return None
    by = (
        f" (by {metric.size(abs(claim.difference or 0.0))} than {claim.reference})" if claim.verdict == "better" else ""
    )
    shown = "is shown" if claim.verdict == "better" else "is not shown"
    than = _simplest_in_words(run)
    return Answer("", f"{claim.label} {shown} to be better than {than} in {metric.name}{by}.")


def _simplest_in_words(run: RunRecord) -> str:
    """Return ``both raw pixels and PCA``, or the one of them that the run has."""
    there = simplest(run)
    return there[0] if len(there) == 1 else f"both {PIXELS.label} and PCA"


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


def cannot_answer(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> bool:
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
    if no_answer := cannot_answer(run, verdict, metric):
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
        chosen: The loss whose model `faceexp verify` takes of this run; ``None`` if that is not known here, and empty
            if the run was asked to keep no models.
    """
    verdict = judged(run)
    losses = [row.label for row in rows_of(run) if row.kind != "baseline" and row.ok]
    if verdict is None or not losses or none_beats_guessing(verdict):
        return None
    if chosen == "":
        return Answer("", "To use a model, run this again with `--set keep.models=best`: its file asks to keep none.")
    if len(losses) == 1:
        takes = f"the one of {losses[0]}"
    else:
        takes = f"{chosen}, the best on validation people" if chosen else "the best on validation people, and names it"
    as_good = "; any other may be as good, as far as this run shows" if all_alike(verdict) else ""
    return Answer("", f"To use a model now: `faceexp verify RUN PHOTO PHOTO` takes {takes}{as_good}.")
