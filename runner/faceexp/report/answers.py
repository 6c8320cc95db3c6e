"""What a run answers, in sentences: what people read first, on the screen and on the page.

First comes whether any row beats guessing at all, then whether any loss beats the simplest baselines. Only then it is
worth reading which losses help, which may be the best, what is practically the same, what could not be decided, and
what it would take to decide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from faceexp.evaluation.catalogue import Metric
from faceexp.experiment.baselines import PIXELS
from faceexp.report.columns import compared, judged, primary, simplest
from faceexp.report.effort import ways
from faceexp.report.words import MINUS, many, signed, together
from faceexp.results.schema import RunRecord
from faceexp.results.verdict import ClaimRecord, StandingRecord, VerdictRecord
from faceexp.statistics.power.question import ALPHA

# Up to this many rows are named in a sentence; of more, the first are named and the rest are counted.
NAMED = 5
# Words for a claim of the question "helps", in the column of a table.
WORDS = {"better": "helps", "worse": "hurts", "practically equal": "same", "undecided": "?"}


@dataclass(frozen=True)
class Answer:
    """One question and its answer.

    Attributes:
        question: The question in few words.
        text: The answer, in one or two full sentences.
        warns: Whether a reader must know this before believing anything else.
    """

    question: str
    text: str
    warns: bool = False


# What the rows beside the baselines are called, one and several.
Words = tuple[str, str]


def answers(run: RunRecord) -> list[Answer]:
    """Return what a run answers; nothing for a run of an older version, which asked no questions."""
    verdict = judged(run)
    if verdict is None:
        return []
    metric = primary(run)
    given = [_same_people(verdict), _guessing(verdict), _simplest(run, verdict, metric)]
    if "helps" in verdict.questions:
        given.append(_helps(verdict, metric))
    if "best" in verdict.questions:
        given.append(_best(verdict, metric, compared(run)))
    given += [_looks(verdict), _same(verdict, metric), _spread(verdict), _needed(run, verdict, metric)]
    return [answer for answer in given if answer]


def _looks(verdict: VerdictRecord) -> Answer | None:
    """Return how strictly a run was judged that looked at its trials several times, and why it ended."""
    if not verdict.looks:
        return None
    level, most = 100 * verdict.alpha, _most_looks(verdict)
    text = (
        f"The run looked at its trials {many(len(verdict.looks), 'time')} and might have done so {many(most, 'time')}. "
        f"So that all looks together keep to {100 * ALPHA:g} %, each question is held to {level:g} % at each look: "
        f"intervals of differences are {100 - level:g} % intervals, wider than those of a run that looks once. "
        f"It ended because {ended_because(verdict)}."
    )
    return Answer("how many looks?", text)


def _most_looks(verdict: VerdictRecord) -> int:
    """Return how many looks the run might have made, which share the probability of a false claim."""
    return round(ALPHA / verdict.alpha)


def ended_because(verdict: VerdictRecord) -> str:
    """Return why a run made no further look."""
    if not verdict.in_question:
        return "further looks could not have decided more"
    if len(verdict.looks) >= _most_looks(verdict):
        return "no look was left"
    return "another look would have taken longer than the run may take"


def _same_people(verdict: VerdictRecord) -> Answer | None:
    if not verdict.same_people:
        return None
    text = "These people: all trials test the same ones, so nothing below says what holds for others."
    return Answer("of whom does this speak?", text, True)


def _guessing(verdict: VerdictRecord) -> Answer:
    question = "better than guessing?"
    tested = [claim for claim in verdict.guessing if claim.p_corrected is not None or claim.verdict == "better"]
    if not tested:
        text = "It cannot be said whether any row beats guessing: that takes two trials at least, which differ."
        return Answer(question, text, True)
    losing = [claim.label for claim in verdict.guessing if claim.verdict != "better"]
    better = [claim.label for claim in verdict.guessing if claim.verdict == "better"]
    if 0 < len(losing) == len(verdict.guessing) - len(tested):
        lacking = f"{labels_in_words(losing)} {'is' if len(losing) == 1 else 'are'} not tested, for lack of trials"
        return Answer(question, f"{_named(better)} (AUC above 0.5); {lacking}.")
    if not better:
        text = f"No. {_none_of(len(losing), 'row')} shown to beat guessing (AUC above 0.5): the rest means little."
        return Answer(question, text, True)
    if losing:
        return Answer(question, f"Not all: {_named(losing)} not shown to have an AUC above 0.5.", True)
    return Answer(question, f"Yes, {_all(len(verdict.guessing), 'row')} (AUC above 0.5).")


def _simplest(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    tested = [claim for claim in verdict.simplest if claim.p_corrected is not None]
    if not tested:
        return None
    words, there = compared(run), simplest(run)
    question = f"better than {there[0] if len(there) == 1 else f'{PIXELS.label} and PCA'}?"
    beating = [claim.label for claim in tested if claim.verdict == "better"]
    losses = len(verdict.simplest)
    if not beating:
        text = f"No. {_none_of(losses, *words)} shown to beat {'it' if len(there) == 1 else 'both'} in {metric.name}."
        return Answer(question, text, True)
    if len(beating) == losses:
        return Answer(question, f"Yes, {_all(losses, *words)}, in {metric.name}.")
    verb = "is" if len(beating) == 1 else "are"
    return Answer(question, f"{len(beating)} of {losses} {words[1]} {verb} shown to be: {labels_in_words(beating)}.")


def _helps(verdict: VerdictRecord, metric: Metric) -> Answer:
    question = "which losses help?"
    tested = [claim for claim in verdict.helps if claim.p_corrected is not None]
    if not tested:
        text = f"It cannot be said: two trials at least of each loss and of the {verdict.reference} are needed."
        return Answer(question, text, True)
    parts = []
    for word, verb in (("better", "better"), ("worse", "worse")):
        claims = sorted(_of(tested, word), key=lambda claim: -abs(claim.difference or 0.0))
        if claims:
            named = [f"{claim.label} by {points(claim, metric)}" for claim in claims[:NAMED]]
            rest = [f"{len(claims) - NAMED} more"] if len(claims) > NAMED else []
            parts.append(f"{many(len(claims), 'loss is', 'losses are')} {verb}: {together(named + rest)}")
    if not parts:
        text = (
            f"{_none_of(len(tested), 'loss', 'losses')} shown to be better or worse than the {verdict.reference} "
            f"in {metric.name}."
        )
        return Answer(question, text)
    return Answer(question, f"Compared with the {verdict.reference} in {metric.name}, {'; '.join(parts)}.")


def points(claim: ClaimRecord, metric: Metric) -> str:
    """Return ``5.1 points (2.0 to 8.3)``: a difference without its sign, and its interval turned likewise."""
    difference, ends = claim.difference or 0.0, claim.interval or (0.0, 0.0)
    if difference < 0:
        difference, ends = -difference, (-ends[1], -ends[0])
    low, high = (f"{end * metric.scale:.{metric.digits}f}".replace("-", MINUS) for end in ends)
    return f"{metric.size(difference)} ({low} to {high})"


def _best(verdict: VerdictRecord, metric: Metric, words: Words) -> Answer | None:
    if len(verdict.best) < 2:
        return None
    question = "which may be the best?"
    judged = [standing for standing in verdict.best if standing.interval]
    if not judged:
        text = f"It cannot be said: five trials (seeds x folds) of each {words[0]} at least are needed, which differ."
        return Answer(question, text)
    unjudged = len(verdict.best) - len(judged)
    rest = f" Of {many(unjudged, *words)} too few trials ended well to say." if unjudged else ""
    candidates = sorted((each for each in judged if each.may_be_best), key=lambda each: -_goodness(each, metric))
    if len(candidates) == len(judged):
        text = f"Any of the {len(judged)} {words[1]}: none is shown to be worse than another in {metric.name}."
        return Answer(question, text + rest)
    if len(candidates) == 1:
        text = f"{candidates[0].label}: it is shown to be better than every other of the {len(judged)} {words[1]}."
        return Answer(question, text + rest)
    others = len(judged) - len(candidates)
    return Answer(
        question,
        f"In {metric.name} the best {words[0]} is, with 95 % confidence, among these {len(candidates)}: "
        f"{labels_in_words([each.label for each in candidates])}; "
        f"the other {many(others, *words)} {'is' if others == 1 else 'are'} not.{rest}",
    )


def _goodness(standing: StandingRecord, metric: Metric) -> float:
    difference = standing.difference or 0.0
    return difference if metric.higher_is_better else -difference


def _same(verdict: VerdictRecord, metric: Metric) -> Answer | None:
    margin = metric.size(verdict.equivalence)
    sentences = []
    if equal := [claim.label for claim in _of(verdict.helps, "practically equal")]:
        sentences.append(f"Within {margin} of the {verdict.reference}: {labels_in_words(equal)}.")
    if nearly := [each.label for each in verdict.best if each.practically_best]:
        sentences.append(f"At most {margin} worse than the best: {labels_in_words(nearly)}.")
    return Answer("what is practically the same?", " ".join(sentences)) if sentences else None


def _spread(verdict: VerdictRecord) -> Answer | None:
    shares = [spread.people_share for spread in verdict.spread if spread.people_share is not None]
    if not shares:
        return None
    people = median(shares)
    text = (
        f"Of the variance of a loss's difference from the {verdict.reference}, {people * 100:.0f} % comes from which "
        f"people are tested and {100 - people * 100:.0f} % from training (median of "
        f"{many(len(shares), 'loss', 'losses')})."
    )
    return Answer("what do trials vary by?", text)


def _needed(run: RunRecord, verdict: VerdictRecord, metric: Metric) -> Answer | None:
    needed = verdict.needed
    if needed is None:
        return None
    now = needed.now.detectable
    found = "no possible difference" if now is None else f"a difference of {metric.size(now)} or more"
    losses = many(needed.undecided, "loss is", "losses are")
    trials, corrected = many(needed.now.trials, "trial"), many(len(verdict.helps), "loss", "losses")
    this_run = f"in 80 of 100 such runs, {trials} of each loss find {found}"
    sentences = [f"{losses} undecided: {this_run} (after the correction for {corrected})."]
    if needed.limit:
        sentences.append(f"With these people, no number of seeds finds less than {metric.size(needed.limit)}.")
    if more := ways(run, needed):
        asked = signed(needed.difference, metric.scale, metric.digits)
        about = f", first about {needed.label} ({asked})" if needed.label and needed.difference else ""
        sentences.append(f"{' or '.join(more)} would tell more{about}.")
    return Answer("what would it take to decide more?", " ".join(sentences))


def _of(claims: Sequence[ClaimRecord], verdict: str) -> list[ClaimRecord]:
    return [claim for claim in claims if claim.verdict == verdict]


def labels_in_words(labels: Sequence[str]) -> str:
    """Return the labels; of many, the first ones and how many more there are."""
    if len(labels) <= NAMED + 1:
        return together(labels)
    return together([*labels[:NAMED], f"{len(labels) - NAMED} more"])


def _none_of(number: int, noun: str, plural: str = "") -> str:
    """Return ``None of the 3 losses is`` or ``The only loss is not``."""
    return f"The only {noun} is not" if number == 1 else f"None of the {many(number, noun, plural)} is"


def _all(number: int, noun: str, plural: str = "") -> str:
    """Return ``all 3 losses are`` or ``the only loss is``."""
    return f"the only {noun} is" if number == 1 else f"all {many(number, noun, plural)} are"


def _named(labels: Sequence[str]) -> str:
    """Return labels as the subject of a sentence."""
    return f"{labels_in_words(labels)} {'is' if len(labels) == 1 else 'are'}"


def so_far(verdict: VerdictRecord, looks: int) -> str:
    """Return one line about a run that goes on: what is settled, and what is still in question.

    Args:
        verdict: What is known so far.
        looks: How many looks there may be.
    """
    open_losses = sorted(verdict.in_question)
    words = {"better": "help", "worse": "hurt", "practically equal": "practically the same"}
    parts = [
        f"{verb}: {labels_in_words([claim.label for claim in claims])}"
        for verdict_word, verb in words.items()
        if (claims := _of(verdict.helps, verdict_word))
    ]
    out = [standing.label for standing in verdict.best if not standing.may_be_best]
    parts += [f"not the best: {labels_in_words(out)}"] if out else []
    settled = "; ".join(parts) or "nothing is settled yet"
    return f"look {len(verdict.looks)} of {looks}: {settled}; still in question: {labels_in_words(open_losses)}"


def helps_word(run: RunRecord, label: str) -> str:
    """Return ``+5.1 helps`` for a loss in the column of a table; nothing for a row that was not asked about."""
    if run.verdict is None:
        return ""
    metric = primary(run)
    for claim in run.verdict.helps:
        if claim.label == label:
            return f"{signed(claim.difference, metric.scale, metric.digits)} {WORDS[claim.verdict]}"
    return ""


def best_word(run: RunRecord, label: str) -> str:
    """Return whether a loss may be the best; nothing for a row that was not asked about."""
    if run.verdict is None:
        return ""
    for standing in run.verdict.best:
        if standing.label == label:
            return "?" if not standing.interval else "may be" if standing.may_be_best else "no"
    return ""
