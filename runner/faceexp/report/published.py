"""Results that others have published: beside those of a run, and what they can show by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from faceexp.evaluation.catalogue import ACCURACY, SIM_DIFF_RATIO
from faceexp.report.columns import Row, mean_and_interval
from faceexp.report.words import NOTHING, probability, signed
from faceexp.results.published import CountPairRecord, CountPowerRecord, PublishedRecord, PublishedResultRecord
from faceexp.results.record import Interval
from faceexp.results.schema import RunRecord, SummaryRecord

# What each verdict means, in the words of a sentence that counts the pairs of published losses.
VERDICTS: dict[Literal["distinguishable", "undecided", "indistinguishable"], str] = {
    "distinguishable": "told apart even if errors are unrelated",
    "undecided": "depends on which pairs each judged right",
    "indistinguishable": "not told apart even in the best case",
}
# The same where there are two published losses, with room for the level.
ONE_PAIR = {
    "distinguishable": "The two published losses can be told apart at {}, even if their errors are unrelated.",
    "undecided": "Whether the two published losses can be told apart at {} depends on which pairs each judged right.",
    "indistinguishable": "The two published losses cannot be told apart at {} by McNemar's exact test, not even if "
    "their errors were as alike as they can be.",
}


@dataclass(frozen=True)
class PublishedRow:
    """One published loss: its name, and the cells of its row."""

    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Beside:
    """Published results beside those of a run, as text.

    Attributes:
        source: Where they were published.
        total: How many test pairs there were.
        rows: One row per loss.
        remarks: What the numbers can show, in sentences.
        comparisons: The cells of one row per pair of losses.
    """

    source: str
    total: str
    rows: tuple[PublishedRow, ...]
    remarks: tuple[str, ...]
    comparisons: tuple[tuple[str, ...], ...]


def beside(run: RunRecord, rows: Sequence[Row]) -> Beside | None:
    """Return published results with those of this run that have the same label; ``None`` where none are given."""
    published = run.published
    if not published:
        return None
    summaries = {row.label: row.summaries for row in rows}
    power = published.power
    intervals = {loss.label: loss.ci95 for loss in power.losses} if power else {}
    return Beside(
        source=published.source,
        total=f"{published.pairs:,}",
        rows=tuple(
            _row(result, published.pairs, intervals.get(result.label), summaries.get(result.label, {}))
            for result in published.results
        ),
        remarks=tuple(remarks(published)),
        comparisons=tuple(_comparison(pair) for pair in power.pairs) if power else (),
    )


def _row(
    result: PublishedResultRecord, pairs: int, interval: Interval | None, summaries: Mapping[str, SummaryRecord]
) -> PublishedRow:
    return PublishedRow(
        result.label,
        (
            f"{result.right:,}",
            f"{result.right / pairs * 100:.1f}",
            f"{interval[0] * 100:.1f} to {interval[1] * 100:.1f}" if interval else NOTHING,
            NOTHING if result.sim_diff_ratio is None else f"{result.sim_diff_ratio:.2f}",
            mean_and_interval(summaries.get(ACCURACY.key), ACCURACY),
            mean_and_interval(summaries.get(SIM_DIFF_RATIO.key), SIM_DIFF_RATIO),
        ),
    )


def remarks(published: PublishedRecord) -> list[str]:
    """Return in words what the published numbers can show."""
    power = published.power
    if power is None or not power.pairs:
        return []
    level, percent = f"{power.alpha * 100:g} %", f"{power.power * 100:g} %"
    narrowest = min((loss.ci95[1] - loss.ci95[0]) / 2 for loss in power.losses)
    largest = max(abs(pair.difference) for pair in power.pairs)
    uncertain = f"uncertain by \N{PLUS-MINUS SIGN}{_points(narrowest)} or more (95 %)"
    sentences = []
    sentences.append(
        f"With {published.pairs:,} pairs each published accuracy is {uncertain}; the losses differ by at most "
        f"{_points(largest)}."
    )
    counts = Counter(pair.verdict for pair in power.pairs)
    if len(power.pairs) == 1:
        sentences.append(ONE_PAIR[power.pairs[0].verdict].format(level))
    elif counts["indistinguishable"] == len(power.pairs):
        sentences.append(
            f"None of the {len(power.pairs)} pairs of published losses can be told apart at {level} by McNemar's exact "
            "test after Holm, not even if their errors were as alike as they can be: no winner can be called."
        )
    else:
        parts = [f"{counts[verdict]} {words}" for verdict, words in VERDICTS.items() if counts[verdict]]
        listed = "; ".join(parts)
        sentences.append(f"Of the {len(power.pairs)} pairs of published losses: {listed} ({level}, after Holm).")
        sentences.append(_winner(power))
    best, unrelated = (_points(power.detectable.nested_corrected), _points(power.detectable.unrelated_corrected))
    if best and unrelated:
        sentences.append(
            f"With {published.pairs:,} test pairs, {percent} of repetitions find a difference "
            f"from the best accuracy of {best} where every error of the better loss is one of the other too, and of "
            f"{unrelated} where errors are unrelated; both after correction."
        )
    return sentences


def _winner(power: CountPowerRecord) -> str:
    """Return whether the loss that was right most often can be called the best, by the verdicts on it."""
    first = max(power.losses, key=lambda loss: loss.right).label
    verdicts = {
        pair.b if pair.a == first else pair.a: pair.verdict for pair in power.pairs if first in (pair.a, pair.b)
    }
    if set(verdicts.values()) == {"distinguishable"}:
        return f"{first} is better than every other of them."
    if rivals := [label for label, verdict in verdicts.items() if verdict == "indistinguishable"]:
        return f"No winner can be called: {first} cannot be told apart from {', '.join(rivals)}."
    return f"Whether {first} is better than every other of them depends on which pairs each judged right."


def _points(value: float | None) -> str:
    return "" if value is None else f"{value * 100:.1f} points"


def _comparison(pair: CountPairRecord) -> tuple[str, ...]:
    """Return the cells of two published losses."""
    low, high = pair.ci95
    needed = (pair.pairs_needed.nested, pair.pairs_needed.unrelated)
    return (
        pair.a,
        pair.b,
        signed(pair.difference, 100, 1),
        f"{signed(low, 100, 1)} to {signed(high, 100, 1)}",
        probability(pair.p_corrected),
        probability(pair.best_case_p_corrected),
        " to ".join(NOTHING if number is None else f"{number:,.0f}" for number in needed),
        {"distinguishable": "told apart", "indistinguishable": "not told apart"}.get(pair.verdict, pair.verdict),
    )
