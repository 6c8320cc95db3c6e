"""What a model says of photos, as people read it."""

from __future__ import annotations

import math

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from faceexp.serving.answers import Identification, Tally, Verification
from faceexp.serving.model import FaceModel

SHOWN = 10


def verification(answer: Verification, model: FaceModel) -> RenderableType:
    """Return the decision on two photos, and what it rests on."""
    same = answer.same
    head = Text("the same person" if same else "not the same person", style="bold green" if same else "bold red")
    facts = _facts()
    facts.add_row("distance", f"{answer.distance:.4g} ({model.distance})")
    facts.add_row("threshold", Text(_threshold(answer.threshold, answer.far)))
    facts.add_row("probability", Text(_probability(answer.probability)))
    facts.add_row("model", Text(f"{model.label}, {model.folder}"))
    return Group(head, facts)


def identification(answer: Identification, model: FaceModel) -> RenderableType:
    """Return who a photo may show: the nearest people, or that it is nobody of the gallery."""
    candidates = answer.candidates
    nearest = candidates[0]
    head = (
        Text.assemble(("this is ", ""), (nearest.name, "bold green"))
        if answer.somebody
        else Text("nobody in the gallery", style="bold red")
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
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
        # People of a gallery are so many chances to be taken for somebody.
        stranger = 1 - (1 - answer.far) ** len(candidates)
        note += f"; a stranger meets {len(candidates)} people here and is taken for one of them in up to {stranger:.2g}"
    parts.append(Text(f"{note}. Model {model.label}, {model.folder}", style="dim"))
    return Group(*parts)


def pairs_summary(tally: Tally) -> RenderableType:
    """Return how many pairs were judged, and how many rightly where that is known."""
    text = f"{tally.pairs:,} pairs, {tally.accepted:,} judged to show one person"
    if tally.accuracy is not None:
        text += f"; balanced accuracy {tally.accuracy * 100:.2f} %, right {tally.right:,} of {tally.known:,}"
    elif tally.right is not None:
        text += f"; right {tally.right:,} of {tally.known:,}"
    return Text(text, style="bold")


def _facts() -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    return facts


def _threshold(threshold: float, far: float) -> str:
    if math.isnan(far):
        return f"{threshold:.4g}"
    return f"{threshold:.4g}, which accepts {far * 100:.2g} % of different pairs (measured on validation people)"


def _percent(probability: float) -> str:
    if math.isnan(probability):
        return "-"
    # Never certain: a model that says 100 % knows no more than one that says 99.9.
    return f"{min(max(probability, 0.001), 0.999) * 100:.1f} %"


def _probability(probability: float) -> str:
    return f"{_percent(probability)} that both show one person, if that is as likely as not beforehand"
