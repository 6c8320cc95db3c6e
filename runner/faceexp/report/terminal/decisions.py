"""What a model says about photos, in a terminal."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.errors import printable
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import facts_table, plain_table
from faceexp.serving.answers import Identification, Tally, Verification
from faceexp.serving.model import FaceModel

# Up to so many people of a gallery are listed: a short screen shows this many without scrolling, and whom a photo
# shows is decided by the first of them alone.
SHOWN = 10


def verification(answer: Verification, model: FaceModel) -> RenderableType:
    """Return the decision about two photos, and what it is based on."""
    same = answer.same
    head = Text("the same person" if same else "not the same person", style="bold green" if same else "bold red")
    facts = facts_table()
    facts.add_row("distance", Text(f"{answer.distance:.4g} ({model.distance})"))
    facts.add_row("threshold", Text(_threshold(answer.threshold, answer.far)))
    facts.add_row("probability", Text(_probability(answer.probability)))
    facts.add_row("model", Text(printable(f"{model.label}, {model.folder}")))
    return Group(head, facts)


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
    parts: list[RenderableType] = [head, table]
    if len(candidates) > SHOWN:
        parts.append(Text(f"and {len(candidates) - SHOWN} more people", style="dim"))
    note = f"Threshold {_threshold(answer.threshold, answer.far)}"
    if not math.isnan(answer.far) and len(candidates) > 1:
        # Each person in the gallery is one more chance for a stranger to be taken for somebody.
        stranger = 1 - (1 - answer.far) ** len(candidates)
        note += f"; up to {stranger * 100:.2g} % of strangers are taken for one of the {len(candidates)} people here"
    parts.append(Text(printable(f"{note}. Model {model.label}, {model.folder}"), style="dim"))
    return Group(*parts)


def pairs_summary(tally: Tally) -> RenderableType:
    """Return how many pairs were judged and, where that is known, how many of them rightly."""
    text = f"{tally.pairs:,} pairs, {tally.accepted:,} judged to show one person"
    if tally.accuracy is not None:
        text += f"; balanced accuracy {tally.accuracy * 100:.2f} %, right {tally.right:,} of {tally.known:,}"
    elif tally.right is not None:
        text += f"; right {tally.right:,} of {tally.known:,}"
    return Text(text, style="bold")


def _threshold(threshold: float, far: float) -> str:
    if math.isnan(far):
        return f"{threshold:.4g}"
    return f"{threshold:.4g}, which accepts {far * 100:.2g} % of different pairs (measured on validation people)"


def _percent(probability: float) -> str:
    if math.isnan(probability):
        return "-"
    # No model is certain: the fit behind the probability cannot tell 99.9 % from 100 %.
    return f"{min(max(probability, 0.001), 0.999) * 100:.1f} %"


def _probability(probability: float) -> str:
    return f"{_percent(probability)} that both show one person, if that is as likely as not beforehand"
