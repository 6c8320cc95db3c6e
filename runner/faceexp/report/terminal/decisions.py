"""What a model says about photos, in a terminal."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.errors import printable
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import facts_table, plain_table
from faceexp.serving.answers import Identification, JudgedPairs, Tally, Verification
from faceexp.serving.model import FaceModel
from faceexp.serving.thresholds import percent

# Up to so many people of a gallery are listed: a short screen shows this many without scrolling, and whom a photo
# shows is decided by the first of them alone.
SHOWN = 10


def verification(answer: Verification, model: FaceModel) -> RenderableType:
    """Return the decision about two photos, and what it is based on."""
    same = answer.same
    head = Text("the same person" if same else "not the same person", style="bold green" if same else "bold red")
    facts = facts_table()
    facts.add_row("distance", Text(f"{answer.distance:.4g} ({model.distance})"))
    facts.add_row("threshold", Text(_threshold(answer)))
    facts.add_row("probability", Text(_probability(answer.probability)))
    facts.add_row("model", Text(printable(f"{model.label}, {model.folder}")))
    return Group(head, *_guessing(model), facts)


def identification(answer: Identification, model: FaceModel) -> RenderableType:
    """Return whom a photo may show: the nearest people of the gallery, or nobody in it."""
    candidates = shown(answer.candidates)
    nearest = candidates[0]
    head = (
        Text.assemble(("this is ", ""), (nearest.name, "bold green"))
        if answer.somebody
        else Text("nobody in the gallery", style="bold red")
    )
    table = plain_table()
    table.add_column("rank", justify="right")
    table.add_column("person", overflow="fold")
    table.add_column("distance", justify="right")
    table.add_column("probability", justify="right")
    table.add_column("nearest photo", overflow="fold")
    for rank, candidate in enumerate(candidates[:SHOWN], 1):
        accepted = candidate.distance <= answer.threshold
        table.add_row(
            str(rank),
            Text(candidate.name, style="" if accepted else "dim"),
            f"{candidate.distance:.4g}",
            _percent(candidate.probability),
            Text(candidate.photo, style="dim"),
        )
    parts: list[RenderableType] = [head, *_guessing(model), table]
    if len(candidates) > SHOWN:
        parts.append(Text(f"and {len(candidates) - SHOWN} more people", style="dim"))
    note = f"Threshold {_threshold(answer)}"
    if not math.isnan(answer.far) and len(candidates) > 1:
        # Each person in the gallery is one more chance for a stranger to be taken for somebody.
        stranger = 1 - (1 - answer.far) ** len(candidates)
        note += f"; up to {stranger * 100:.2g} % of strangers are taken for one of the {len(candidates)} people here"
    parts.append(Text(printable(f"{note}. Model {model.label}, {model.folder}"), style="dim"))
    return Group(*parts)


def pairs_summary(tally: Tally, judged: JudgedPairs, model: FaceModel) -> RenderableType:
    """Return how many pairs were judged and, where that is known, how many of them rightly; and by which threshold."""
    text = f"{tally.pairs:,} pairs, {tally.accepted:,} judged to show one person"
    if tally.accuracy is not None:
        text += f"; balanced accuracy {tally.accuracy * 100:.2f} %, right {tally.right:,} of {tally.known:,}"
    elif tally.right is not None:
        text += f"; right {tally.right:,} of {tally.known:,}"
    return Group(Text(text, style="bold"), Text(f"threshold {_threshold(judged)}"), *_guessing(model))


def _guessing(model: FaceModel) -> list[RenderableType]:
    """Return a warning if the model is worthless."""
    if not model.is_guessing:
        return []
    text = "This model is no better than guessing: on its validation people, photos of one person were not nearer"
    return [Text(f"{text} to each other than photos of two.", style="bold yellow")]


def _threshold(answer: Verification | Identification | JudgedPairs) -> str:
    """Return the threshold, and which share of different pairs it accepts of which people."""
    text = f"{answer.threshold:.4g}"
    if math.isnan(answer.far):
        return text
    text += f", which accepts {percent(answer.far)} % of different pairs (measured on validation people"
    if not math.isnan(answer.test_far):
        text += f"; on test people it accepted {percent(answer.test_far)} %"
    if answer.far_range:
        low, high = answer.far_range
        text += f"; on others it is likely to accept {percent(low)} to {percent(high)} %"
    return f"{text})"


def _percent(probability: float) -> str:
    if math.isnan(probability):
        return "-"
    # No model is certain: the fit behind the probability cannot tell 99.9 % from 100 %.
    return f"{min(max(probability, 0.001), 0.999) * 100:.1f} %"


def _probability(probability: float) -> str:
    return f"{_percent(probability)} that both show one person, if that is as likely as not beforehand"
