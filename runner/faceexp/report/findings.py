"""What a run found, in words: the first thing that a reader of the page sees."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from faceexp.report.columns import Row, compared, mean_and_interval, primary, rows_of
from faceexp.report.words import between, many, together
from faceexp.results.budgets import unequal_budgets
from faceexp.results.record import PartRecord
from faceexp.results.schema import ComparisonRecord, RunRecord

# Up to this many real differences are told one by one. With more, the sentence would fill the screen before the table
# comes into sight, so they are only counted; the matrix shows them all.
TOLD = 8
# Up to this many rows are named in such a sentence; more are counted by kind, for the same reason.
NAMED = 6


def verdict(run: RunRecord) -> str:
    """Return in a sentence or two which rows differ in accuracy; the first sentence is the finding."""
    rows = rows_of(run)
    pairs = _pairs(run)
    tested = [pair for pair in pairs if pair.p_corrected is not None]
    real = [pair for pair in tested if pair.verdict != "indistinguishable"]
    what = f"in {primary(run).name} at 5 %"
    if not tested:
        return f"Nothing can be told apart {what}: {_why_untested(run)}."
    if not real:
        return f"No two of the {len(rows)} rows can be told apart {what}."
    if len(real) <= TOLD:
        wins = "; ".join(f"{winner} is better than {together(losers)}" for winner, losers in _winners(rows, real))
        return f"{wins}, {what}. No other two of the {len(rows)} rows can be told apart."
    return f"{len(real)} of the {len(pairs)} pairs of rows differ {what}. {_of_the_best(rows, real)}"


def _why_untested(run: RunRecord) -> str:
    if len(run.cells) < 2:
        return "with one seed and fold there is no spread to judge a difference by"
    return "no two rows have two trials in common between which their difference varies"


def _winners(rows: Sequence[Row], real: Sequence[ComparisonRecord]) -> Iterator[tuple[str, list[str]]]:
    """Yield each row that is better than another, with those it is better than, both in order of rank."""
    wins = {sides(pair) for pair in real}
    for row in rows:
        losers = [other.label for other in rows if (row.label, other.label) in wins]
        if losers:
            yield row.label, losers


def _of_the_best(rows: Sequence[Row], real: Sequence[ComparisonRecord]) -> str:
    """Return which rows the loss with the best mean is better than, and which it cannot be told apart from."""
    best = next((row for row in rows if row.kind != "baseline" and row.ok), rows[0])
    wins = {sides(pair) for pair in real}
    beaten = [row for row in rows if (best.label, row.label) in wins]
    equal = [row for row in rows if row.label != best.label and row not in beaten and row.ok]
    text = f"The loss with the best mean, {best.label}, is better than {_named_or_counted(beaten)}"
    return f"{text}; it cannot be told apart from {_named_or_counted(equal)}." if equal else f"{text}."


def _named_or_counted(rows: Sequence[Row]) -> str:
    """Return the labels of a few rows, or how many losses and baselines they are."""
    if not rows:
        return "no other row"
    if len(rows) <= NAMED:
        return together([row.label for row in rows])
    kinds = Counter(row.kind for row in rows)
    counts = [
        many(kinds["loss"], "loss", "losses"),
        many(kinds["pretrained"], "existing embedding"),
        many(kinds["baseline"], "baseline"),
    ]
    return together([count for count in counts if not count.startswith("0 ")])


def sides(pair: ComparisonRecord) -> tuple[str, str]:
    """Return the labels of a real difference, the better one first."""
    return (pair.a, pair.b) if pair.verdict == "a>b" else (pair.b, pair.a)


def among_losses(run: RunRecord) -> str | None:
    """Return how many pairs of losses differ, without the baselines; ``None`` where nothing was tested."""
    tested = [pair for pair in _pairs_of_losses(run) if pair.p_corrected is not None]
    real = sum(pair.verdict != "indistinguishable" for pair in tested)
    if not tested:
        return None
    compared_rows = f"{sum(row.kind != 'baseline' for row in rows_of(run))} {compared(run)[1]}"
    if not real:
        return f"Among the {compared_rows} alone, without the baselines, no two can be told apart."
    return f"Among the {compared_rows} alone, without the baselines, {real} of {len(tested)} pairs differ."


def sensitivity(run: RunRecord) -> str | None:
    """Return how large a difference between two losses had to be to be found; ``None`` where that is not known."""
    of_pairs = [pair.minimum_detectable_difference for pair in _pairs_of_losses(run)]
    sizes = [size for size in of_pairs if size is not None]
    if not sizes:
        return None
    smallest, middle = min(sizes), statistics.median(sizes)
    metric = primary(run)
    return (
        f"How large must a difference between two {compared(run)[1]} be to be found in 80 % of repetitions, before "
        f"the correction for the number of pairs? {metric.size(middle)} for the median pair, {metric.size(smallest)} "
        "for the one with the least spread. “Cannot be told apart” means that no difference was shown, not that there "
        "is none."
    )


def sample(run: RunRecord) -> str | None:
    """Return what was compared: how many people, images and pairs each part of a trial had."""
    splits = run.parts
    if not splits:
        return None
    number = len(splits)
    text = (
        f"Every row had {'one trial' if number == 1 else f'{number} trials (seeds and folds)'}, "
        f"trained on {_people([split.train for split in splits])}, "
        f"with threshold and checkpoint chosen on {_people([split.validation for split in splits])}, "
        f"tested on {_people([split.test for split in splits])}"
    )
    pairs = [split.test.pairs for split in splits if split.test.pairs is not None]
    similar = [split.test.similar for split in splits if split.test.similar is not None]
    if len(pairs) == len(similar) == number:
        text += f": {between(pairs)} pairs, of which {between(similar)} similar"
    return text + ("" if number == 1 else ", in each trial") + "."


def _people(parts: Sequence[PartRecord]) -> str:
    return f"{between([part.people for part in parts])} people ({between([part.images for part in parts])} images)"


def leading(run: RunRecord) -> str | None:
    """Return the loss and the baseline with the best mean in the primary metric."""
    metric = primary(run)
    rows = [row for row in rows_of(run) if row.ok and metric.key in row.summaries]
    names = {"loss": "losses", "pretrained": "existing embeddings", "baseline": "baselines"}
    best_of_kind = {kind: next((row for row in rows if row.kind == kind), None) for kind in names}
    texts = [
        f"best mean among {names[kind]}: {row.label}, {metric.name} "
        f"{mean_and_interval(row.summaries[metric.key], metric)}"
        for kind, row in best_of_kind.items()
        if row
    ]
    return f"B{'; '.join(texts)[1:]}." if texts else None


def is_closed(run: RunRecord) -> bool:
    """Return whether the people of the test were seen in training."""
    return run.protocol == "closed_set" or any(note.kind == "closed_set" for note in run.remarks)


def warnings(run: RunRecord) -> list[str]:
    """Return what a reader has to know before believing the numbers."""
    sentences = []
    if is_closed(run) and not run.verdict:  # else the finding says it
        sentences.append(
            "Closed set: the people of the test were seen in training, so results say nothing about new people."
        )
    sentences += _sentences(run.warnings)
    if run.failed:
        sentences.append(
            f"{many(len(run.failed), 'trial')} of {len(run.trials)} did not end well; means are over the others, "
            "and rows are ranked by what all have in common."
        )
    return sentences


def budget_warnings(run: RunRecord) -> list[str]:
    """Return those of the run's own warnings that are about unequal budgets, as sentences."""
    return _sentences(unequal_budgets(run.budgets))


def _sentences(texts: Iterable[str]) -> list[str]:
    return [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in texts]


def notes(run: RunRecord) -> list[str]:
    """Return the notes that the page shows as notes: others stand among the warnings, or beside what was searched."""
    elsewhere = {"closed_set"} | ({"search"} if run.search else set())
    return [note.text for note in run.remarks if note.kind not in elsewhere]


def remarks(run: RunRecord) -> list[str]:
    """Return what stands below the finding: the best rows, what pairs of losses show, and what was compared."""
    of_pairs = () if run.verdict else (among_losses(run), sensitivity(run))
    return [text for text in (leading(run), *of_pairs, sample(run)) if text]


def _pairs(run: RunRecord) -> list[ComparisonRecord]:
    """Return the comparisons in the primary metric."""
    return [pair for pair in run.comparisons if pair.metric == primary(run).key]


def _pairs_of_losses(run: RunRecord) -> list[ComparisonRecord]:
    losses = {row.label for row in rows_of(run) if row.kind != "baseline"}
    return [pair for pair in _pairs(run) if pair.a in losses and pair.b in losses]
