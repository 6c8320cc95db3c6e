"""How numbers of an analysis of power are written: rounded where more digits would say nothing."""

from __future__ import annotations

# Numbers up to ten are words in a sentence, as in print.
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def about(value: float | None) -> str:
    """Return a number of pairs, people, seeds or folds, rounded to two digits where it has more."""
    if value is None:
        return "none"
    size = 10 ** max(0, len(str(int(value))) - 2)
    rounded = round(value / size) * size
    return f"{rounded / 1e6:,g} M" if rounded >= 1e6 else f"{rounded:,}"


def points(value: float) -> str:
    """Return a difference of shares, such as ``1 point``."""
    return count(float(f"{100 * value:.4g}"), "point")


def percent(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:g} %"


def chance(value: float | None) -> str:
    """Return the probability of finding a difference; a hyphen where it is not known."""
    if value is None:
        return "-"
    return "<1 %" if value < 0.005 else f"{100 * value:.0f} %"


def p_value(value: float) -> str:
    """Return a p-value with three digits."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def number_word(number: int) -> str:
    """Return a number as it stands in a sentence."""
    return NUMBERS[number] if number < len(NUMBERS) else f"{number:,}"


def count(number: float, noun: str) -> str:
    """Return ``1 seed`` or ``2 seeds``."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
