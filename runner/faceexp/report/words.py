"""Numbers and lists as words: how every report writes counts, differences and p-values in its sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

# A dash stands where there is no value. A negative number has a real minus sign, which is as wide as a plus sign, so
# that numbers in a column stay under one another.
NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def together(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def many(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 trial`` or ``2 trials``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def between(values: Sequence[int]) -> str:
    """Return ``780``, or ``741 to 780`` where the values differ."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def probability(value: float | None) -> str:
    """Return a p-value with three digits; one that would become 0.000 is given as ``< 0.001``."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def signed(value: float | None, scale: float, digits: int) -> str:
    """Return a difference with its sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value * scale:+.{digits}f}".replace("-", MINUS)


def trials_counted(trials: int, *, losses: int, baselines: int, seeds: int, folds: int, pretrained: int = 0) -> str:
    """Return ``12 trials (2 losses and 4 baselines x 2 seeds x 1 fold)``: the one way in which trials are counted.

    Where some rows have more seeds than others, the seeds are listed and not multiplied.
    """
    counts = (many(losses, "loss", "losses"), many(pretrained, "existing embedding"), many(baselines, "baseline"))
    rows = together([text for text in counts if not text.startswith("0 ")])
    ways = [many(seeds, "seed"), many(folds, "fold")]
    is_product = trials == (losses + pretrained + baselines) * seeds * folds
    return f"{many(trials, 'trial')} ({' x '.join([rows, *ways]) if is_product else f'{rows}; {together(ways)}'})"


def duration(minutes: float | None) -> str:
    """Return a time as people say it, no more exactly than it is known."""
    if minutes is None:
        return "an unknown time"
    if minutes < 1.5:
        return f"{max(10, round(minutes * 6) * 10)} seconds" if minutes < 0.9 else "a minute"
    return f"{round(minutes)} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"
