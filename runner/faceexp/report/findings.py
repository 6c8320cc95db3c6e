"""What a run found, in words: the first thing a reader of the page sees."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from faceexp.evaluation.catalogue import LEADING
from faceexp.report.columns import Row, mean_and_interval, rows_of
from faceexp.results.schema import ComparisonRecord, PartRecord, RunRecord

# What stands where there is no value, and before a negative one.
NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
# Up to so many real differences are told one by one.
TOLD = 8
NAMED = 6


def verdict(run: RunRecord) -> str:
    """Return in a sentence or two which rows differ in accuracy; the first sentence is the finding."""
    listed = rows_of(run)
    compared = _accuracy(run)
    tested = [item for item in compared if item.p_corrected is not None]
    real = [item for item in tested if item.verdict != "indistinguishable"]
    what = f"in {_noun()} at 5 %"
    if not tested:
        return f"Nothing can be told apart {what}: {_why_untested(run)}."
    if not real:
        return f"No two of the {len(listed)} rows can be told apart {what}."
    if len(real) <= TOLD:
        told = "; ".join(f"{winner} is better than {together(losers)}" for winner, losers in _beaten(listed, real))
        return f"{told}, {what}. No other two of the {len(listed)} rows can be told apart."
    return f"{len(real)} of the {len(compared)} pairs of rows differ {what}. {_of_the_best(listed, real)}"


def _why_untested(run: RunRecord) -> str:
    cells = {trial.cell for trial in run.trials}
    if len(cells) < 2:
        return "with one seed and fold there is no spread to judge a difference by"
    return "no two rows have enough trials in common"


def _beaten(listed: Sequence[Row], real: Sequence[ComparisonRecord]) -> Iterator[tuple[str, list[str]]]:
    """Yield each row that is better than another, with those it is better than, both in order of rank."""
    wins = {sides(item) for item in real}
    for row in listed:
        losers = [other.label for other in listed if (row.label, other.label) in wins]
        if losers:
            yield row.label, losers


def _of_the_best(listed: Sequence[Row], real: Sequence[ComparisonRecord]) -> str:
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


def sides(comparison: ComparisonRecord) -> tuple[str, str]:
    """Return the labels of a real difference, the better one first."""
    better = (comparison.a, comparison.b)
    return better if comparison.verdict == "a>b" else better[::-1]


def among_losses(run: RunRecord) -> str | None:
    """Return how many pairs of losses differ, without the baselines; ``None`` where nothing was tested."""
    own = [item for item in _between_losses(run) if item.p_corrected is not None]
    real = sum(item.verdict != "indistinguishable" for item in own)
    if not own:
        return None
    losses = sum(row.kind == "loss" for row in rows_of(run))
    if not real:
        return f"Among the {losses} losses alone, without the baselines, no two can be told apart."
    return f"Among the {losses} losses alone, without the baselines, {real} of {len(own)} pairs differ."


def sensitivity(run: RunRecord) -> str | None:
    """Return how large a difference between two losses had to be to be found; ``None`` where that is not known."""
    found = [item.minimum_detectable_difference for item in _between_losses(run)]
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
    return f"{difference * LEADING.scale:.{LEADING.digits}f} points"


def sample(run: RunRecord) -> str | None:
    """Return who was compared: people, images and pairs of the parts of a trial."""
    parts = run.parts
    if not parts:
        return None
    number = len(parts)
    text = (
        f"Every row had {'one trial' if number == 1 else f'{number} trials (seeds and folds)'}, "
        f"trained on {_people([split.train for split in parts])}, "
        f"with threshold and checkpoint chosen on {_people([split.validation for split in parts])}, "
        f"tested on {_people([split.test for split in parts])}"
    )
    pairs = [split.test.pairs for split in parts if split.test.pairs is not None]
    similar = [split.test.similar for split in parts if split.test.similar is not None]
    if len(pairs) == len(similar) == number:
        text += f": {between(pairs)} pairs, of which {between(similar)} similar"
    return text + ("" if number == 1 else ", in each trial") + "."


def _people(parts: Sequence[PartRecord]) -> str:
    return f"{between([part.people for part in parts])} people ({between([part.images for part in parts])} images)"


def between(values: Sequence[int]) -> str:
    """Return ``780``, or ``741 to 780``."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def leading(run: RunRecord) -> str | None:
    """Return the loss with the best mean accuracy and that of the best baseline."""
    listed = [row for row in rows_of(run) if row.ok and LEADING.key in row.summaries]
    best = {kind: next((row for row in listed if row.kind == kind), None) for kind in ("loss", "baseline")}
    texts = [
        f"{'Best mean among losses' if kind == 'loss' else 'best among baselines'}: {row.label}, "
        f"{mean_and_interval(row.summaries[LEADING.key], LEADING)} %"
        for kind, row in best.items()
        if row
    ]
    return "; ".join(texts) + "." if texts else None


def warnings(run: RunRecord) -> list[str]:
    """Return what a reader has to know before believing the numbers."""
    found = []
    if run.protocol == "closed_set":
        found.append(
            "Closed set: the people of the test were seen in training, so results say nothing about new people."
        )
    found += budget_warnings(run)
    failed = sum(trial.status != "ok" for trial in run.trials)
    if failed:
        total = len(run.trials)
        found.append(f"{many(failed, 'trial')} of {total} did not end well; means are over the others.")
    return found


def budget_warnings(run: RunRecord) -> list[str]:
    """Return the run's own warnings, about unequal budgets, as sentences."""
    return [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in run.warnings]


def notes(run: RunRecord) -> list[str]:
    """Return the notes that are no warnings."""
    return [note.text for note in run.remarks if note.kind != "closed_set"]


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
    return LEADING.name


def _accuracy(run: RunRecord) -> list[ComparisonRecord]:
    return [item for item in run.comparisons if item.metric == LEADING.key]


def _between_losses(run: RunRecord) -> Iterable[ComparisonRecord]:
    losses = {row.label for row in rows_of(run) if row.kind == "loss"}
    return [item for item in _accuracy(run) if item.a in losses and item.b in losses]
