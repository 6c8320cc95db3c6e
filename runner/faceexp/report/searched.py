"""What a search found, in words and rows: what every loss was given, what was chosen, and what that gained on test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from faceexp.evaluation.catalogue import METRIC_OF, Metric
from faceexp.report.answers import Answer, labels_in_words, points
from faceexp.report.columns import primary
from faceexp.report.settings_in_words import score_text, value_text
from faceexp.report.words import MINUS, NOTHING, between, many, probability, signed
from faceexp.results.schema import RunRecord
from faceexp.results.search_record import SearchedRecord, SearchRecord
from faceexp.results.verdict import ClaimRecord

# What is shown of a loss with its chosen settings, compared with its defaults.
WORDS = {"better": "gains", "worse": "loses", "practically equal": "same", "undecided": "?"}
KEPT = "defaults kept"
PROPOSED = {
    "tpe": "proposed by Optuna's TPE, which learns from the trials before",
    "random": "drawn at random",
    "grid": "taken from a grid",
}


@dataclass(frozen=True)
class LossRow:
    """What a search found of one loss.

    Attributes:
        label: Its name.
        default: The validation score of its default settings.
        chosen: That of those that were chosen.
        gain: By how much these are better than the defaults on test; or why that is not known.
        interval: The interval of that.
        p: Its p-value, corrected for the number of losses.
        verdict: What is shown of it, in a word.
        ended: How many trials were trained to the end, and how the others ended.
    """

    label: str
    default: str
    chosen: str
    gain: str
    interval: str
    p: str
    verdict: str
    ended: str


@dataclass(frozen=True)
class SettingRow:
    """What a search found of one setting of a loss.

    Attributes:
        label: The loss.
        setting: Its name.
        tried: The values that were tried, in words.
        suggested: Whether the plugin suggests these, not the file.
        default: Its value where nothing is written.
        chosen: Its value in the best trial.
        share: Its share in what makes scores differ, in per cent.
        at_edge: Whether the chosen value lies at an end of the range.
    """

    label: str
    setting: str
    tried: str
    suggested: bool
    default: str
    chosen: str
    share: str
    at_edge: bool


def budgets_sentence(search: SearchRecord, chosen_by: str) -> str:
    """Return what every loss was given, and what pruning saved.

    Args:
        search: What was searched.
        chosen_by: The metric on validation people that settings were chosen by.
    """
    score = METRIC_OF[chosen_by].name
    of_losses = _of_losses(search, score) if search.losses else ""
    if search.phase1 is None:
        return of_losses
    number = f"{many(search.trials, 'trial')}, {many(search.phase1.trainings, 'training')}"
    text = f"Trunk and phase 1, which all losses share, were searched first ({number}), and judged by the "
    return f"{text}{score} of their embedding of validation people. {of_losses}".rstrip()


def _of_losses(search: SearchRecord, score: str) -> str:
    losses, planned = search.losses, search.trials * search.trainings
    steps, images = between([each.steps for each in losses]), between([each.images for each in losses])
    cells = f"{many(len(search.seeds), 'seed')} x {many(search.trainings // max(1, len(search.seeds)), 'fold')}"
    whom = "Each loss" if len(losses) > 1 else losses[0].label
    text = (
        f"{whom} was given {many(search.trials, 'trial')} x {cells} = {many(planned, 'training')}, each of {steps} "
        f"steps and {images} images"
    )
    made = [each.trainings for each in losses]
    ended = sum(trial.state == "pruned" for each in losses for trial in each.trials)
    if ended:
        text += (
            f". The pruner ({search.pruner}) ended {ended:,} of {many(search.trials * len(losses), 'trial')} early, so "
            f"that {between(made)} trainings of a loss were made; what was saved went to no other loss"
        )
    elif len(losses) > 1:
        text += ": equal budgets"
    proposed = PROPOSED.get(search.sampler, search.sampler)
    return f"{text}. Settings were {proposed}, and judged by the {score} of validation people."


def loss_rows(run: RunRecord, search: SearchRecord) -> list[LossRow]:
    """Return what was found of each loss, in the order of the file."""
    metric = primary(run)
    claims = {claim.label: claim for claim in search.gains}
    return [_loss_row(loss, claims.get(loss.label), metric) for loss in search.losses]


def _loss_row(loss: SearchedRecord, claim: ClaimRecord | None, metric: Metric) -> LossRow:
    kept = KEPT if keeps_defaults(loss) else NOTHING
    return LossRow(
        label=loss.label,
        default=score_text(loss.default_score),
        chosen=score_text(loss.score),
        gain=signed(claim.difference, metric.scale, metric.digits) if claim else kept,
        interval=_interval(claim, metric),
        p=probability(claim.p_corrected) if claim else NOTHING,
        verdict=WORDS[claim.verdict] if claim else "",
        ended=_ended(loss),
    )


def _interval(claim: ClaimRecord | None, metric: Metric) -> str:
    if claim is None or claim.interval is None:
        return NOTHING
    low, high = (f"{end * metric.scale:.{metric.digits}f}".replace("-", MINUS) for end in claim.interval)
    return f"{low} to {high}"


def keeps_defaults(loss: SearchedRecord) -> bool:
    """Return whether nothing better than the default settings was tried."""
    return not loss.best or loss.best == loss.defaults


def _ended(loss: SearchedRecord) -> str:
    """Return how the trials of a loss ended: ``28 of 30, 1 pruned, 1 failed``."""
    states = Counter(trial.state for trial in loss.trials)
    others = [f"{states[state]} {state}" for state in ("pruned", "diverged", "failed") if states[state]]
    return ", ".join([f"{states['ok']} of {len(loss.trials)}", *others])


def every_part(search: SearchRecord) -> list[SearchedRecord]:
    """Return what was searched, phase 1 first."""
    return [*([search.phase1] if search.phase1 else []), *search.losses]


def setting_rows(search: SearchRecord) -> list[SettingRow]:
    """Return what was found of each setting of each loss."""
    return [
        SettingRow(
            label=loss.label,
            setting=name,
            tried=words,
            suggested=name in loss.suggested,
            default=value_text(loss.defaults.get(name)),
            chosen=value_text(loss.best.get(name)),
            share="" if (share := loss.importances.get(name)) is None else f"{share * 100:.0f}",
            at_edge=name in loss.at_edge,
        )
        for loss in every_part(search)
        for name, words in loss.ranges.items()
    ]


def edges(search: SearchRecord) -> list[str]:
    """Return a hint for each setting whose chosen value lies at an end of its range."""
    return [
        f"{loss.label}: {name} = {value_text(loss.best.get(name))} lies at an end of what was tried "
        f"({loss.ranges[name]}); write a wider range, since a better value may lie beyond"
        for loss in every_part(search)
        for name in loss.at_edge
    ]


def failures(search: SearchRecord) -> list[str]:
    """Return for each loss how many trials failed or diverged, and why."""
    lines = []
    for loss in every_part(search):
        failed = sum(trial.state in ("failed", "diverged") for trial in loss.trials)
        if failed:
            reasons = "; ".join(loss.reasons) or "no reason is known"
            number = f"{failed} of {many(len(loss.trials), 'trial')}"
            lines.append(f"{loss.label}: {number} of the search failed or diverged: {reasons}")
    return lines


def tuning(run: RunRecord) -> Answer | None:
    """Return in a sentence what tuning gained on test over the defaults; ``None`` where nothing was searched."""
    return Answer("", f"Tuning: {_tuning(run, run.search)}") if run.search else None


def _tuning(run: RunRecord, search: SearchRecord) -> str:
    metric, losses = primary(run), len(search.losses)
    kept = [loss.label for loss in search.losses if keeps_defaults(loss)]
    if len(kept) == losses:
        nothing = "nothing better than the defaults was tried"
        return f"{nothing if losses else 'only trunk and phase 1 were searched, which all losses share'}."
    rest = f" For {labels_in_words(kept)}, nothing better than the defaults was tried." if kept else ""
    tested = [claim for claim in search.gains if claim.p_corrected is not None]
    if not tested:
        few = "what it gained on test cannot be said from so few trials"
        alone = "what it gained is not known, since the defaults are not in the comparison"
        return f"{few if search.gains else alone}.{rest}"
    parts = []
    for word in ("better", "worse"):
        claims = sorted(_of(tested, word), key=lambda claim: -abs(claim.difference or 0.0))
        if claims:
            verb, most = ("are", "most of all ") if len(claims) > 1 else ("is", "")
            named = f"{most}{claims[0].label} by {points(claims[0], metric)}"
            parts.append(f"{len(claims)} {verb} shown to be {word}, {named}")
    if parts:
        whose = f"of {many(losses, 'loss', 'losses')}, with the chosen settings instead of the defaults,"
        return f"{whose} {'; '.join(parts)}, in {metric.name} on test.{rest}"
    largest = max(tested, key=lambda claim: _goodness(claim, metric))
    difference = f"{signed(largest.difference, metric.scale, metric.digits)} ({_interval(largest, metric)})"
    return (
        f"no loss is shown to be better or worse in {metric.name} with the chosen settings than with its defaults; the "
        f"largest gain is {difference}, of {largest.label}.{rest}"
    )


def _of(claims: Sequence[ClaimRecord], verdict: str) -> list[ClaimRecord]:
    return [claim for claim in claims if claim.verdict == verdict]


def _goodness(claim: ClaimRecord, metric: Metric) -> float:
    difference = claim.difference or 0.0
    return difference if metric.higher_is_better else -difference


def several_settings(run: RunRecord) -> list[str]:
    """Return which losses have several settings, and by which they are judged; nothing where none has."""
    rows = {trial.label for trial in run.trials}
    counts = Counter(setting.of for setting in run.settings)
    several = [name for name, count in counts.items() if count > 1]
    if not several:
        return []
    if any(setting.label in rows and not setting.chosen for setting in run.settings):
        judged = [setting.label for setting in run.settings if setting.chosen and setting.of in several]
        return [f"losses are judged by the settings that are best on validation people: {labels_in_words(judged)}"]
    if all(setting.label == setting.of for setting in run.settings if setting.chosen):
        return [f"{labels_in_words(several)}: with the settings of the search; --settings shows the defaults, too"]
    named = labels_in_words([f"{name} ({counts[name]} settings)" for name in several])
    return [f"{named}: the row is that of the setting which is best on validation people; --settings shows all"]
