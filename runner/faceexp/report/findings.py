"""What a run found, in words: the first thing a reader of the page sees."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from faceexp.report.columns import COLUMNS, Row, rows, written

METRIC = COLUMNS[0]
# What stands where there is no value, and before a negative one.
NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
# Up to so many real differences are told one by one.
TOLD = 8
NAMED = 6


def verdict(document: Mapping[str, Any]) -> str:
    """Return in a sentence or two which rows differ in accuracy; the first sentence is the finding."""
    listed = rows(document)
    compared = _accuracy(document)
    tested = [item for item in compared if item["p_corrected"] is not None]
    real = [item for item in tested if item["verdict"] != "indistinguishable"]
    what = f"in {_noun()} at 5 %"
    if not tested:
        return f"Nothing can be told apart {what}: {_why_untested(document)}."
    if not real:
        return f"No two of the {len(listed)} rows can be told apart {what}."
    if len(real) <= TOLD:
        told = "; ".join(f"{winner} is better than {together(losers)}" for winner, losers in _beaten(listed, real))
        return f"{told}, {what}. No other two of the {len(listed)} rows can be told apart."
    return f"{len(real)} of the {len(compared)} pairs of rows differ {what}. {_of_the_best(listed, real)}"


def _why_untested(document: Mapping[str, Any]) -> str:
    cells = {(trial["seed"], trial["fold"]) for trial in document["trials"]}
    if len(cells) < 2:
        return "with one seed and fold there is no spread to judge a difference by"
    return "no two rows have enough trials in common"


def _beaten(listed: Sequence[Row], real: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each row that is better than another, with those it is better than, both in order of rank."""
    wins = {sides(item) for item in real}
    for row in listed:
        losers = [other.label for other in listed if (row.label, other.label) in wins]
        if losers:
            yield row.label, losers


def _of_the_best(listed: Sequence[Row], real: Sequence[Mapping[str, Any]]) -> str:
    """Return what the best mean is better than, and what not."""
    best = next((row for row in listed if row.kind == "loss" and row.ok), listed[0])
    wins = {sides(item) for item in real}
    beaten = [row for row in listed if (best.label, row.label) in wins]
    equal = [row for row in listed if row.label != best.label and row not in beaten and row.ok]
    text = f"The loss with the best mean, {best.label}, is better than {_counted(beaten)}"
    return f"{text}; it cannot be told apart from {_counted(equal)}." if equal else f"{text}."


def _counted(listed: Sequence[Row]) -> str:
    if not listed:
        return "no other row"
    if len(listed) <= NAMED:
        return together([row.label for row in listed])
    losses = sum(row.kind == "loss" for row in listed)
    parts = [many(losses, "loss", "losses"), many(len(listed) - losses, "baseline")]
    return together([part for part in parts if not part.startswith("0 ")])


def sides(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """Return the labels of a real difference, the better one first."""
    better = (comparison["a"], comparison["b"])
    return better if comparison["verdict"] == "a>b" else better[::-1]


def among_losses(document: Mapping[str, Any]) -> str | None:
    """Return how many pairs of losses differ, without the baselines; ``None`` where nothing was tested."""
    own = [item for item in _between_losses(document) if item["p_corrected"] is not None]
    real = sum(item["verdict"] != "indistinguishable" for item in own)
    if not own:
        return None
    losses = sum(row.kind == "loss" for row in rows(document))
    if not real:
        return f"Among the {losses} losses alone, without the baselines, no two can be told apart."
    return f"Among the {losses} losses alone, without the baselines, {real} of {len(own)} pairs differ."


def sensitivity(document: Mapping[str, Any]) -> str | None:
    """Return how large a difference between two losses had to be to be found; ``None`` where that is not known."""
    found = [item["minimum_detectable_difference"] for item in _between_losses(document)]
    sizes = [size for size in found if size is not None]
    if not sizes:
        return None
    smallest, middle = min(sizes), statistics.median(sizes)
    return (
        "How large must a difference between two losses be to be found in 80 % of repetitions, before the correction "
        f"for the number of pairs? {size_of(middle)} for the median pair, {size_of(smallest)} for the one with the "
        "least spread. “Cannot be told apart” means that no difference was shown, not that there is none."
    )


def size_of(difference: float) -> str:
    """Return ``2.3 points``: a difference of the leading metric."""
    return f"{difference * METRIC.scale:.{METRIC.digits}f} points"


def sample(document: Mapping[str, Any]) -> str | None:
    """Return who was compared: people, images and pairs of the parts of a trial."""
    parts = document.get("parts") or []
    if not parts:
        return None
    number = len(parts)
    text = (
        f"Every row had {'one trial' if number == 1 else f'{number} trials (seeds and folds)'}, "
        f"trained on {_people(parts, 'train')}, "
        f"with threshold and checkpoint chosen on {_people(parts, 'validation')}, "
        f"tested on {_people(parts, 'test')}"
    )
    pairs = [part["test"].get("pairs") for part in parts]
    if all(pair is not None for pair in pairs):
        text += f": {between(pairs)} pairs, of which {between([part['test']['similar'] for part in parts])} similar"
    return text + ("" if number == 1 else ", in each trial") + "."


def _people(parts: Sequence[Mapping[str, Any]], name: str) -> str:
    people = between([part[name]["people"] for part in parts])
    return f"{people} people ({between([part[name]['images'] for part in parts])} images)"


def between(values: Sequence[int]) -> str:
    """Return ``780``, or ``741 to 780``."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def leading(document: Mapping[str, Any]) -> str | None:
    """Return the loss with the best mean accuracy and that of the best baseline."""
    listed = [row for row in rows(document) if row.ok and METRIC.metric in row.summaries]
    best = {kind: next((row for row in listed if row.kind == kind), None) for kind in ("loss", "baseline")}
    texts = [
        f"{'Best mean among losses' if kind == 'loss' else 'best among baselines'}: {row.label}, "
        f"{written(row.summaries[METRIC.metric], METRIC)} %"
        for kind, row in best.items()
        if row
    ]
    return "; ".join(texts) + "." if texts else None


def warnings(document: Mapping[str, Any]) -> list[str]:
    """Return what a reader has to know before believing the numbers."""
    found = []
    if document.get("protocol") == "closed_set":
        found.append(
            "Closed set: the people of the test were seen in training, so results say nothing about new people."
        )
    found += budget_warnings(document)
    failed = sum(trial["status"] != "ok" for trial in document["trials"])
    if failed:
        total = len(document["trials"])
        found.append(f"{many(failed, 'trial')} of {total} did not end well; means are over the others.")
    return found


def budget_warnings(document: Mapping[str, Any]) -> list[str]:
    """Return the run's own warnings, about unequal budgets, as sentences."""
    return [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in document.get("warnings") or []]


def notes(document: Mapping[str, Any]) -> list[str]:
    """Return the notes that are no warnings."""
    return [note for note in document.get("notes") or [] if not note.startswith("closed set")]


def together(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def many(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 trial`` or ``2 trials``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def probability(value: float | None) -> str:
    """Return a p-value as it is printed."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def signed(value: float | None, scale: float, digits: int) -> str:
    """Return a difference with its sign, a real minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value * scale:+.{digits}f}".replace("-", MINUS)


def _noun() -> str:
    return METRIC.heading.removesuffix(" %")


def _accuracy(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in document["comparisons"] if item["metric"] == METRIC.metric]


def _between_losses(document: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    losses = {row.label for row in rows(document) if row.kind == "loss"}
    return [item for item in _accuracy(document) if item["a"] in losses and item["b"] in losses]
