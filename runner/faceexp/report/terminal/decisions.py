"""What a model says about photos, in a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from faceexp.errors import printable
from faceexp.report.shown import shown
from faceexp.report.terminal.tables import facts_table, plain_table
from faceexp.report.words import many
from faceexp.serving.answers import Identification, JudgedPairs, Tally, Verification
from faceexp.serving.thresholds import percent
from faceexp.serving.worth import too_few_people

if TYPE_CHECKING:
    from rich.table import Table

    from faceexp.evaluation.listed import Estimate
    from faceexp.serving.export import Exported
    from faceexp.serving.model import FaceModel
    from faceexp.serving.pair_lists import PairList

# Up to so many people of a gallery are listed, unless another number is asked for: a short screen shows this many
# without scrolling, and whom a photo shows is decided by the first of them alone.
SHOWN = 10
# What is said of labelled pairs, by the name of the rate.
RATES = {
    "auc": "area under the ROC curve (AUC)",
    "far": "false accept rate (FAR)",
    "frr": "false reject rate (FRR)",
    "eer": "equal error rate (EER)",
}
NOT_IN_TRAINING = "True of new people only if nobody in these photos was trained on, which is not checked."
NONE_SEEN = (
    "The model saw none of these files in its training. Other photos of the same people are not checked; if it saw "
    "those, the rates are too favourable."
)
SEEN_PAIRS = (
    "A threshold that is set on them accepts other photos wrongly, and no probability is given: set it on photos that "
    "the model did not see. The column seen of `faceexp verify MODEL --pairs` tells which pairs hold such photos."
)
TOO_FAVOURABLE = "The threshold was set on these same pairs, so that FAR and FRR are too favourable."


def verification(answer: Verification, model: FaceModel) -> RenderableType:
    """Return the decision about two photos, and what it is based on."""
    facts = facts_table()
    facts.add_row("distance", Text(f"{answer.distance:.4g} ({model.distance})"))
    facts.add_row("threshold", Text(printable(_threshold(answer, model))))
    facts.add_row("probability", Text(_probability(answer.probability, model)))
    _add_model(facts, model)
    seen = [place for place, is_seen in zip(("first photo", "second photo"), answer.seen, strict=True) if is_seen]
    known = _known("both photos" if len(seen) == 2 else f"the {seen[0]}") if seen else []
    return Group(_decision(answer), *known, *_trust(model), facts)


def _add_model(facts: Table, model: FaceModel) -> None:
    """Add which model says so, and why it is this one."""
    facts.add_row("model", Text(printable(f"{model.label}, {model.folder}")))
    if model.chosen:
        facts.add_row("chosen", Text(printable(model.chosen)))


def _known(photos: str) -> list[Text]:
    """Return that the model knows some photos, so that its accuracy is no guide."""
    text = f"The model saw {photos} in its training, so its accuracy on other photos is no guide here."
    return [Text(text, style="bold yellow")]


def _decision(answer: Verification) -> Text:
    """Return the decision in a sentence.

    Threshold and probability may point in two directions, since a threshold for a rate is stricter or more lenient than
    "more likely than not". Then the decision is what it is: two photos are accepted or not.
    """
    style = "bold green" if answer.same else "bold red"
    # No comparison with what is no number is true.
    if answer.same and answer.probability < 0.5:
        text = "accepted as the same person, though it is likelier that they are two: the threshold is lenient"
    elif not answer.same and answer.probability > 0.5:
        text = "not accepted as the same person, though it is likelier that they are one: the threshold is strict"
    else:
        text = "the same person" if answer.same else "not the same person"
    return Text(text, style=style)


def _some_of(count: int, total: int, photos: str) -> str:
    return f"all {total:,} {photos}" if count == total else f"{count:,} of the {total:,} {photos}"


def identification(answer: Identification, model: FaceModel, top: int = SHOWN) -> RenderableType:
    """Return whom a photo may show: the nearest people of the gallery, or nobody in it; around it, how far to trust it.

    Args:
        answer: The people.
        model: Who says so.
        top: How many people are listed.
    """
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
    if not model.why_no_probability:
        table.add_column("probability", justify="right")
    table.add_column("nearest photo", overflow="fold")
    for rank, candidate in enumerate(candidates[:top], 1):
        accepted = candidate.distance <= answer.threshold
        table.add_row(
            str(rank),
            Text(candidate.name, style="" if accepted else "dim"),
            f"{candidate.distance:.4g}",
            *([] if model.why_no_probability else [_percent(candidate.probability)]),
            Text(candidate.photo, style="dim"),
        )
    parts: list[RenderableType] = [*_caveats(model)]
    facts = facts_table()
    if not math.isnan(answer.far) and len(candidates) > 1:
        # Each person in the gallery is one more chance for a stranger to be taken for somebody.
        stranger = 1 - (1 - answer.far) ** len(candidates)
        few = too_few_people(model.deciding.calibration)
        taken = f"taken for one of these {len(candidates)} people"
        if few is None:
            text = f"About {stranger * 100:.2g} % of strangers, or more, are {taken}."
            why = "the share holds for one photo of each person; with several it is larger: the nearest photo decides"
            facts.add_row("strangers", Text(why))
        else:
            text = f"How many strangers are {taken} cannot be said: the threshold was set on {few} people only."
        parts.append(Text(text, style="yellow"))
    parts += [head, *_known_of(answer), *_tested(model), table]
    if len(candidates) > top:
        more = "1 more person" if len(candidates) == top + 1 else f"{len(candidates) - top} more people"
        parts.append(Text(f"and {more}; --top shows more", style="dim"))
    facts.add_row("threshold", Text(printable(_threshold(answer, model))))
    if model.why_no_probability:
        facts.add_row("probability", Text(f"not given: {model.why_no_probability}"))
    _add_model(facts, model)
    return Group(*parts, facts)


def _known_of(answer: Identification) -> list[Text]:
    """Return that the model knows the photo or those of the gallery, if it does."""
    known = ["this photo"] if answer.seen else []
    if answer.gallery_seen and answer.gallery_seen[0]:
        known.append(_some_of(*answer.gallery_seen, "photos of the gallery"))
    return _known(" and ".join(known)) if known else []


def pairs_summary(
    tally: Tally, judged: JudgedPairs, model: FaceModel, rates: Mapping[str, Estimate], listed: PairList
) -> RenderableType:
    """Return how many pairs were judged and, where that is known, how many of them rightly; and by which threshold."""
    text = f"{many(tally.pairs, 'pair')}, {tally.accepted:,} judged to show one person"
    if tally.accuracy is not None:
        text += f"; balanced accuracy {tally.accuracy * 100:.2f} %, right {tally.right:,} of {tally.known:,}"
    elif tally.right is not None:
        text += f"; right {tally.right:,} of {tally.known:,}"
    parts: list[RenderableType] = [*_caveats(model), Text(text, style="bold")]
    if judged.seen:
        parts += _known(_some_of(judged.seen, len(judged.faces), "photos of this list"))
        parts.append(Text("The column seen says of each pair how many of its photos are among them.", style="dim"))
    parts += [*labelled(rates, listed, judged.seen), *_tested(model)]
    if model.own and model.own.sha256 == listed.sha256:
        parts.append(Text(TOO_FAVOURABLE, style="yellow"))
    facts = facts_table()
    facts.add_row("threshold", Text(printable(_threshold(judged, model))))
    if model.why_no_probability:
        facts.add_row("probability", Text(f"not given: {model.why_no_probability}"))
    _add_model(facts, model)
    return Group(*parts, facts)


def labelled(rates: Mapping[str, Estimate], listed: PairList, seen: int | None = None) -> list[RenderableType]:
    """Return the rates of labelled pairs, each with its interval, and over what it is.

    Args:
        rates: The rates.
        listed: The pairs.
        seen: How many of their photos the model saw in its training; ``None`` where that is not known.
    """
    table = facts_table()
    for name, meaning in RATES.items():
        if name in rates and not math.isnan(rates[name].value):
            table.add_row(meaning, Text(_estimate(name, rates[name])))
    if not table.row_count:
        return []
    if listed.people_from:
        source = "columns of the list" if listed.people_from == "columns" else "folders of the photos"
        text = f"95 % intervals over {len(set(listed.person.values())):,} people, known from the {source}"
    else:
        text = (
            "95 % intervals over pairs, as if no two shared a person, so that they are too narrow; columns identity_a "
            "and identity_b would say whom the photos show"
        )
    holds = {None: NOT_IN_TRAINING, 0: NONE_SEEN}.get(seen, "The rates are too favourable for new people.")
    return [table, Text(text, style="dim"), Text(holds, style="yellow" if seen else "dim")]


def _estimate(name: str, rate: Estimate) -> str:
    def written(value: float) -> str:
        return f"{value:.3f}" if name == "auc" else f"{value * 100:.1f}"

    unit = "" if name == "auc" else " %"
    interval = f" ({written(rate.ci95[0])} to {written(rate.ci95[1])}{unit})" if rate.ci95 else " (no interval)"
    return f"{written(rate.value)}{unit}{interval}"


def threshold_set(
    model: FaceModel, judged: JudgedPairs, rates: Mapping[str, Estimate], listed: PairList, file: str
) -> RenderableType:
    """Return which threshold was set on a user's own pairs, where it is kept, and how to get rid of it."""
    known = model.deciding
    head = f"threshold {known.threshold or 0:.4g} set, instead of the model's own {model.record.threshold or 0:.4g}"
    return Group(
        Text(head, style="bold green"),
        *(_known(_some_of(judged.seen, len(judged.faces), "photos of this list")) if judged.seen else []),
        *([Text(SEEN_PAIRS, style="yellow")] if judged.seen else []),
        Text(TOO_FAVOURABLE, style="yellow"),
        *labelled(rates, listed, judged.seen),
        Text(
            printable(f"kept in {file}: from now on it decides wherever this model is used; remove the file to undo it")
        ),
        *_caveats(model),
    )


def embeddings_written(model: FaceModel, shape: tuple[int, ...], file: str) -> str:
    """Return what is in a file of embeddings, how they are compared, and how far to trust that."""
    threshold = f"up to {model.threshold().distance:.4g} two photos count as of one person"
    lines = [
        f"{shape[0]:,} embeddings of {shape[1]} numbers in {file}, by {model.label}",
        model.worth.sentence,
        f"Compare them by {model.distance} distance: {threshold}.",
    ]
    return "\n".join(map(printable, lines))


def model_written(exported: Exported) -> str:
    """Return what is in an exported folder, how far to trust it, and why it is this model."""
    sizes = ", ".join(f"{name} ({size / 1e6:.2f} MB)" for name, size in exported.files.items() if size > 10**5)
    lines = [
        f"{exported.folder} holds {exported.label}: {sizes or ', '.join(exported.files)}",
        *([f"Copied as it is, not converted: {', '.join(exported.copied)}"] if exported.copied else []),
        exported.worth.sentence,
        *([exported.chosen] if exported.chosen else []),
        "Its README.md says how to use it, and its MODEL_CARD.md what for.",
    ]
    return "\n".join(map(printable, lines))


def _caveats(model: FaceModel) -> list[Text]:
    """Return why the model is not to be believed, if it is not."""
    texts = []
    if model.is_guessing:
        whose = "the people of your pairs" if model.own else "its validation people"
        texts.append(
            f"This model is no better than guessing: on {whose}, photos of one person were not nearer to each other "
            "than photos of two."
        )
    if model.worth.is_useless:
        texts.append(model.worth.sentence)
    return [Text(text, style="bold yellow") for text in texts]


def _tested(model: FaceModel) -> list[Text]:
    """Return how often the model was right on people whom it had not seen, unless :func:`_caveats` says it."""
    if model.worth.is_useless:
        return []
    of_its_own = " That was at the model's own threshold." if model.own and model.worth.accuracy is not None else ""
    return [Text(model.worth.sentence + of_its_own)]


def _trust(model: FaceModel) -> list[Text]:
    """Return how far a model is to be believed."""
    return [*_caveats(model), *_tested(model)]


def _threshold(answer: Verification | Identification | JudgedPairs, model: FaceModel) -> str:
    """Return the threshold, and which share of different pairs it accepts of which people."""
    text = f"{answer.threshold:.4g}"
    whom = "validation people"
    if model.own:
        whom = "; ".join(filter(None, [f"your pairs in {model.own.pairs}, on which it was set", model.own.caveat]))
    if math.isnan(answer.far):
        return f"{text} (set on {whom})" if model.own else text
    few = too_few_people(model.deciding.calibration)
    if few is not None:
        people = many(few, "person", "people")
        return f"{text} (set on {whom}: {people}, too few to say how often it is wrong about others)"
    text += f", which accepts {percent(answer.far)} % of different pairs (measured on {whom}"
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


def _probability(probability: float, model: FaceModel) -> str:
    if model.why_no_probability:
        return f"not given: {model.why_no_probability}"
    return f"{_percent(probability)} that both show one person, if that is as likely as not beforehand"
